//! The texts that people copy and paste: keys, invites, secrets, and the names of calls and traces.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use amp_proto::checked_text;
use mesh::{CallId, ClusterId, InviteToken, KeyPair, PublicKey, Secret, TraceParent};

const PUBLIC: &str = "amp1";
const PRIVATE: &str = "ampkey1";
const INVITE: &str = "ampjoin1";

/// How many ways [`tokens`] knows to read its bytes.
const WAYS: u8 = 8;

/// Whatever is read is the same when it was written and read again, and nothing that is secret is
/// shown. The first byte says as what the others are read: as text, or as what the checksum of a
/// text is over, so that what comes behind the checksum is reached as well.
pub fn tokens(bytes: &[u8]) {
    let Some((way, bytes)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    match way % WAYS {
        0 => [PUBLIC, PRIVATE, INVITE].iter().for_each(|word| checked(word, &text)),
        1 => [PUBLIC, PRIVATE, INVITE].iter().for_each(|word| written(word, bytes)),
        2 => invite(&text),
        3 => invite(&checked_text::write(INVITE, bytes)),
        4 => keys(&text),
        5 => [PUBLIC, PRIVATE].iter().for_each(|word| keys(&checked_text::write(word, bytes))),
        6 => secret(&text),
        _ => names(&text),
    }
}

fn checked(word: &str, text: &str) {
    if let Some(bytes) = checked_text::read(word, text) {
        assert!(checked_text::write(word, &bytes).eq_ignore_ascii_case(text));
    }
}

fn written(word: &str, bytes: &[u8]) {
    let text = checked_text::write(word, bytes);
    assert_eq!(checked_text::read(word, &text).as_deref(), Some(bytes));
}

fn invite(text: &str) {
    let Ok(token) = text.parse::<InviteToken>() else { return };
    assert_eq!(token.to_text().parse(), Ok(token.clone()));
    let again = InviteToken { addresses: Vec::new(), ..token.clone() };
    hides(&again, &hex(token.secret.as_bytes()));
    hides(&again, &format!("{:?}", token.secret.as_bytes()));
    hides(&token, &token.to_text());
}

fn keys(text: &str) {
    match text.parse::<PublicKey>() {
        Ok(key) => assert_eq!(key.to_string().parse(), Ok(key)),
        Err(error) if KeyPair::from_text(text).is_ok() => {
            assert!(!error.to_string().contains(text), "{error} tells a private key");
        }
        Err(_) => {}
    }
    if let Ok(pair) = KeyPair::from_text(text) {
        let written = pair.to_text();
        assert!(written.eq_ignore_ascii_case(text));
        assert!(written.parse::<PublicKey>().is_err(), "a private key passes for a public one");
        hides(&pair, &written[PRIVATE.len()..]);
    }
}

fn secret(text: &str) {
    let Ok(secret) = Secret::from_hex(text) else { return };
    assert!(secret.to_hex().eq_ignore_ascii_case(text));
    hides(&secret, text);
}

fn names(text: &str) {
    same_again::<CallId>(text);
    same_again::<ClusterId>(text);
    same_again::<TraceParent>(text);
    if let Ok(id) = text.parse::<CallId>() {
        assert_eq!(CallId::made_at(id.made()).made(), id.made());
    }
}

fn same_again<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(name) = text.parse::<T>() {
        assert_eq!(name.to_string().parse::<T>().unwrap(), name);
    }
}

fn hides(shown: &impl Debug, secret: &str) {
    let text = format!("{shown:?} {shown:#?}");
    assert!(!text.to_lowercase().contains(&secret.to_lowercase()), "{text} shows a secret");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One text of every kind, whole, and then what its checksum is over.
pub fn seeds() -> Vec<Vec<u8>> {
    let pair = checked_text::write(PRIVATE, &[7; 32]);
    let public = PublicKey::from_bytes([7; 32]);
    // Which invite, its secret, how many keys, a key, and two addresses.
    let invite = [&[1; 8], &[2; 16][..], &[1], &[7; 32], b"192.0.2.1:5250\n[::1]:5251"].concat();
    let of = |way: u8, bytes: &[u8]| [&[way], bytes].concat();
    vec![
        of(0, public.to_string().as_bytes()),
        of(0, pair.as_bytes()),
        of(1, b"some bytes"),
        of(2, checked_text::write(INVITE, &invite).as_bytes()),
        of(3, &invite),
        of(3, &invite[..25]),
        of(3, &[&invite[..], b"\n\r\n"].concat()),
        of(4, public.to_string().as_bytes()),
        of(4, pair.to_uppercase().as_bytes()),
        of(5, &[7; 32]),
        of(5, &[7; 31]),
        of(6, b"00112233445566778899aabbccddeeff"),
        of(6, b"+1112233445566778899aabbccddeeff"),
        of(7, b"0190163d-8694-739b-aea5-966c26f8ad91"),
        of(7, b"5f0d6a3e-0000-4000-8000-000000000001"),
        of(7, b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ]
}
