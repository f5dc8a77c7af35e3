//! Those who have no key, the wrong one, or another idea of how to prove it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use amp_proto::CallError;
use cluster::ClusterController;
use mesh::commands::{Identify, RegisterCluster, RegisterClusterError};
use mesh::{ClusterId, HandshakeError, KeyPair, Listen, SettingsError};
use region::RegionController;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::peers::{Shows, connector};
use crate::world::{WhoAmI, World, client_for, dial, dial_believing, member, quickly, secret};

const SOON: Duration = Duration::from_secs(8);

/// What a region says to such a client before it hangs up.
pub(crate) async fn refused(region: &RegionController, connector: &TlsConnector) -> String {
    let stream = TcpStream::connect(region.address()).await.unwrap();
    let name = ServerName::try_from("region.example").unwrap();
    let mut stream = match connector.connect(name, stream).await {
        Ok(stream) => stream,
        Err(error) => return error.to_string(),
    };
    // In TLS 1.3 a client hears of it after its own part of the handshake.
    let _written = stream.write_all(b"\0\x04_ask\0\x011\0\x08_command\0\x06WhoAmI\0\0").await;
    let mut answer = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("it hangs up");
    assert!(answer.is_empty(), "{answer:?}");
    read.unwrap_err().to_string()
}

#[tokio::test]
async fn whoever_shows_no_key_is_refused() {
    let world = World::new();
    let region = world.region().await;
    let words = refused(&region, &connector(true, Shows::Nothing)).await;
    assert!(words.contains("tls handshake eof"), "{words}");
    let words = refused(&region, &connector(true, Shows::LessThanItSays)).await;
    assert!(words.contains("CertificateRequired"), "{words}");
    assert_eq!(world.desk.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn whoever_shows_a_certificate_is_refused() {
    let world = World::new();
    let region = world.region().await;
    for raw in [true, false] {
        let words = refused(&region, &connector(raw, Shows::Certificate)).await;
        assert!(words.contains("tls handshake eof"), "{words}");
    }
    assert_eq!(world.desk.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn whoever_speaks_tls_1_2_is_refused() {
    // A ClientHello without the extension in which newer versions are offered.
    let mut hello = vec![0x03, 0x03];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![0x16, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);

    let region = World::new().region().await;
    let mut stream = TcpStream::connect(region.address()).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, stream.read_to_end(&mut answer)).await.expect("it hangs up").unwrap();
    // An alert, fatal: there is no version, or no curve, that both sides know.
    assert_eq!(answer[..3], [0x15, 3, 3], "{answer:?}");
    assert_eq!(answer[5], 2);
    assert!([40, 70, 109].contains(&answer[6]), "{answer:?}");
}

#[tokio::test]
async fn whoever_says_something_else_than_tls_or_amp_is_refused() {
    let region = World::new().region().await;
    for words in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", b"\0\x04_ask"] {
        let mut stream = TcpStream::connect(region.address()).await.unwrap();
        stream.write_all(words).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _read = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("it hangs up");
        assert!(answer.is_empty() || answer[0] == 0x15, "{words:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_cluster_does_not_speak_to_a_region_whose_key_it_does_not_know() {
    let world = World::new();
    let region = world.region().await;
    let me = member(&region).await;
    let other = KeyPair::generate().public();
    let refused = dial_believing(&region, &me.pair, other).await.map(drop);
    assert_eq!(refused, Err(HandshakeError::UnknownRegion { key: region.key().unwrap() }));
}

#[tokio::test]
async fn a_cluster_with_a_key_does_not_fall_back_to_plain_amp() {
    let world = World::new();
    let me = member(&world.region().await).await;
    // Whoever is on the way offers the plain protocol instead.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let cluster = ClusterController::builder().uuid(me.uuid).key_pair(me.pair.clone());
    let cluster = cluster.region_keys(mesh::Pins::new(me.membership.keys)).region(address);
    let cluster = cluster.backoff(quickly()).start().await.unwrap();
    for _ in 0..3 {
        let (mut stream, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
        stream.write_all(b"\0\x04_ask\0\x011\0\x08_command\0\x0cAuthenticate\0\0").await.unwrap();
        let mut said = Vec::new();
        let _read = stream.read_to_end(&mut said).await;
        // Records of handshakes and alerts; what it knows is in none of them.
        assert!(said.first() == Some(&0x16), "{said:?}");
        assert!(!said.windows(5).any(|window| window == b"_ask\0"), "{said:?}");
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_process_has_a_key_or_a_secret_and_a_cluster_not_both() {
    let nobody = ClusterController::builder().region("127.0.0.1:1").start().await.unwrap_err();
    assert!(matches!(nobody, cluster::StartError::Settings(SettingsError::NoIdentity)));
    let both = ClusterController::builder().region("127.0.0.1:1").secret(secret());
    let both = both.key_pair(KeyPair::generate()).start().await.unwrap_err();
    assert!(matches!(both, cluster::StartError::Settings(SettingsError::TwoIdentities)));
}

#[tokio::test]
async fn plain_amp_is_refused_unless_a_secret_is_configured() {
    let world = World::new();
    let region = world.region().await;
    let cluster = ClusterController::builder().region(region.address()).secret(secret());
    let cluster = cluster.client_wait(Duration::from_millis(300)).start().await.unwrap();
    assert!(cluster.get_client().await.is_err());
    cluster.shutdown().await;

    let mut stream = TcpStream::connect(region.address()).await.unwrap();
    stream.write_all(b"\0").await.unwrap();
    let mut answer = Vec::new();
    let _read = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("it hangs up");
    assert!(answer.is_empty(), "not a word: {answer:?}");
}

#[tokio::test]
async fn one_port_serves_those_with_a_key_and_those_with_the_secret() {
    let world = World::new();
    let region = world.region_builder().secret(secret()).start().await.unwrap();
    let me = member(&region).await;
    let by_key = world.cluster(&me).await;
    let plain = ClusterId::random();
    let by_secret = ClusterController::builder()
        .uuid(plain)
        .region(region.address())
        .secret(secret())
        .responders_arc(Arc::clone(&world.desk))
        .start()
        .await
        .unwrap();
    assert!(client_for(&region, me.uuid).await.call(WhoAmI).await.unwrap().by_key);
    let plainly = client_for(&region, plain).await.call(WhoAmI).await.unwrap();
    assert!(!plainly.by_key && plainly.key.is_none());
    by_key.shutdown().await;
    by_secret.shutdown().await;
}

#[tokio::test]
async fn a_uuid_that_a_key_stands_for_is_nobody_s_who_has_the_secret_alone() {
    let world = World::new();
    let region = world.region_builder().secret(secret()).start().await.unwrap();
    let me = member(&region).await;
    let thief = ClusterController::builder().uuid(me.uuid).region(region.address());
    let thief =
        thief.secret(secret()).client_wait(Duration::from_millis(300)).start().await.unwrap();
    assert!(thief.get_client().await.is_err());
    let found = region.get_client_for_within(me.uuid, Duration::from_millis(300)).await;
    assert!(found.is_err(), "calls for the cluster do not go to the thief");
    let cluster = world.cluster(&me).await;
    assert!(client_for(&region, me.uuid).await.call(WhoAmI).await.unwrap().by_key);
    thief.shutdown().await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_key_stands_for_one_uuid_and_claims_no_other() {
    let world = World::new();
    let region = world.region().await;
    let (mut me, victim) = (member(&region).await, member(&region).await);
    me.uuid = victim.uuid;
    let thief = world.cluster_builder(&me).client_wait(Duration::from_millis(300));
    let thief = thief.start().await.unwrap();
    assert!(thief.get_client().await.is_err());
    let found = region.get_client_for_within(victim.uuid, Duration::from_millis(300)).await;
    assert!(found.is_err());
    thief.shutdown().await;
}

#[tokio::test]
async fn a_silent_stranger_is_given_no_more_time_than_a_handshake_takes() {
    let world = World::new();
    let limits =
        mesh::Limits { handshake_timeout: Duration::from_millis(400), ..Default::default() };
    let region = world.region_builder().limits(limits).start().await.unwrap();
    for words in [&b""[..], b"\x16", b"\x16\x03\x01\x02\0\x01"] {
        let mut stream = TcpStream::connect(region.address()).await.unwrap();
        stream.write_all(words).await.unwrap();
        let mut answer = Vec::new();
        let _read = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("it hangs up");
    }
    let me = member(&region).await;
    dial(&region, &me.pair).await.unwrap().call(WhoAmI).await.unwrap();
}

#[tokio::test]
async fn a_region_without_a_key_invites_nobody() {
    let region = RegionController::builder().listen(Listen::loopback()).secret(secret());
    let region = region.start().await.unwrap();
    assert!(region.invite(Duration::from_secs(1)).await.is_err());
    let refused = dial_believing(&region, &KeyPair::generate(), KeyPair::generate().public()).await;
    assert!(matches!(
        refused.map(drop),
        Err(HandshakeError::Tls { .. } | HandshakeError::Lost(_) | HandshakeError::TimedOut { .. })
    ));
}

#[tokio::test]
async fn a_call_that_a_stranger_makes_is_not_carried_out() {
    let world = World::new();
    let region = world.region().await;
    let client = dial(&region, &KeyPair::generate()).await.unwrap();
    let asks = (0..20).map(|_| client.call(WhoAmI));
    let answers = futures_util::future::join_all(asks).await;
    assert!(answers.iter().all(Result::is_err));
    assert!(answers.iter().any(|it| matches!(it, Err(CallError::Undeclared { .. }))));
    assert_eq!(world.desk.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_cluster_that_claims_the_uuid_of_another_is_always_told_why_it_is_closed() {
    let world = World::new();
    let region = world.region().await;
    let me = member(&region).await;
    let (uuid, name) = (ClusterId::random(), "north".to_owned());
    for _ in 0..50 {
        let client = dial(&region, &me.pair).await.unwrap();
        let asked = RegisterCluster { uuid, name: name.clone(), version: String::new() };
        let (refused, _, _) =
            tokio::join!(client.call(asked), client.call(Identify), client.call(Identify));
        let refused = refused.unwrap_err();
        assert!(
            matches!(&refused, CallError::Declared(RegisterClusterError::NotAdmitted(_))),
            "{refused:?}"
        );
    }
}
