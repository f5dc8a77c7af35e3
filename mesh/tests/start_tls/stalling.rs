//! One time limit and one limit of bytes hold over the clear part, TLS and the proof together.

use std::time::Duration;

use mesh::HandshakeError;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{Instant, sleep};

use crate::certificates::{Authority, NAME, acceptor, connector};
use crate::world::{ASK, HANDSHAKE, Part, agree, expect, meet};

/// How far a peer goes before it says nothing more. Each step takes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    Connected,
    Agreed,
    InTlsHandshake,
    InTls,
}

async fn stall(part: Part, until: Until, authority: &Authority, mut stream: DuplexStream) {
    let a_while = || sleep(Duration::from_secs(1));
    a_while().await;
    let mut silence = Vec::new();
    if until >= Until::Agreed {
        agree(part, &mut stream).await;
        a_while().await;
    }
    if until == Until::InTlsHandshake {
        // The first bytes of a message that is announced as longer.
        stream.write_all(b"\x16\x03\x01\x01\0\x01").await.unwrap();
        a_while().await;
    }
    if until < Until::InTls {
        let _ended = stream.read_to_end(&mut silence).await;
        return;
    }
    let shown = authority.sign();
    match part {
        Part::Accepts => {
            let name = ServerName::try_from(NAME).unwrap();
            let connector = connector(Some(&shown), authority, &TLS13);
            let mut stream = connector.connect(name, stream).await.unwrap();
            a_while().await;
            let _ended = stream.read_to_end(&mut silence).await;
        }
        Part::Dials => {
            let acceptor = acceptor(&shown, authority, &TLS13);
            let mut stream = acceptor.accept(stream).await.unwrap();
            a_while().await;
            let _ended = stream.read_to_end(&mut silence).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stalls_anywhere_ends_when_its_one_time_limit_is_over() {
    for part in [Part::Dials, Part::Accepts] {
        for until in [Until::Connected, Until::Agreed, Until::InTlsHandshake, Until::InTls] {
            let authority = Authority::new();
            let began = Instant::now();
            let theirs = async |stream| stall(part, until, &authority, stream).await;
            let (refused, ()) = meet(part, authority.identity(), theirs).await;
            assert_eq!(refused, Err(HandshakeError::TimedOut { after: HANDSHAKE }), "{until:?}");
            let took = began.elapsed();
            // A second more is given to a peer that is being left.
            let most = HANDSHAKE + Duration::from_millis(1100);
            assert!(took >= HANDSHAKE && took < most, "{part:?} {until:?}: {took:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_within_tls_before_the_proof_counts_against_the_limit_of_bytes() {
    let authority = Authority::new();
    let theirs = async |mut stream| {
        agree(Part::Accepts, &mut stream).await;
        let connector = connector(Some(&authority.sign()), &authority, &TLS13);
        let name = ServerName::try_from(NAME).unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        // One box that grows: more than 8 KiB of it.
        stream.write_all(b"\0\x01k\x7f\xff").await.unwrap();
        let _refused = stream.write_all(&[0; 9 * 1024]).await;
        let _refused = stream.flush().await;
        let mut said = Vec::new();
        let _ended = stream.read_to_end(&mut said).await;
    };
    let (refused, ()) = meet(Part::Accepts, authority.identity(), theirs).await;
    let words = refused.unwrap_err().to_string();
    assert_eq!(words, "more than 8192 bytes before the handshake was over");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_floods_in_place_of_starting_tls_is_left_after_the_limit_of_bytes() {
    for part in [Part::Dials, Part::Accepts] {
        let theirs = async |mut stream: DuplexStream| {
            if part == Part::Dials {
                expect(&mut stream, ASK).await;
            }
            let _refused = stream.write_all(b"\0\x01k\x7f\xff").await;
            let _refused = stream.write_all(&[0; 9 * 1024]).await;
            let mut said = Vec::new();
            let _ended = stream.read_to_end(&mut said).await;
        };
        let (refused, ()) = meet(part, Authority::new().identity(), theirs).await;
        let words = refused.unwrap_err().to_string();
        assert_eq!(words, "more than 8192 bytes before the handshake was over", "{part:?}");
    }
}
