//! What is said in the clear: `StartTLS`, its answer, and not a byte more.

use mesh::HandshakeError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::certificates::Authority;
use crate::world::{ANSWER, ASK, PING, Part, UNHANDLED, agree, expect, meet, rest, send};

/// What a peer is told that says something else first.
fn is_told(said: &[u8]) -> bool {
    said.windows(12).any(|window| window == b"TLS_REQUIRED") && said.ends_with(b"\0\0")
}

fn what(refused: Result<(), HandshakeError>) -> String {
    refused.unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn whoever_accepts_says_nothing_before_it_is_asked_to_start_tls() {
    let (refused, said) = meet(Part::Accepts, Authority::new().identity(), rest).await;
    assert!(matches!(refused, Err(HandshakeError::TimedOut { .. })), "{refused:?}");
    assert_eq!(said, b"", "no challenge");
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_something_else_first_is_told_and_left() {
    let authenticate = b"\0\x04_ask\0\x011\0\x08_command\0\x0cAuthenticate\0\x07message\
        \0\x10mmmmmmmmmmmmmmmm\0\0";
    for (first, asked) in [(PING, "Ping"), (authenticate, "Authenticate"), (b"GET", "")] {
        let theirs = async |stream| send(stream, first).await;
        let (refused, said) = meet(Part::Accepts, Authority::new().identity(), theirs).await;
        if asked.is_empty() {
            assert!(matches!(refused, Err(HandshakeError::PeerMisbehaved(_))), "{refused:?}");
            assert_eq!(said, b"");
        } else {
            let asked = asked.to_owned();
            assert_eq!(refused, Err(HandshakeError::StartTlsRequired { asked }));
            assert!(is_told(&said), "{}", said.escape_ascii());
            assert!(!said.windows(6).any(|window| window == b"digest"), "no proof");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn start_tls_that_wants_no_answer_is_none() {
    let theirs = async |stream| send(stream, b"\0\x08_command\0\x08StartTLS\0\0").await;
    let (refused, said) = meet(Part::Accepts, Authority::new().identity(), theirs).await;
    assert!(matches!(refused, Err(HandshakeError::StartTlsRequired { .. })), "{refused:?}");
    assert_eq!(said, b"");
}

#[tokio::test(start_paused = true)]
async fn bytes_in_the_clear_behind_the_ask_are_not_read_and_end_the_connection() {
    // A whole box, the beginning of one, a single byte, and what looks like TLS.
    for behind in [PING, &PING[..9], b"\0", b"\x16\x03\x01"] {
        let theirs = async |stream| send(stream, &[ASK, behind].concat()).await;
        let (refused, said) = meet(Part::Accepts, Authority::new().identity(), theirs).await;
        assert_eq!(refused, Err(HandshakeError::ClearBehindStartTls));
        assert_eq!(said, b"", "not even an answer");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_in_the_clear_behind_the_answer_are_not_read_and_end_the_connection() {
    for behind in [PING, &PING[..9], b"\0", b"\x16\x03\x01", ANSWER] {
        let theirs = async |mut stream| {
            expect(&mut stream, ASK).await;
            send(stream, &[ANSWER, behind].concat()).await
        };
        let (refused, said) = meet(Part::Dials, Authority::new().identity(), theirs).await;
        assert_eq!(refused, Err(HandshakeError::ClearBehindStartTls));
        assert_eq!(said, b"", "TLS does not begin");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_in_the_clear_where_tls_has_begun_end_the_connection() {
    for part in [Part::Dials, Part::Accepts] {
        let theirs = async |mut stream| {
            agree(part, &mut stream).await;
            if part == Part::Dials {
                // Our first message of TLS is on its way.
                assert_eq!(stream.read_u8().await.unwrap(), 0x16);
            }
            send(stream, PING).await
        };
        let (refused, said) = meet(part, Authority::new().identity(), theirs).await;
        let words = what(refused);
        assert_eq!(words, "TLS failed: the peer does not speak TLS", "{part:?}");
        assert!(!said.windows(5).any(|window| window == b"_answ"), "{}", said.escape_ascii());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_dials_says_nothing_but_start_tls_to_a_peer_that_does_not_answer_it() {
    let theirs = async |mut stream| {
        expect(&mut stream, ASK).await;
        rest(stream).await
    };
    let (refused, said) = meet(Part::Dials, Authority::new().identity(), theirs).await;
    assert!(matches!(refused, Err(HandshakeError::TimedOut { .. })), "{refused:?}");
    assert_eq!(said, b"");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_unhandled_is_left_and_nothing_goes_on_in_the_clear() {
    let theirs = async |mut stream| {
        expect(&mut stream, ASK).await;
        send(stream, UNHANDLED).await
    };
    let (refused, said) = meet(Part::Dials, Authority::new().identity(), theirs).await;
    let (code, description) = ("UNHANDLED".to_owned(), "What".to_owned());
    assert_eq!(refused, Err(HandshakeError::StartTlsRefused { code, description }));
    assert_eq!(said, b"");
}

#[tokio::test(start_paused = true)]
async fn a_dialled_peer_that_asks_in_the_clear_is_told_and_left() {
    // Before it answers, behind a refusal, and with StartTLS of its own, which is for the dialler.
    for said_first in [PING.to_vec(), [UNHANDLED, PING].concat(), ASK.to_vec()] {
        let theirs = async |mut stream| {
            expect(&mut stream, ASK).await;
            send(stream, &said_first).await
        };
        let (refused, said) = meet(Part::Dials, Authority::new().identity(), theirs).await;
        if said_first.starts_with(UNHANDLED) {
            assert!(matches!(refused, Err(HandshakeError::StartTlsRefused { .. })), "{refused:?}");
            assert_eq!(said, b"");
        } else {
            assert!(matches!(refused, Err(HandshakeError::StartTlsRequired { .. })), "{refused:?}");
            assert!(is_told(&said), "{}", said.escape_ascii());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_comes_in_pieces_is_an_ask() {
    let (refused, said) = meet(Part::Accepts, Authority::new().identity(), async |mut stream| {
        for byte in ASK {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        expect(&mut stream, ANSWER).await;
        drop(stream);
    })
    .await;
    assert!(matches!(refused, Err(HandshakeError::Lost(_))), "{refused:?} {said:?}");
}
