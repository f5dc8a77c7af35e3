//! Every way to be no peer, against either side: refused, and not a byte of an application's taken.
//!
//! A process that is known by its key accepts or dials. Whoever is at the other end asks something
//! at once, wherever it gets so far; no responder is ever reached, and nobody is admitted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use amp_proto::CallError;
use cluster::ClusterController;
use mesh::{BackoffSettings, HandshakeError, KeyPair, Pins};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::peers::{Shows, client, connector, server};
use crate::strangers::refused;
use crate::world::{WhoAmI, World, client_for, dial, dial_believing, member};

/// Far more than anything here takes, also on a machine with too much to do.
const SOON: Duration = Duration::from_secs(20);

/// Two asks in the clear, the first of which any peer of the mesh may make.
const IN_THE_CLEAR: &[u8] = b"\0\x04_ask\0\x011\0\x08_command\0\x0cAuthenticate\0\x07message\
    \0\x10mmmmmmmmmmmmmmmm\0\0\0\x04_ask\0\x012\0\x08_command\0\x06WhoAmI\0\0";

/// What is wrong with whoever is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Tls12,
    NoKey,
    UnknownKey,
    CertificateInPlaceOfAKey,
    WrongPin,
    PlainAmp,
    RevokedKey,
    KeyOfTheWrongRole,
}

#[tokio::test]
async fn a_region_refuses_tls_1_2() {
    region_refuses(Fault::Tls12).await;
}

#[tokio::test]
async fn a_region_refuses_a_client_without_a_key() {
    region_refuses(Fault::NoKey).await;
}

#[tokio::test]
async fn a_region_refuses_a_key_that_is_not_enrolled() {
    region_refuses(Fault::UnknownKey).await;
}

#[tokio::test]
async fn a_region_refuses_a_certificate_in_place_of_a_key() {
    region_refuses(Fault::CertificateInPlaceOfAKey).await;
}

#[tokio::test]
async fn a_region_is_not_spoken_to_by_a_client_that_believes_another() {
    region_refuses(Fault::WrongPin).await;
}

#[tokio::test]
async fn a_region_refuses_plain_amp() {
    region_refuses(Fault::PlainAmp).await;
}

#[tokio::test]
async fn a_region_refuses_a_key_that_was_revoked() {
    region_refuses(Fault::RevokedKey).await;
}

#[tokio::test]
async fn a_region_refuses_a_client_with_the_key_of_a_region() {
    region_refuses(Fault::KeyOfTheWrongRole).await;
}

#[tokio::test]
async fn a_cluster_refuses_tls_1_2() {
    cluster_refuses(Fault::Tls12).await;
}

#[tokio::test]
async fn a_cluster_refuses_a_server_without_a_key() {
    cluster_refuses(Fault::NoKey).await;
}

#[tokio::test]
async fn a_cluster_refuses_a_key_that_it_does_not_know() {
    cluster_refuses(Fault::UnknownKey).await;
}

#[tokio::test]
async fn a_cluster_refuses_a_certificate_in_place_of_a_key() {
    cluster_refuses(Fault::CertificateInPlaceOfAKey).await;
}

#[tokio::test]
async fn a_cluster_that_believes_another_key_refuses_that_of_the_region() {
    cluster_refuses(Fault::WrongPin).await;
}

#[tokio::test]
async fn a_cluster_refuses_plain_amp() {
    cluster_refuses(Fault::PlainAmp).await;
}

#[tokio::test]
async fn a_cluster_refuses_the_key_of_a_region_that_was_revoked() {
    cluster_refuses(Fault::RevokedKey).await;
}

#[tokio::test]
async fn a_cluster_refuses_a_server_with_the_key_of_a_cluster() {
    cluster_refuses(Fault::KeyOfTheWrongRole).await;
}

/// A region that accepts, and a client with this fault.
async fn region_refuses(fault: Fault) {
    let world = World::new();
    let other = KeyPair::generate();
    let _other = world.region_builder().key_pair(other.clone()).start().await.unwrap();
    let region = world.region().await;
    let me = member(&region).await;
    let code_told = async |pair: &KeyPair| {
        let refused = dial(&region, pair).await.unwrap().call(WhoAmI).await;
        match refused {
            Err(CallError::Undeclared { code, .. }) => code,
            other => panic!("{fault:?}: {other:?}"),
        }
    };
    match fault {
        Fault::Tls12 => {
            let connector: TlsConnector =
                Arc::new(client(false, Shows::Certificate, &TLS12)).into();
            let words = refused(&region, &connector).await;
            assert!(words.contains("ProtocolVersion"), "{words}");
        }
        Fault::NoKey => {
            let words = refused(&region, &connector(true, Shows::LessThanItSays)).await;
            assert!(words.contains("CertificateRequired"), "{words}");
            let words = refused(&region, &connector(true, Shows::Nothing)).await;
            assert!(words.contains("tls handshake eof"), "{words}");
        }
        Fault::CertificateInPlaceOfAKey => {
            for raw in [true, false] {
                let words = refused(&region, &connector(raw, Shows::Certificate)).await;
                assert!(words.contains("tls handshake eof"), "{words}");
            }
        }
        Fault::UnknownKey => assert_eq!(code_told(&KeyPair::generate()).await, "NOT_ENROLLED"),
        Fault::WrongPin => {
            let believed = KeyPair::generate().public();
            let refused = dial_believing(&region, &me.pair, believed).await.map(drop);
            let key = region.key().unwrap();
            assert_eq!(refused, Err(HandshakeError::UnknownRegion { key }));
        }
        Fault::PlainAmp => {
            let mut stream = TcpStream::connect(region.address()).await.unwrap();
            stream.write_all(IN_THE_CLEAR).await.unwrap();
            let mut answer = Vec::new();
            let _end = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("it hangs up");
            assert!(answer.is_empty(), "not a word: {answer:?}");
        }
        Fault::RevokedKey => {
            region.revoke(&me.pair.public()).await.unwrap();
            assert_eq!(code_told(&me.pair).await, "KEY_REVOKED");
        }
        Fault::KeyOfTheWrongRole => assert_eq!(code_told(&other).await, "KEY_REVOKED"),
    }
    assert_eq!(world.desk.asked.load(Ordering::SeqCst), 0, "nothing was carried out");
    assert!(region.get_all_clients().is_empty(), "nobody was admitted");
}

/// A cluster that dials, and a server with this fault.
async fn cluster_refuses(fault: Fault) {
    let world = World::new();
    let pair = KeyPair::generate();
    let region = world.region_builder().key_pair(pair.clone()).start().await.unwrap();
    let me = member(&region).await;
    let known = Pins::new(me.membership.keys.iter().copied());
    let key_of = |pair: &KeyPair| Some(server(true, Shows::Key(pair), &TLS13));
    let (config, pins) = match fault {
        Fault::Tls12 => (Some(server(false, Shows::Certificate, &TLS12)), known),
        Fault::NoKey => (Some(server(true, Shows::Nothing, &TLS13)), known),
        Fault::UnknownKey => (key_of(&KeyPair::generate()), known),
        Fault::CertificateInPlaceOfAKey => (Some(server(false, Shows::Certificate, &TLS13)), known),
        Fault::WrongPin => (key_of(&pair), Pins::new([KeyPair::generate().public()])),
        Fault::PlainAmp => (None, known),
        Fault::RevokedKey => {
            // The cluster is told by a region process that is still believed.
            let lost = KeyPair::generate();
            let _other = world.region_builder().key_pair(lost.clone()).start().await.unwrap();
            let cluster = world.cluster_builder(&me).region_keys(known.clone());
            let cluster = cluster.start().await.unwrap();
            client_for(&region, me.uuid).await;
            let mut changes = known.changes();
            let believes = |keys: &std::collections::BTreeSet<_>| keys.contains(&lost.public());
            let learnt = timeout(SOON, changes.wait_for(believes)).await;
            drop(learnt.expect("it learns the other key").unwrap());
            region.revoke(&lost.public()).await.unwrap();
            let told = timeout(SOON, changes.wait_for(|keys| !believes(keys))).await;
            drop(told.expect("it is told of the end of the key").unwrap());
            cluster.shutdown().await;
            (key_of(&lost), known)
        }
        Fault::KeyOfTheWrongRole => (key_of(&member(&region).await.pair), known),
    };

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (first, max) = (Duration::from_millis(10), Duration::from_millis(20));
    let backoff = BackoffSettings { first, max, refused_min: first, refused_max: max };
    let cluster = ClusterController::builder()
        .uuid(me.uuid)
        .key_pair(me.pair.clone())
        .region_keys(pins)
        .region(listener.local_addr().unwrap().to_string())
        .backoff(backoff)
        .client_wait(Duration::from_millis(1))
        .responders_arc(Arc::clone(&world.desk));
    let cluster = cluster.start().await.unwrap();
    // When it comes for the third time, two attempts have come to nothing.
    for _ in 0..3 {
        let (stream, _) = timeout(SOON, listener.accept()).await.expect("it comes").unwrap();
        timeout(SOON, ask_of_whoever_dials(stream, config.clone())).await.expect("it hangs up");
    }
    assert!(cluster.get_client().await.is_err(), "it is connected to nobody");
    assert_eq!(world.desk.asked.load(Ordering::SeqCst), 0, "nothing was carried out");
    cluster.shutdown().await;
}

/// Takes the server's part, and asks as soon as it can.
async fn ask_of_whoever_dials(mut stream: TcpStream, config: Option<ServerConfig>) {
    let Some(config) = config else {
        stream.write_all(IN_THE_CLEAR).await.unwrap();
        let mut said = Vec::new();
        let _end = stream.read_to_end(&mut said).await;
        assert_eq!(said.first(), Some(&0x16), "{said:?}");
        assert!(!said.windows(5).any(|window| window == b"_answ"), "{said:?}");
        return;
    };
    // It breaks off before it has said a byte of its own within TLS.
    let accepted = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
    assert!(accepted.is_err(), "TLS comes about");
}

#[tokio::test]
async fn whoever_does_not_name_the_protocol_within_tls_is_refused() {
    let world = World::new();
    let pair = KeyPair::generate();
    let region = world.region_builder().key_pair(pair.clone()).start().await.unwrap();
    let me = member(&region).await;
    let mut config = client(true, Shows::Key(&me.pair), &TLS13);
    config.alpn_protocols.clear();
    let stream = TcpStream::connect(region.address()).await.unwrap();
    let name = ServerName::try_from("region.example").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    says_nothing(stream).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut me = me;
    me.membership.addresses = vec![listener.local_addr().unwrap().to_string()];
    let cluster = world.cluster(&me).await;
    let mut config = server(true, Shows::Key(&pair), &TLS13);
    config.alpn_protocols.clear();
    let (stream, _) = timeout(SOON, listener.accept()).await.expect("it comes").unwrap();
    says_nothing(TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap()).await;
    assert_eq!(world.desk.asked.load(Ordering::SeqCst), 0, "nothing was carried out");
    cluster.shutdown().await;
}

/// Asks, and is left without a word.
async fn says_nothing(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let _asked = stream.write_all(b"\0\x04_ask\0\x011\0\x08_command\0\x06WhoAmI\0\0").await;
    let mut said = Vec::new();
    let _end = timeout(SOON, stream.read_to_end(&mut said)).await.expect("it hangs up");
    assert!(said.is_empty(), "{said:?}");
}

#[tokio::test]
async fn the_peers_that_are_refused_here_would_do_if_nothing_were_wrong_with_them() {
    let world = World::new();
    let pair = KeyPair::generate();
    let region = world.region_builder().key_pair(pair.clone()).start().await.unwrap();
    let me = member(&region).await;
    // As a client: with a key that is enrolled.
    let stream = TcpStream::connect(region.address()).await.unwrap();
    let name = ServerName::try_from("region.example").unwrap();
    let connector = connector(true, Shows::Key(&me.pair));
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream.write_all(b"\0\x04_ask\0\x011\0\x08_command\0\x06WhoAmI\0\0").await.unwrap();
    let mut first = [0; 1];
    timeout(SOON, stream.read_exact(&mut first)).await.expect("it says something").unwrap();
    drop(stream);
    // As a server: with the key of the region.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let cluster = world.cluster_builder(&me);
    let cluster = cluster.region(listener.local_addr().unwrap().to_string());
    let cluster = cluster.start().await.unwrap();
    let (stream, _) = timeout(SOON, listener.accept()).await.expect("it comes").unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server(true, Shows::Key(&pair), &TLS13)));
    let mut stream = acceptor.accept(stream).await.expect("TLS comes about");
    timeout(SOON, stream.read_exact(&mut first)).await.expect("it says something").unwrap();
    drop(stream);
    cluster.shutdown().await;
}
