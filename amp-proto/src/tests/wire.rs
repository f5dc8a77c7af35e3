//! Boxes on the wire, whole and in pieces, honest and hostile.

use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::collection::{btree_map, vec as vec_of};
use proptest::prelude::*;

use crate::{
    AmpBox, EncodeError, Fields, Limits, LooksLike, PeerMisbehaved, Scanned, Scanner, write_box,
};

fn limits() -> Limits {
    Limits { box_bytes_max: 2000, keys_per_box_max: 8, ..Limits::default() }
}

fn amp_box() -> impl Strategy<Value = AmpBox> {
    let value = prop_oneof![9 => vec_of(any::<u8>(), 0..20), 1 => vec_of(any::<u8>(), 0..100)];
    btree_map(vec_of(any::<u8>(), 1..60), value, 1..=8).prop_map(AmpBox::from_iter)
}

/// Reads boxes from pieces of a stream, as a connection does: what is left of one read stands
/// before the next.
fn read_in_pieces(
    stream: &[u8],
    mut ends: impl Iterator<Item = usize>,
    limits: &Limits,
) -> Result<Vec<AmpBox>, PeerMisbehaved> {
    let mut boxes = vec![];
    let mut scanner = Scanner::default();
    let (mut start, mut end) = (0, 0);
    while end < stream.len() {
        end = ends.next().map_or(stream.len(), |length| stream.len().min(end + length));
        loop {
            let buffer = Bytes::copy_from_slice(&stream[start..end]);
            match scanner.scan(&buffer, limits)? {
                Scanned::Partial { bytes_min } => {
                    assert!(bytes_min > buffer.len(), "{bytes_min} bytes are there already");
                    break;
                }
                Scanned::Whole { bytes } => {
                    let fields = Fields::new(&buffer, scanner.spans(), limits);
                    boxes.push(fields.iter().map(|(k, v)| (k.to_vec(), v.to_bytes())).collect());
                    scanner.reset();
                    start += bytes;
                }
            }
        }
    }
    Ok(boxes)
}

proptest! {
    #[test]
    fn a_box_survives(it in amp_box()) {
        let bytes = it.to_bytes(&limits()).unwrap();
        prop_assert_eq!(AmpBox::decode(&bytes, &limits()), Ok(Some((it.clone(), bytes.len()))));
        let followed = Bytes::from([&bytes[..], b"\0\x01"].concat());
        prop_assert_eq!(AmpBox::decode(&followed, &limits()), Ok(Some((it, bytes.len()))));
    }

    #[test]
    fn a_box_cut_short_is_no_box_yet(it in amp_box(), cut in any::<prop::sample::Index>()) {
        let bytes = it.to_bytes(&limits()).unwrap();
        let cut = bytes.slice(..cut.index(bytes.len()));
        prop_assert_eq!(AmpBox::decode(&cut, &limits()), Ok(None));
    }

    #[test]
    fn pieces_give_the_same_boxes(
        boxes in vec_of(amp_box(), 0..5),
        pieces in vec_of(1..40_usize, 0..100),
    ) {
        let mut stream = vec![];
        for it in &boxes {
            it.encode(&mut stream, &limits()).unwrap();
        }
        let at_once = read_in_pieces(&stream, [].into_iter(), &limits());
        prop_assert_eq!(&at_once, &Ok(boxes));
        let in_pieces = read_in_pieces(&stream, pieces.into_iter(), &limits());
        prop_assert_eq!(&at_once, &in_pieces);
        let in_bytes = read_in_pieces(&stream, core::iter::repeat(1), &limits());
        prop_assert_eq!(at_once, in_bytes);
    }

    #[test]
    fn any_bytes_are_judged_the_same_in_pieces(
        stream in hostile(),
        pieces in vec_of(1..9_usize, 0..60),
    ) {
        let at_once = read_in_pieces(&stream, [].into_iter(), &limits());
        let in_pieces = read_in_pieces(&stream, pieces.into_iter(), &limits());
        match (at_once, in_pieces) {
            (Ok(at_once), Ok(in_pieces)) => prop_assert_eq!(at_once, in_pieces),
            // What the start looks like is guessed from what is there.
            (Err(at_once), Err(in_pieces)) => prop_assert_eq!(
                core::mem::discriminant(&at_once),
                core::mem::discriminant(&in_pieces)
            ),
            (at_once, in_pieces) => prop_assert!(false, "{at_once:?} or {in_pieces:?}"),
        }
    }

    #[test]
    fn any_bytes_are_a_box_or_not(bytes in hostile()) {
        let bytes = Bytes::from(bytes);
        if let Ok(Some((it, length))) = AmpBox::decode(&bytes, &Limits::default()) {
            // Doubles are dropped, so that it may have become shorter.
            let written = it.to_bytes(&Limits::default()).unwrap();
            prop_assert!(written.len() <= length);
            prop_assert_eq!(
                AmpBox::decode(&written, &Limits::default()),
                Ok(Some((it, written.len())))
            );
        }
    }
}

/// Bytes at random, and such as come close to boxes.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![9 => Just(0_u8), 1 => any::<u8>()];
    let part = (length, 0..6_u8, vec_of(any::<u8>(), 0..5))
        .prop_map(|(high, low, rest)| [vec![high, low], rest].concat());
    prop_oneof![
        vec_of(any::<u8>(), 0..80),
        vec_of(0..3_u8, 0..80),
        vec_of(part, 0..30).prop_map(|parts| parts.concat()),
    ]
}

fn decoded(bytes: &'static [u8], limits: &Limits) -> Result<Option<AmpBox>, PeerMisbehaved> {
    AmpBox::decode(&Bytes::from_static(bytes), limits).map(|found| found.map(|(it, _)| it))
}

#[test]
fn the_last_of_several_values_counts() {
    let found = decoded(b"\0\x01k\0\x01a\0\x01j\0\0\0\x01k\0\x01b\0\0", &limits());
    assert_eq!(found, Ok(Some(AmpBox::from_iter([("j", ""), ("k", "b")]))));
}

#[test]
fn an_empty_box_is_a_box() {
    assert_eq!(decoded(b"\0\0", &limits()), Ok(Some(AmpBox::new())));
}

#[test]
fn a_key_too_long_is_judged_by_its_length_alone() {
    let looks_like = LooksLike::Unknown;
    let misbehaved = PeerMisbehaved::KeyTooLong { bytes: 256, looks_like };
    assert_eq!(decoded(b"\x01\x00", &limits()), Err(misbehaved));
    let looks_like = LooksLike::Http;
    let misbehaved = PeerMisbehaved::KeyTooLong { bytes: 0x4745, looks_like };
    assert_eq!(decoded(b"GET / HTTP/1.1\r\n", &limits()), Err(misbehaved));
}

#[test]
fn a_box_over_the_limits_is_refused_before_it_is_there() {
    let limits = Limits { box_bytes_max: 10, keys_per_box_max: 1, ..limits() };
    assert_eq!(decoded(b"\0\x01k\0\x03abc\0\0", &limits).map(|it| it.is_some()), Ok(true));
    let too_large = Err(PeerMisbehaved::BoxTooLarge { max: 10 });
    assert_eq!(decoded(b"\0\x01k\0\x06", &limits), too_large);
    assert_eq!(decoded(b"\0\x01k\0\x04abcd\0\0", &limits), too_large);
    let too_many = Err(PeerMisbehaved::TooManyKeys { max: 1 });
    assert_eq!(decoded(b"\0\x01k\0\0\0\x01", &limits), too_many);
}

#[test]
fn what_is_wrong_with_a_box_does_not_depend_on_how_much_of_it_has_come() {
    let limits = Limits { box_bytes_max: 10, keys_per_box_max: 1, ..limits() };
    // One key, and one byte less than it takes to end the box. What follows is a key too many.
    let bytes = b"\0\x01k\0\x04abcd\0\x01k";
    for length in 9..=bytes.len() {
        let too_large = Err(PeerMisbehaved::BoxTooLarge { max: 10 });
        assert_eq!(decoded(&bytes[..length], &limits), too_large, "{length} bytes");
    }
}

#[test]
fn what_does_not_fit_leaves_nothing_behind() {
    let limits = limits();
    let refused = |it: AmpBox| {
        let mut out = b"before".to_vec();
        let error = it.encode(&mut out, &limits).unwrap_err();
        assert_eq!(out, b"before");
        error
    };
    assert_eq!(refused([("", "v")].into_iter().collect()), EncodeError::KeyLength { bytes: 0 });
    assert_eq!(
        refused([("k".repeat(256), "v")].into_iter().collect()),
        EncodeError::KeyLength { bytes: 256 }
    );
    assert_eq!(
        refused([("k", "v".repeat(65_536))].into_iter().collect()),
        EncodeError::ValueTooLong { key: "k".into(), bytes: 65_536 }
    );
    assert_eq!(
        refused([("k", "v".repeat(2000))].into_iter().collect()),
        EncodeError::BoxTooLarge { bytes: 2007, max: 2000 }
    );
    assert_eq!(
        refused((0..9_u8).map(|key| (vec![key], "v")).collect()),
        EncodeError::TooManyKeys { max: 8 }
    );
}

#[test]
fn the_longest_key_and_value_fit() {
    let it = AmpBox::from_iter([("k".repeat(255), "v".repeat(65_535))]);
    let bytes = it.to_bytes(&Limits::default()).unwrap();
    assert_eq!(bytes.len(), 2 + 255 + 2 + 65_535 + 2);
    assert_eq!(AmpBox::decode(&bytes, &Limits::default()), Ok(Some((it, bytes.len()))));
}

#[test]
fn reserved_keys_stand_at_their_places() {
    let reserved: [(&[u8], &[u8]); 2] = [(b"_ask", b"1"), (b"_command", b"Sum")];
    let put = |out: &mut Vec<u8>, keys: &[&str]| {
        write_box(out, &reserved, &limits(), |writer| {
            keys.iter().try_for_each(|key| writer.put(key.as_bytes(), |_| Ok(())))
        })
    };
    for keys in [&[][..], &["Z"], &["a"], &["Z", "_b", "a"]] {
        let mut merged = vec![];
        put(&mut merged, keys).unwrap();
        let entries = reserved.iter().map(|(key, value)| (key.to_vec(), value.to_vec()));
        let empty = keys.iter().map(|key| (key.as_bytes().to_vec(), vec![]));
        let sorted = AmpBox::from_iter(entries.chain(empty));
        assert_eq!(merged, sorted.to_bytes(&limits()).unwrap());
    }
}

#[test]
fn a_box_that_panics_on_the_way_leaves_nothing_behind() {
    let mut out = b"before".to_vec();
    let limits = Limits::default();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        write_box(&mut out, &[], &limits, |writer| {
            writer.put(b"half", |_| panic!("the application's own encoding"))
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(out, b"before");
}

#[test]
fn no_command_can_say_what_a_box_is() {
    for key in ["_ask", "_answer", "_command", "_error", "_error_code", "_error_description"] {
        let mut out = Vec::new();
        let written = write_box(&mut out, &[], &Limits::default(), |writer| {
            writer.put(key.as_bytes(), |_| Ok(()))
        });
        assert_eq!(written, Err(EncodeError::ReservedKey { key: key.into() }));
        assert!(out.is_empty());
    }
}

#[test]
fn a_peers_words_stay_on_one_line() {
    let words = crate::OneLine("no\nsuch \u{1b}[31mcheez\r").to_string();
    assert_eq!(words, "no\\nsuch \\u{1b}[31mcheez\\r");
}
