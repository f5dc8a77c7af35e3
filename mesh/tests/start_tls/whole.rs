//! Whole processes over TCP: what they call within TLS, and whom they do not go on with.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use amp_proto::{Authentication, Command, Never, Peer, responders};
use cluster::{ClusterBuilder, ClusterController};
use mesh::{BackoffSettings, ClusterId, KeyPair, Listen, SettingsError};
use region::{RegionBuilder, RegionController};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::certificates::{Authority, NAME, connector};
use crate::world::{ANSWER, ASK, secret};

/// Far more than anything here takes, also on a machine with too much to do.
const SOON: Duration = Duration::from_secs(20);

/// Is asked by either side.
#[derive(Clone, Debug, Command)]
#[command(answered_by = any)]
struct Knock;

#[derive(Debug, Default)]
struct Desk {
    asked: AtomicUsize,
}

#[responders]
impl Desk {
    #[responder]
    async fn knock(&self, _: Knock, peer: &Peer) -> Result<(), Never> {
        assert_eq!(peer.authentication(), Authentication::SharedSecret);
        assert!(peer.is_encrypted());
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn region_of(desk: &Arc<Desk>) -> RegionBuilder {
    let region = RegionController::builder().listen(Listen::loopback()).secret(secret());
    region.responders_arc(Arc::clone(desk))
}

fn cluster_of(desk: &Arc<Desk>, address: &str) -> ClusterBuilder {
    let (first, max) = (Duration::from_millis(10), Duration::from_millis(20));
    let backoff = BackoffSettings { first, max, refused_min: first, refused_max: max };
    let cluster = ClusterController::builder().region(address).secret(secret()).backoff(backoff);
    cluster.client_wait(SOON).responders_arc(Arc::clone(desk))
}

/// Passes a connection on, and keeps what either side says.
async fn pass_on(listener: &TcpListener, to: &str) -> (Vec<u8>, Vec<u8>) {
    async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> Vec<u8> {
        let (mut copied, mut bytes) = (Vec::new(), [0; 4096]);
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            let read = bytes.get(..read).unwrap();
            copied.extend_from_slice(read);
            if to.write_all(read).await.is_err() {
                break;
            }
        }
        let _closed = to.shutdown().await;
        copied
    }
    let (near, _) = listener.accept().await.unwrap();
    let (from_near, to_near) = near.into_split();
    let (from_far, to_far) = TcpStream::connect(to).await.unwrap().into_split();
    tokio::join!(copy(from_near, to_far), copy(from_far, to_near))
}

#[tokio::test]
async fn a_region_and_a_cluster_call_each_other_within_tls_and_say_nothing_else_in_the_clear() {
    let (authority, desk) = (Authority::new(), Arc::new(Desk::default()));
    let region = region_of(&desk).start_tls(authority.identity()).start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let calling = async {
        let uuid = ClusterId::random();
        let cluster = cluster_of(&desk, &address).uuid(uuid).start_tls(authority.identity());
        let cluster = cluster.start().await.unwrap();
        cluster.get_client().await.unwrap().call(Knock).await.unwrap();
        region.get_client_for_within(uuid, SOON).await.unwrap().call(Knock).await.unwrap();
        cluster.shutdown().await;
    };
    // The region tells of its own address, too: what comes over this one is what is looked at.
    let (passed, ()) = tokio::join!(pass_on(&listener, region.address()), calling);
    assert_eq!(desk.asked.load(Ordering::SeqCst), 2);
    for (said, in_the_clear) in [(&passed.0, ASK), (&passed.1, ANSWER)] {
        let rest = said.strip_prefix(in_the_clear).expect("StartTLS comes first");
        assert_eq!(rest[0], 0x16, "and then TLS");
        for word in [&b"_ask"[..], b"Authenticate", b"digest", b"Knock"] {
            assert!(!rest.windows(word.len()).any(|window| window == word));
        }
    }
    region.shutdown().await;
}

#[tokio::test]
async fn clusters_with_keys_come_to_the_same_port_as_those_that_start_tls() {
    let (authority, desk) = (Authority::new(), Arc::new(Desk::default()));
    let region = region_of(&desk).key_pair(KeyPair::generate()).start_tls(authority.identity());
    let region = region.start().await.unwrap();
    let invite = region.invite(Duration::from_secs(3600)).await.unwrap();
    let (keyed, pair) = (ClusterId::random(), KeyPair::generate());
    let joining = cluster::Joining::new(invite, pair.clone(), keyed, "keyed").join().await.unwrap();
    let by_key = ClusterController::builder().uuid(keyed).key_pair(pair);
    let by_key = by_key.region_keys(cluster::Pins::new(joining.keys)).region(region.address());
    let by_key = by_key.start().await.unwrap();
    let uuid = ClusterId::random();
    let by_certificate = cluster_of(&desk, region.address()).uuid(uuid);
    let by_certificate = by_certificate.start_tls(authority.identity()).start().await.unwrap();
    for uuid in [keyed, uuid] {
        region.get_client_for_within(uuid, SOON).await.unwrap().ping().await.unwrap();
    }
    by_key.shutdown().await;
    by_certificate.shutdown().await;
    region.shutdown().await;
}

/// Reads to the end of one box.
async fn a_box(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut read = Vec::new();
    while !read.ends_with(b"\0\0") || read.len() < 3 {
        read.push(timeout(SOON, stream.read_u8()).await.unwrap().unwrap());
    }
    read
}

#[tokio::test]
async fn start_tls_within_tls_is_refused_and_the_handshake_goes_on() {
    let (authority, desk) = (Authority::new(), Arc::new(Desk::default()));
    let region = region_of(&desk).start_tls(authority.identity()).start().await.unwrap();
    let mut stream = TcpStream::connect(region.address()).await.unwrap();
    stream.write_all(ASK).await.unwrap();
    let mut answer = vec![0; ANSWER.len()];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, ANSWER);
    let connector = connector(Some(&authority.sign()), &authority, &TLS13);
    let name = ServerName::try_from(NAME).unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    // One before the proof, which is refused once there is one, and a second afterwards.
    stream.write_all(ASK).await.unwrap();
    let challenge = a_box(&mut stream).await;
    let at = challenge.windows(9).position(|window| window == b"message\0\x10").unwrap() + 9;
    let proof = proof_of(&challenge[at..at + 16]);
    stream.write_all(&proof).await.unwrap();
    let refused = loop {
        let said = a_box(&mut stream).await;
        if said.starts_with(b"\0\x06_error") {
            break said;
        }
    };
    assert!(refused.windows(9).any(|window| window == b"UNHANDLED"), "{}", refused.escape_ascii());
    stream.write_all(b"\0\x04_ask\0\x012\0\x08_command\0\x08StartTLS\0\0").await.unwrap();
    let refused = loop {
        let said = a_box(&mut stream).await;
        if said.starts_with(b"\0\x06_error\0\x012") {
            break said;
        }
    };
    assert!(refused.windows(9).any(|window| window == b"UNHANDLED"), "{}", refused.escape_ascii());
    stream.write_all(b"\0\x04_ask\0\x013\0\x08_command\0\x05Knock\0\0").await.unwrap();
    while !a_box(&mut stream).await.starts_with(b"\0\x07_answer\0\x013") {}
    assert_eq!(desk.asked.load(Ordering::SeqCst), 1, "the connection lives");
    drop(stream);
    region.shutdown().await;
}

/// The answer to the first ask of a process, whose tag is 1.
fn proof_of(challenge: &[u8]) -> Vec<u8> {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut hmac = Hmac::<sha2::Sha256>::new_from_slice(&hex("00112233445566778899aabbccddeeff"));
    let hmac = hmac.as_mut().unwrap();
    hmac.update(challenge);
    hmac.update(&[b's'; 16]);
    let digest = hmac.clone().finalize().into_bytes();
    let fields = [&b"\0\x07_answer\0\x011\0\x06digest\0\x20"[..], &digest, b"\0\x04salt\0\x10"];
    [&fields.concat()[..], &[b's'; 16], b"\0\0"].concat()
}

fn hex(digits: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(pair).collect()
}

#[tokio::test]
async fn without_a_certificate_start_tls_is_answered_unhandled_as_ever() {
    let desk = Arc::new(Desk::default());
    let region = region_of(&desk).start().await.unwrap();
    let mut stream = TcpStream::connect(region.address()).await.unwrap();
    stream.write_all(ASK).await.unwrap();
    let challenge = a_box(&mut stream).await;
    let at = challenge.windows(9).position(|window| window == b"message\0\x10").unwrap() + 9;
    stream.write_all(&proof_of(&challenge[at..at + 16])).await.unwrap();
    let refused = loop {
        let said = a_box(&mut stream).await;
        if said.starts_with(b"\0\x06_error\0\x011") {
            break said;
        }
    };
    assert!(refused.windows(9).any(|window| window == b"UNHANDLED"), "{}", refused.escape_ascii());
    drop(stream);
    region.shutdown().await;
}

#[tokio::test]
async fn a_side_that_requires_start_tls_does_not_go_on_with_one_that_does_not_do_it() {
    let (authority, desk) = (Authority::new(), Arc::new(Desk::default()));
    for (at_region, at_cluster) in [(true, false), (false, true)] {
        let mut region = region_of(&desk);
        if at_region {
            region = region.start_tls(authority.identity());
        }
        let region = region.start().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut cluster = cluster_of(&desk, &listener.local_addr().unwrap().to_string());
        if at_cluster {
            cluster = cluster.start_tls(authority.identity());
        }
        let cluster = cluster.start().await.unwrap();
        // It tries again, and nothing is proved in any attempt.
        for _ in 0..3 {
            let passed = timeout(SOON, pass_on(&listener, region.address())).await.unwrap();
            let proved = |said: &[u8]| said.windows(6).any(|window| window == b"digest");
            assert!(!proved(&passed.1), "the region proves nothing");
            assert!(at_region || !proved(&passed.0), "the cluster proves nothing");
        }
        assert!(region.get_all_clients().is_empty());
        cluster.shutdown().await;
        region.shutdown().await;
    }
    assert_eq!(desk.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_certificate_without_a_secret_is_refused_before_anything_starts() {
    let identity = Authority::new().identity();
    let region = RegionController::builder().listen(Listen::loopback());
    let region = region.key_pair(KeyPair::generate()).start_tls(identity.clone()).start().await;
    let told = SettingsError::StartTlsWithoutSecret;
    assert!(matches!(region, Err(region::StartError::Settings(ref error)) if *error == told));
    let cluster = ClusterController::builder().region("127.0.0.1:1");
    let cluster = cluster.key_pair(KeyPair::generate()).start_tls(identity).start().await;
    assert!(matches!(cluster, Err(cluster::StartError::Settings(ref error)) if *error == told));
}
