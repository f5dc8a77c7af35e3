//! Invites: what a cluster is given so that it may join with a key of its own.

use std::fmt;
use std::str::FromStr;

use amp_proto::{PublicKey, checked_text};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Where to go, whom to believe there, and a secret that opens the door once.
///
/// As text it is `ampjoin1` and letters: see [`checked_text`]. The text is a secret until it has
/// been used.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteToken {
    /// The keys of the region processes: whoever shows another is none.
    pub keys: Vec<PublicKey>,
    /// Their addresses, the best first.
    pub addresses: Vec<String>,
    /// Which invite it is.
    pub id: InviteId,
    /// What opens the door.
    pub secret: InviteSecret,
}

/// Which invite it is. Nothing to hide: it opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InviteId(pub [u8; 8]);

/// What opens the door once. It is never printed, and only its hash is kept.
#[derive(Clone)]
pub struct InviteSecret(Zeroizing<[u8; 16]>);

/// What is kept of an [`InviteSecret`]: enough to know it again, of no use to whoever reads it.
#[derive(Clone, Copy)]
pub struct InviteHash([u8; 32]);

/// The text is no invite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not whole: it is `ampjoin1` and letters and digits, all of one piece")]
pub struct TokenError;

const WORD: &str = "ampjoin1";
/// How many keys a token names at most; with [`ADDRESSES_MAX`] it stays of a length to be copied.
const KEYS_MAX: usize = 8;
const ADDRESSES_MAX: usize = 16;

impl InviteToken {
    /// A new invite to the region with these keys and addresses. The first 8 keys and 16 addresses
    /// are taken.
    #[must_use]
    pub fn generate(mut keys: Vec<PublicKey>, mut addresses: Vec<String>) -> Self {
        keys.truncate(KEYS_MAX);
        addresses.truncate(ADDRESSES_MAX);
        let secret = InviteSecret(Zeroizing::new(rand::rng().random()));
        Self { keys, addresses, id: InviteId(rand::rng().random()), secret }
    }

    /// The token as text. It is a secret.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(512));
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&*self.secret.0);
        bytes.extend(u8::try_from(self.keys.len()));
        self.keys.iter().for_each(|key| bytes.extend_from_slice(key.as_bytes()));
        bytes.extend_from_slice(self.addresses.join("\n").as_bytes());
        Zeroizing::new(checked_text::write(WORD, &bytes))
    }
}

impl FromStr for InviteToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let read = |bytes: &[u8]| -> Option<Self> {
            let (id, rest) = bytes.split_first_chunk()?;
            let (secret, rest) = rest.split_first_chunk()?;
            let (count, rest) = rest.split_first()?;
            let (keys, rest) = rest.split_at_checked(usize::from(*count) * PublicKey::BYTES)?;
            let keys = keys.chunks_exact(PublicKey::BYTES).map(<[u8; PublicKey::BYTES]>::try_from);
            let keys: Vec<_> = keys.flatten().map(PublicKey::from_bytes).collect();
            let addresses: Vec<_> =
                std::str::from_utf8(rest).ok()?.split('\n').map(str::to_owned).collect();
            let is_whole = (1..=KEYS_MAX).contains(&keys.len())
                && (1..=ADDRESSES_MAX).contains(&addresses.len())
                && addresses.iter().all(|address| !address.is_empty());
            let secret = InviteSecret(Zeroizing::new(*secret));
            is_whole.then_some(Self { keys, addresses, id: InviteId(*id), secret })
        };
        let bytes = checked_text::read(WORD, text.trim()).map(Zeroizing::new).ok_or(TokenError)?;
        read(&bytes).ok_or(TokenError)
    }
}

impl InviteSecret {
    /// The secret of these bytes, as they come over a connection.
    ///
    /// # Errors
    /// [`TokenError`] when there are not 16 of them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenError> {
        bytes.try_into().map(|bytes| Self(Zeroizing::new(bytes))).map_err(|_| TokenError)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &*self.0
    }

    /// What may be kept of it.
    #[must_use]
    pub fn hash(&self) -> InviteHash {
        let hash = Sha256::new().chain_update(b"ampmesh: invite\0").chain_update(*self.0);
        InviteHash(hash.finalize().into())
    }
}

impl PartialEq for InviteSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for InviteSecret {}

impl InviteHash {
    /// The hash of these bytes, as they were kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to keep.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Takes as long whatever is compared.
impl PartialEq for InviteHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for InviteHash {}

impl fmt::Display for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InviteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InviteId({self})")
    }
}

impl fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteSecret(…)")
    }
}

impl fmt::Debug for InviteHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteHash(…)")
    }
}

impl fmt::Debug for InviteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InviteToken")
            .field("keys", &self.keys)
            .field("addresses", &self.addresses)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;

    fn token() -> InviteToken {
        let keys = vec![KeyPair::generate().public(), KeyPair::generate().public()];
        InviteToken::generate(keys, vec!["192.0.2.1:5250".to_owned(), "[::1]:5251".to_owned()])
    }

    #[test]
    fn a_token_survives_being_copied() {
        let token = token();
        let text = token.to_text();
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(format!(" {}\n", *text).parse(), Ok(token));
    }

    #[test]
    fn a_token_that_is_not_whole_is_refused() {
        let text = token().to_text();
        for length in 0..text.len() {
            assert_eq!(text[..length].parse::<InviteToken>(), Err(TokenError));
        }
        let nowhere = InviteToken { addresses: Vec::new(), ..token() };
        assert_eq!(nowhere.to_text().parse::<InviteToken>(), Err(TokenError));
        let odd = InviteToken { addresses: vec!["a:1".to_owned(), String::new()], ..token() };
        assert_eq!(odd.to_text().parse::<InviteToken>(), Err(TokenError));
        let anyone = InviteToken { keys: Vec::new(), ..token() };
        assert_eq!(anyone.to_text().parse::<InviteToken>(), Err(TokenError));
    }

    #[test]
    fn the_secret_of_an_invite_is_not_printed() {
        let token = token();
        let shown = format!("{token:?} {:?} {:?}", token.secret, token.secret.hash());
        let bytes = token.secret.as_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!shown.contains(&hex) && !shown.contains(&format!("{bytes:?}")), "{shown}");
    }

    #[test]
    fn a_hash_knows_its_secret_and_no_other() {
        let (token, other) = (token(), token());
        assert_eq!(token.secret.hash(), token.secret.hash());
        assert_ne!(token.secret.hash(), other.secret.hash());
    }
}
