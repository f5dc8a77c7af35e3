//! A peer that belongs, and speaks AMP badly: what it gets, and whether the connection lives.
//!
//! The rows are those of Twisted's own behaviour, with our deviations: one ask that cannot be
//! answered fails alone. Only a stream that cannot be trusted any more is closed.

use std::fmt::Write as _;
use std::time::Duration;

use amp_proto::{AmpBox, CallError, Limits};
use bytes::Bytes;
use mesh_harness::{Logs, Mesh, TestResult};
use tokio::time::Instant;

use crate::desk::{Desk, Fail, FailError, How, Sum, Total};
use crate::raw::{RawPeer, box_of};

async fn mesh() -> TestResult<Mesh> {
    let mesh = Mesh::builder().clusters(0).region_responders(|_| Desk::default());
    Ok(mesh.start().await?)
}

async fn peer(mesh: &Mesh) -> TestResult<RawPeer> {
    let mut peer = RawPeer::admitted(mesh, &Mesh::uuid_of(0).to_string()).await?;
    assert!(peer.replies_until_ping().await?.is_empty());
    Ok(peer)
}

/// An ask for a sum, with a tag.
fn sum(tag: &[u8]) -> Vec<u8> {
    box_of([("_ask", tag), ("_command", b"Sum"), ("a", b"1"), ("b", b"2")])
}

/// A reply in few words: `1: total=3`, `1! UNKNOWN`.
fn in_words(reply: &AmpBox) -> String {
    let text = |key: &str| reply.get(key).map(|value| value.escape_ascii().to_string());
    let mut words = match (text("_answer"), text("_error"), text("_error_code")) {
        (Some(tag), None, None) => format!("{tag}:"),
        (None, Some(tag), Some(code)) => format!("{tag}! {code}"),
        _ => panic!("neither an answer nor an error: {reply:?}"),
    };
    for (key, value) in reply.iter().filter(|(key, _)| !key.starts_with(b"_")) {
        write!(words, " {}={}", key.escape_ascii(), value.escape_ascii()).unwrap();
    }
    words
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Lives,
    Closes,
}

/// Sends `bytes` and, in the same breath, a good ask; checks the replies and the connection.
async fn assert_case(
    mesh: &Mesh,
    name: &str,
    bytes: &[u8],
    replies: &[&str],
    then: Then,
) -> TestResult {
    let mut peer = peer(mesh).await?;
    peer.send(&[bytes, &sum(b"good")].concat()).await?;
    let started = Instant::now();
    let (got, expected) = match then {
        Then::Closes => (peer.replies_until_closed().await, replies.to_vec()),
        Then::Lives => (peer.replies_until_ping().await?, [replies, &["good: total=3"]].concat()),
    };
    let got: Vec<_> = got.iter().map(in_words).collect();
    assert_eq!(got, expected, "{name}");
    assert!(started.elapsed() < Duration::from_secs(1), "{name}: {:?}", started.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_bad_ask_fails_alone() -> TestResult {
    let mesh = mesh().await?;
    let ask = |command: &'static [u8]| [("_ask", &b"1"[..]), ("_command", command)];
    let fail = |how: &'static [u8]| box_of([("_ask", b"1"), ("_command", b"Fail"), ("how", how)]);
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("a command that nobody answers", box_of(ask(b"Nope")), &["1! UNHANDLED"]),
        ("the same without a tag", box_of([("_command", b"Nope")]), &[]),
        ("a command without a name", box_of(ask(b"")), &["1! UNHANDLED"]),
        ("a name that is not ASCII", box_of(ask("Käse".as_bytes())), &["1! UNHANDLED"]),
        ("a name that is not UTF-8", box_of(ask(b"\xff\xfe")), &["1! UNHANDLED"]),
        ("a name in another case", box_of(ask(b"ping")), &["1! UNHANDLED"]),
        ("a declared error", fail(b"declared"), &["1! NO_SUCH_THING"]),
        ("a declared error, and no tag", box_of([("_command", b"TellInVain")]), &[]),
        ("an error that is not declared", fail(b"undeclared"), &["1! UNKNOWN"]),
        ("the error of a third party", fail(b"passed on"), &["1! FROM_AFAR"]),
        ("a panic", fail(b"panic"), &["1! UNKNOWN"]),
        (
            "an undeclared error, and no tag",
            box_of([("_command", b"Fail"), ("how", b"panic")]),
            &[],
        ),
    ];
    for (name, bytes, replies) in cases {
        assert_case(&mesh, name, &bytes, replies, Then::Lives).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_bad_argument_fails_its_ask_alone() -> TestResult {
    let mesh = mesh().await?;
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        (
            "a word that is none of the choices",
            box_of([("_ask", b"1"), ("_command", b"Fail"), ("how", b"quietly")]),
            &["1! UNKNOWN"],
        ),
        (
            "an argument that is missing",
            box_of([("_ask", b"1"), ("_command", b"Sum")]),
            &["1! UNKNOWN"],
        ),
        ("a missing argument, and no tag", box_of([("_command", b"Sum")]), &[]),
        (
            "an argument that is no integer",
            box_of([("_ask", b"1"), ("_command", b"Sum"), ("a", b"one"), ("b", b"2")]),
            &["1! UNKNOWN"],
        ),
        (
            "an argument out of range",
            box_of([("_ask", b"1"), ("_command", b"Wait"), ("ms", b"-1")]),
            &["1! UNKNOWN"],
        ),
        (
            "text that is not UTF-8",
            box_of([("_ask", b"1"), ("_command", b"Echo"), ("bytes", b""), ("note", b"\xc3\x28")]),
            &["1! UNKNOWN"],
        ),
        (
            "an answer that fits no box",
            box_of([("_ask", b"1"), ("_command", b"Grow"), ("bytes", b"65536")]),
            &["1! UNKNOWN"],
        ),
    ];
    for (name, bytes, replies) in cases {
        assert_case(&mesh, name, &bytes, replies, Then::Lives).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_odd_and_not_wrong_is_answered() -> TestResult {
    let mesh = mesh().await?;
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        (
            "an argument that nobody declared",
            box_of([("_ask", b"1"), ("_command", b"Sum"), ("a", b"1"), ("b", b"2"), ("c", b"3")]),
            &["1: total=3"],
        ),
        (
            "an argument twice: the last one counts",
            box_of([("_ask", b"1"), ("_command", b"Sum"), ("a", b"7"), ("b", b"2"), ("a", b"1")]),
            &["1: total=3"],
        ),
        (
            "keys in no order",
            box_of([("b", b"2"), ("_command", b"Sum"), ("a", b"1"), ("_ask", b"1")]),
            &["1: total=3"],
        ),
        (
            "a number as Python writes it",
            box_of([("_ask", b"1"), ("_command", b"Sum"), ("a", b" +1_0 "), ("b", b"-07")]),
            &["1: total=3"],
        ),
        ("one tag twice", [sum(b"1"), sum(b"1")].concat(), &["1: total=3", "1: total=3"]),
        ("an empty tag", sum(b""), &[": total=3"]),
        ("a tag of any bytes", sum(b"\xff\x00\n"), &["\\xff\\x00\\n: total=3"]),
        (
            "an error code that nobody asked for",
            box_of([("_ask", b"1"), ("_command", b"Ping"), ("_error_code", b"X")]),
            &["1:"],
        ),
    ];
    for (name, bytes, replies) in cases {
        assert_case(&mesh, name, &bytes, replies, Then::Lives).await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_trusted_is_closed_and_nothing_after_it_is_done() -> TestResult {
    let logs = Logs::capture();
    let mesh = mesh().await?;
    let client_hello = [&[0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1, 3, 3][..], &[0x42; 160]].concat();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("an empty box", b"\0\0".to_vec(), "an empty box"),
        ("a box that says nothing", box_of([("k", b"v")]), "neither asks nor answers"),
        ("a tag without a command", box_of([("_ask", b"1")]), "neither asks nor answers"),
        ("an answer to nothing", box_of([("_answer", b"99")]), "an answer to `\"99\"`"),
        ("an error to nothing", box_of([("_error", b"99")]), "an answer to `\"99\"`"),
        ("an answer without a tag", box_of([("_answer", b"")]), "an answer to"),
        ("a tag with a zero before it", box_of([("_answer", b"02")]), "an answer to `\"02\"`"),
        ("a tag that is no number", box_of([("_answer", b"two")]), "an answer to `\"two\"`"),
        (
            "an ask that is an answer as well",
            box_of([("_ask", b"1"), ("_command", b"Ping"), ("_answer", b"99")]),
            "an answer to",
        ),
        (
            "an ask that is an error as well",
            box_of([("_ask", b"1"), ("_command", b"Ping"), ("_error", b"99")]),
            "an answer to",
        ),
        ("a second answer to one ask", box_of([("_answer", b"2")]), "an answer to `\"2\"`"),
        ("a key of 256 bytes", b"\x01\0".to_vec(), "a key length of 256"),
        ("a key of 65,535 bytes", b"\xff\xff".to_vec(), "a key length of 65535"),
        ("an HTTP request", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "looks like an HTTP request"),
        ("a TLS hello", client_hello, "looks like a TLS ClientHello"),
    ];
    let warnings = || logs.lines_with("WARN");
    for (name, bytes, why) in cases {
        let before = warnings().iter().filter(|line| line.contains(why)).count();
        assert_case(&mesh, name, &bytes, &[], Then::Closes).await?;
        let after = warnings().iter().filter(|line| line.contains(why)).count();
        assert_eq!(after, before + 1, "{name}: {}", logs.text());
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_is_the_last_thing_that_is_said() -> TestResult {
    let mesh = mesh().await?;
    let mut peer = peer(&mesh).await?;
    peer.send(&box_of([("_ask", b"1"), ("_command", b"Fail"), ("how", b"fatal")])).await?;
    let replies: Vec<_> = peer.replies_until_closed().await.iter().map(in_words).collect();
    assert_eq!(replies, ["1! THE_END"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn boxes_beyond_the_limits_close_and_boxes_at_the_limits_do_not() -> TestResult {
    let logs = Logs::capture();
    let limits = Limits { box_bytes_max: 100_000, keys_per_box_max: 20, ..Limits::default() };
    let builder = Mesh::builder().clusters(0).region_responders(|_| Desk::default());
    let mesh = builder.limits(limits).start().await?;
    let ask = box_of([("_ask", b"1"), ("_command", b"Ping")]);
    let with = |more: &[(String, usize)]| {
        let mut bytes = ask[..ask.len() - 2].to_vec();
        for (key, length) in more {
            bytes.extend(u16::try_from(key.len()).unwrap().to_be_bytes());
            bytes.extend(key.as_bytes());
            bytes.extend(u16::try_from(*length).unwrap().to_be_bytes());
            bytes.extend(vec![b'x'; *length]);
        }
        bytes.extend([0, 0]);
        bytes
    };
    let keys = |count: usize| (0..count).map(|key| (format!("k{key}"), 0)).collect::<Vec<_>>();
    assert_case(&mesh, "20 keys", &with(&keys(18)), &["1:"], Then::Lives).await?;
    assert_case(&mesh, "21 keys", &with(&keys(19)), &[], Then::Closes).await?;
    assert_eq!(logs.lines_with("a box with more than 20 keys").len(), 1);

    let room = 100_000 - ask.len() - 2 * (1 + 4) - 60_000;
    let value = |length| with(&[("k".to_owned(), 60_000), ("l".to_owned(), length)]);
    assert_case(&mesh, "100,000 bytes", &value(room), &["1:"], Then::Lives).await?;
    assert_case(&mesh, "100,001 bytes", &value(room + 1), &[], Then::Closes).await?;
    assert_eq!(logs.lines_with("a box of more than 100000 bytes").len(), 1);

    assert_case(&mesh, "a long key", &with(&[("k".repeat(255), 1)]), &["1:"], Then::Lives).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn boxes_may_come_in_any_pieces() -> TestResult {
    let mesh = mesh().await?;
    let mut peer = peer(&mesh).await?;
    let bytes = [sum(b"1"), sum(b"2"), box_of([("_command", b"Tell"), ("note", b"hm")])].concat();
    for byte in &bytes {
        peer.send(&[*byte]).await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for pieces in bytes.chunks(7) {
        peer.send(pieces).await?;
        tokio::task::yield_now().await;
    }
    let replies: Vec<_> = peer.replies_until_ping().await?.iter().map(in_words).collect();
    assert_eq!(replies, ["1: total=3", "2: total=3", "1: total=3", "2: total=3"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_anywhere_ends_the_connection_and_nothing_half_said_is_done()
-> TestResult {
    let mesh = mesh().await?;
    let ask = sum(b"half");
    for end in 0..ask.len() {
        let mut peer = peer(&mesh).await?;
        peer.send(&[&sum(b"whole"), &ask[..end]].concat()).await?;
        peer.shut_down().await?;
        let replies: Vec<_> = peer.replies_until_closed().await.iter().map(in_words).collect();
        // What was asked before is still answered: only its own side is closed.
        assert_eq!(replies, ["whole: total=3"], "cut at {end}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn every_byte_of_an_ask_may_be_wrong() -> TestResult {
    let mesh = mesh().await?;
    let ask = sum(b"bent");
    for at in 0..ask.len() {
        for bent in [0, 1, 0x7f, 0xff] {
            let mut bytes = ask.clone();
            bytes[at] = bent;
            let mut peer = peer(&mesh).await?;
            peer.send(&bytes).await?;
            peer.shut_down().await?;
            for reply in peer.replies_until_closed().await {
                // Whatever it is taken for: it is one ask, and it gets one reply.
                let words = in_words(&reply);
                assert!(words.contains(':') || words.contains('!'), "{words} for {bent} at {at}");
            }
        }
    }
    // And bytes that are missing, or come twice.
    for at in 0..ask.len() {
        for bytes in [[&ask[..at], &ask[at + 1..]].concat(), [&ask[..=at], &ask[at..]].concat()] {
            let mut peer = peer(&mesh).await?;
            peer.send(&bytes).await?;
            peer.shut_down().await?;
            assert!(peer.replies_until_closed().await.len() <= 1, "at {at}");
        }
    }
    let mut peer = peer(&mesh).await?;
    peer.send(&sum(b"1")).await?;
    assert_eq!(in_words(&peer.next_reply().await.unwrap()), "1: total=3");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn fifty_thousand_asks_in_one_breath_are_all_answered() -> TestResult {
    const ASKS: usize = 50_000;
    let mesh = mesh().await?;
    let stream = mesh.dial(0).await?;
    let mut peer = RawPeer::new(stream);
    peer.prove(mesh.secret()).await?;
    let (mut reader, mut writer) = peer.split();
    let asking = async {
        let asks: Vec<u8> = (0..ASKS).flat_map(|tag| sum(tag.to_string().as_bytes())).collect();
        writer.send(&asks).await.unwrap();
    };
    let answers = async {
        for tag in 0..ASKS {
            let reply = reader.next_reply().await.unwrap();
            assert_eq!(in_words(&reply), format!("{tag}: total=3"));
        }
    };
    tokio::join!(asking, answers);
    Ok(())
}

/// The region asks for a sum, and the raw cluster replies as it likes.
async fn replied(
    reply: impl Fn(&[u8]) -> Vec<u8>,
) -> TestResult<(Result<Total, CallError<amp_proto::Never>>, RawPeer)> {
    let mesh = mesh().await?;
    let mut peer = peer(&mesh).await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let replying = async {
        let ask = peer.next().await.unwrap();
        assert_eq!(ask.get("_command").unwrap(), "Sum");
        peer.send(&reply(ask.get("_ask").unwrap())).await.unwrap();
    };
    let (outcome, ()) = tokio::join!(client.call(Sum { a: 1, b: 2 }), replying);
    drop(mesh);
    Ok((outcome, peer))
}

#[tokio::test(start_paused = true)]
async fn one_bad_reply_fails_its_caller_alone() -> TestResult {
    let unknown = |description: &str| {
        let (code, description) = ("UNKNOWN".to_owned(), description.to_owned());
        Err(CallError::Undeclared { code, description })
    };
    let (outcome, _) = replied(|tag| box_of([("_error", tag)])).await?;
    assert_eq!(outcome, unknown(""));
    let (outcome, _) =
        replied(|tag| box_of([("_error", tag), ("_error_description", b"hm")])).await?;
    assert_eq!(outcome, unknown("hm"));
    let bad = |tag: &[u8]| {
        box_of([("_error", tag), ("_error_code", b"UNKNOWN"), ("_error_description", b"\xff!")])
    };
    let (outcome, _) = replied(bad).await?;
    assert_eq!(outcome, unknown("\u{fffd}!"));
    let (outcome, _) =
        replied(|tag| box_of([("_error", tag), ("_error_code", b"UNHANDLED")])).await?;
    assert!(matches!(outcome, Err(CallError::Unhandled { .. })), "{outcome:?}");

    for answer in [&b""[..], b"three", b"99999999999999999999", b"3.0"] {
        let (outcome, _) = replied(|tag| box_of([("_answer", tag), ("total", answer)])).await?;
        assert!(matches!(outcome, Err(CallError::Decode(_))), "{outcome:?}");
    }
    let (outcome, _) = replied(|tag| box_of([("_answer", tag)])).await?;
    assert!(matches!(outcome, Err(CallError::Decode(_))), "{outcome:?}");
    let (outcome, _) =
        replied(|tag| box_of([("_answer", tag), ("total", b"3"), ("more", b"4")])).await?;
    assert_eq!(outcome, Ok(Total { total: 3 }));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_connection_lives_on_after_a_bad_reply() -> TestResult {
    let mesh = mesh().await?;
    let mut peer = peer(&mesh).await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    for round in 0..3 {
        let replying = async {
            let ask = peer.next().await.unwrap();
            let tag = ask.get("_ask").unwrap();
            let fields = [("_error", &tag[..]), ("_error_code", b"NO_SUCH_THING")];
            peer.send(&box_of(fields)).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(client.call(Fail { how: How::Declared }), replying);
        let expected = FailError::NoSuchThing(String::new());
        assert_eq!(outcome, Err(CallError::Declared(expected)), "round {round}");
        assert!(peer.replies_until_ping().await?.is_empty());
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_proved_itself_may_be_asked_to_prove_us_again() -> TestResult {
    let mesh = mesh().await?;
    let mut peer = peer(&mesh).await?;
    let challenge = Bytes::from_static(b"sixteen letters!");
    let fields = [("_ask", &b"1"[..]), ("_command", b"Authenticate"), ("message", &challenge)];
    peer.send(&box_of(fields)).await?;
    let reply = peer.next_reply().await.unwrap();
    let (digest, salt) = (reply.get("digest").unwrap(), reply.get("salt").unwrap());
    assert_eq!(digest[..], crate::raw::digest(mesh.secret(), &challenge, salt));
    Ok(())
}
