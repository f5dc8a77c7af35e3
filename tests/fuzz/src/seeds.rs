//! What each target begins with: the vectors that Twisted wrote, and boxes of every kind.

use super::targets::{ARGUMENT_TYPES, Target};
use super::{config, tokens};

const VECTORS: &str = include_str!("../../../amp-proto/src/argument/vectors.txt");

/// Every target, and its seeds.
pub fn all() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    Target::ALL.into_iter().map(|target| (target.name(), of(target))).collect()
}

/// The seeds of one target.
pub fn of(target: Target) -> Vec<Vec<u8>> {
    match target {
        Target::Arguments => arguments(),
        Target::Config => config::seeds(),
        Target::Tokens => tokens::seeds(),
        Target::Boxes => [with_head(&conversations()), vec![one_key_too_many()]].concat(),
        Target::Connection => with_head(&conversations()),
        Target::Handshake => conversations(),
    }
}

/// Every value of the golden vectors, as every type.
fn arguments() -> Vec<Vec<u8>> {
    let encoded = VECTORS.lines().filter_map(|line| line.split(" | ").nth(2)).filter_map(bytes_of);
    let values: Vec<Vec<u8>> = encoded.collect();
    let kinds = 0..ARGUMENT_TYPES;
    kinds.flat_map(|kind| values.iter().map(move |value| [&[kind], &value[..]].concat())).collect()
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let pairs = (0..hex.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

/// The first byte says how it is cut up.
fn with_head(seeds: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let heads = [0, 1, 7, 200];
    seeds
        .iter()
        .zip(heads.into_iter().cycle())
        .map(|(it, head)| [&[head], &it[..]].concat())
        .collect()
}

fn box_of(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in fields {
        bytes.extend(u16::try_from(key.len()).unwrap_or_default().to_be_bytes());
        bytes.extend(key.as_bytes());
        bytes.extend(u16::try_from(value.len()).unwrap_or_default().to_be_bytes());
        bytes.extend(*value);
    }
    bytes.extend([0, 0]);
    bytes
}

/// A box that has as many keys and but one byte less than it may, and goes on. It comes byte by
/// byte.
fn one_key_too_many() -> Vec<u8> {
    let mut bytes = vec![1];
    for length in [57, 57, 57, 57, 57, 57, 57, 64] {
        bytes.extend([0, 2, b'k', b'k', 0, length]);
        bytes.extend(std::iter::repeat_n(7, usize::from(length)));
    }
    bytes.extend([0, 1, b'k']);
    bytes
}

fn conversations() -> Vec<Vec<u8>> {
    let ask = |tag: &[u8], command: &[u8]| box_of(&[("_ask", tag), ("_command", command)]);
    // Long inputs are slow ones, so a box is no larger than it takes to be a large one.
    let large: Vec<u8> = {
        let value = [7; 600];
        box_of(&[("_ask", b"9"), ("_command", b"Echo"), ("bytes", &value), ("bytes.2", &value)])
    };
    let whole = box_of(&[("_ask", b"9"), ("_command", b"Echo"), ("bytes", &[7; 4200])]);
    let (first, second) = large.split_at(large.len() / 2);
    let streamed = |command: &[u8], key: &str, bytes: &[u8]| {
        box_of(&[("_command", command), (key, b"1"), ("bytes", bytes)])
    };
    let open = |command: &[u8]| box_of(&[("_ask", b"1"), ("_command", command), ("_stream", b"")]);
    vec![
        Vec::new(),
        box_of(&[]),
        ask(b"1", b"Ping"),
        ask(b"1", b"Nonsense"),
        box_of(&[("_command", b"Ping")]),
        box_of(&[("_ask", b"1"), ("_command", b"Echo"), ("bytes", b"word")]),
        box_of(&[("_ask", b"1"), ("_command", b"Authenticate"), ("message", &[7; 50])]),
        box_of(&[("_answer", b"1"), ("digest", &[7; 32]), ("salt", &[7; 16])]),
        box_of(&[("_answer", b"2"), ("bytes", b"word")]),
        box_of(&[("_error", b"2"), ("_error_code", b"UNKNOWN"), ("_error_description", b"?")]),
        [
            open(b"Count"),
            streamed(b"Credit", "_stream_ask", b"1000"),
            streamed(b"Unwanted", "_stream_ask", b""),
        ]
        .concat(),
        [
            open(b"Add"),
            streamed(b"Item", "_stream_ask", b"abc"),
            streamed(b"Item", "_stream_ask", b""),
            streamed(b"End", "_stream_ask", b""),
        ]
        .concat(),
        [open(b"Add"), box_of(&[("_command", b"Cancel"), ("tag", b"1")])].concat(),
        [
            box_of(&[("_command", b"Item"), ("_stream_answer", b"3"), ("bytes", b"abc")]),
            box_of(&[("_command", b"Credit"), ("_stream_answer", b"3"), ("bytes", b"99")]),
            box_of(&[("_answer", b"3")]),
        ]
        .concat(),
        [
            box_of(&[("_command", b"Part"), ("_part", b"1"), ("bytes", first)]),
            box_of(&[("_command", b"Part"), ("_part", b"1"), ("bytes", second), ("_last", b"1")]),
            box_of(&[("_command", b"Part"), ("_part", b"2"), ("bytes", first)]),
            box_of(&[("_command", b"Part"), ("_part", b"2"), ("_given_up", b"")]),
            box_of(&[("_command", b"Credit"), ("_part", b""), ("bytes", b"70000")]),
        ]
        .concat(),
        box_of(&[
            ("_ask", b"1"),
            ("_command", b"Wait"),
            ("_deadline_ms", b"18446744073709551615"),
            ("_trace", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ]),
        [ask(b"1", b"Wait"), box_of(&[("_command", b"Cancel"), ("tag", b"1")]), ask(b"1", b"Wait")]
            .concat(),
        box_of(&[("_ask", b"1"), ("_command", b"Echo"), ("_once", &[0x77; 16]), ("bytes", b"")]),
        [ask(b"1", b"Leave"), ask(b"2", b"Ping")].concat(),
        whole,
    ]
}
