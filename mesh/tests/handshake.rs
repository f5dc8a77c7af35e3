//! The handshake by the shared secret, against whoever recorded one, or sends back what it hears.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use amp_proto::{Command, Never, RoleName, responders};
use mesh::{HandshakeError, Process, ProcessSettings, Received, Secret};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex, split,
};

const TIMES: usize = 100;
const ROLES: [RoleName; 2] = [RoleName::Region, RoleName::Cluster];

/// Is asked by whoever should not.
#[derive(Clone, Debug, Command)]
#[command(answered_by = any)]
struct Knock;

#[derive(Debug, Default)]
struct Desk {
    asked: AtomicUsize,
}

struct Door(Arc<Desk>);

#[responders]
impl Door {
    #[responder]
    async fn knock(&self, _: Knock) -> Result<(), Never> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn secret() -> Secret {
    Secret::from_hex("00112233445566778899aabbccddeeff").unwrap()
}

fn process(role: RoleName, desk: &Arc<Desk>) -> Process {
    let settings = ProcessSettings { secret: Some(secret()), ..ProcessSettings::default() };
    let ident = "00000000-0000-4000-8000-000000000001".to_owned();
    settings.into_process(role, ident, || "ours".to_owned(), Door(Arc::clone(desk))).unwrap()
}

/// Takes a stream through the handshake. If it comes to its end, drives the connection to its own.
async fn meet(role: RoleName, process: &Process, near: DuplexStream) -> Result<(), HandshakeError> {
    let (stream, address) = (Box::new(near), "memory".to_owned());
    let open = match role {
        RoleName::Cluster => process.open(stream, address).await?,
        RoleName::Region => match process.receive(stream, address).await? {
            Received::Open(open) => open,
            other => panic!("{other:?}"),
        },
    };
    let (link, driving) = process.drive(open);
    driving.await;
    drop(link);
    Ok(())
}

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

/// What each role says on a connection on which each asks the other `Knock`.
async fn record() -> [Vec<u8>; 2] {
    let desk = Arc::new(Desk::default());
    let (region, cluster) = (process(RoleName::Region, &desk), process(RoleName::Cluster, &desk));
    let (at_region, far) = duplex(4096);
    let (at_cluster, near) = duplex(4096);
    let ((from_region, to_region), (from_cluster, to_cluster)) = (split(far), split(near));
    let passing =
        async { tokio::join!(copy(from_region, to_cluster), copy(from_cluster, to_region)) };
    let opened = async {
        let of_region = async {
            match region.receive(Box::new(at_region), "memory".to_owned()).await.unwrap() {
                Received::Open(open) => open,
                other => panic!("{other:?}"),
            }
        };
        let of_cluster = cluster.open(Box::new(at_cluster), "memory".to_owned());
        let (of_region, of_cluster) = tokio::join!(of_region, of_cluster);
        let (region_link, region_driving) = region.drive(of_region);
        let (cluster_link, cluster_driving) = cluster.drive(of_cluster.unwrap());
        let calls = async {
            let to_cluster = mesh::Client::<amp_proto::Cluster>::new(region_link);
            let to_region = mesh::Client::<amp_proto::Region>::new(cluster_link);
            to_cluster.call(Knock).await.unwrap();
            to_region.call(Knock).await.unwrap();
            to_region.leave().await;
        };
        tokio::join!(region_driving, cluster_driving, calls)
    };
    let (said, _) = tokio::join!(passing, opened);
    assert_eq!(desk.asked.load(Ordering::SeqCst), 2);
    let (of_region, of_cluster) = said;
    for said in [&of_region, &of_cluster] {
        for word in [&b"Authenticate"[..], b"digest", b"Knock"] {
            assert!(said.windows(word.len()).any(|window| window == word), "it is all in there");
        }
    }
    [of_region, of_cluster]
}

#[tokio::test(start_paused = true)]
async fn a_recorded_handshake_is_of_no_use_to_whoever_plays_it_again_in_either_role() {
    let [of_region, of_cluster] = Box::pin(record()).await;
    for role in ROLES {
        let desk = Arc::new(Desk::default());
        let process = process(role, &desk);
        for round in 0..TIMES {
            // What its peer said; and, sent back to it, what one of its own role did.
            let is_of_peer = round % 2 == 0;
            let said =
                if is_of_peer == (role == RoleName::Region) { &of_cluster } else { &of_region };
            // All of it at once; and its part of the handshake alone, the ask and the answer.
            let is_whole = round % 4 < 2;
            let said = if is_whole { said } else { boxes(said, 2) };
            let (near, mut far) = duplex(64 * 1024);
            let playing = async {
                far.write_all(said).await.unwrap();
                let mut answer = Vec::new();
                let _end = far.read_to_end(&mut answer).await;
            };
            let (refused, ()) = tokio::join!(meet(role, &process, near), playing);
            match refused.unwrap_err() {
                HandshakeError::WrongSecret if is_of_peer && !is_whole => {}
                // What follows the handshake answers asks that were not made here.
                HandshakeError::PeerMisbehaved(_) if is_of_peer && is_whole => {}
                HandshakeError::Reflected if !is_of_peer => {}
                other => panic!("{role} {round}: {other:?}"),
            }
        }
        assert_eq!(desk.asked.load(Ordering::SeqCst), 0, "{role}: nothing is carried out");
    }
}

/// So many boxes from the beginning.
fn boxes(said: &[u8], count: usize) -> &[u8] {
    let bytes = (0..count).fold(0, |at, _| at + first_box(said.get(at..).unwrap()).unwrap());
    said.get(..bytes).unwrap()
}

/// How long the first box is, if it is there as a whole. It ends where a key has no bytes.
fn first_box(said: &[u8]) -> Option<usize> {
    let length = |at: usize| {
        let [high, low] = said.get(at..at + 2)? else { return None };
        Some(usize::from(u16::from_be_bytes([*high, *low])))
    };
    let mut at = 0;
    loop {
        match length(at)? {
            0 => return Some(at + 2),
            key => at += 2 + key,
        }
        at += 2 + length(at)?;
    }
}

/// Reads to the end of one box.
async fn a_box(stream: &mut DuplexStream) -> Vec<u8> {
    let mut read = Vec::new();
    while first_box(&read) != Some(read.len()) {
        read.push(stream.read_u8().await.unwrap());
    }
    read
}

/// The value of so many bytes behind a key.
fn value<'a>(read: &'a [u8], key: &[u8], bytes: usize) -> &'a [u8] {
    let at = read.windows(key.len()).position(|window| window == key).unwrap() + key.len() + 2;
    read.get(at..at + bytes).unwrap()
}

/// An ask for a proof of knowing the secret.
fn authenticate(challenge: &[u8]) -> Vec<u8> {
    let before = b"\0\x04_ask\0\x01t\0\x08_command\0\x0cAuthenticate\0\x07message\0\x10";
    [before, challenge, b"\0\0"].concat()
}

#[tokio::test(start_paused = true)]
async fn a_challenge_that_is_sent_back_is_not_answered_on_its_own_connection_nor_on_another() {
    for role in ROLES {
        let desk = Arc::new(Desk::default());
        let process = process(role, &desk);
        for _ in 0..TIMES {
            let ((first, mut thief), (second, mut other)) = (duplex(4096), duplex(4096));
            let stealing = async {
                let asked = a_box(&mut thief).await;
                let challenge = value(&asked, b"message", 16).to_vec();
                // To the same process, over a second connection; and then as it came.
                let _its_own = a_box(&mut other).await;
                other.write_all(&authenticate(&challenge)).await.unwrap();
                let mut said = Vec::new();
                let _end = other.read_to_end(&mut said).await;
                assert!(!said.windows(6).any(|window| window == b"digest"), "no proof");
                thief.write_all(&asked).await.unwrap();
                let _end = thief.read_to_end(&mut said).await;
                assert!(!said.windows(6).any(|window| window == b"digest"), "no proof");
            };
            let met =
                async { tokio::join!(meet(role, &process, first), meet(role, &process, second)) };
            let (refused, ()) = tokio::join!(met, stealing);
            let expected = Err(HandshakeError::Reflected);
            assert_eq!(refused, (expected.clone(), expected), "{role}");
        }
        assert_eq!(desk.asked.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_proof_that_is_sent_back_proves_nothing_on_its_own_connection_nor_on_another() {
    for role in ROLES {
        let desk = Arc::new(Desk::default());
        let process = process(role, &desk);
        for _ in 0..TIMES {
            let ((first, mut thief), (second, mut other)) = (duplex(4096), duplex(4096));
            let stealing = async {
                // A proof is had for a challenge of the thief's own.
                let _asked = a_box(&mut thief).await;
                let _asked = a_box(&mut other).await;
                thief.write_all(&authenticate(b"mmmmmmmmmmmmmmmm")).await.unwrap();
                let proof = a_box(&mut thief).await;
                let (digest, salt) = (value(&proof, b"digest", 32), value(&proof, b"salt", 16));
                let answer = [
                    &b"\0\x07_answer\0\x011\0\x06digest\0\x20"[..],
                    digest,
                    b"\0\x04salt\0\x10",
                    salt,
                    b"\0\0",
                ]
                .concat();
                // Both are told of a failure only once their own proof has been asked for.
                other.write_all(&authenticate(b"nnnnnnnnnnnnnnnn")).await.unwrap();
                for stream in [&mut thief, &mut other] {
                    stream.write_all(&answer).await.unwrap();
                    stream.write_all(b"\0\x08_command\0\x05Knock\0\0").await.unwrap();
                    let mut said = Vec::new();
                    let _end = stream.read_to_end(&mut said).await;
                }
            };
            let met =
                async { tokio::join!(meet(role, &process, first), meet(role, &process, second)) };
            let (refused, ()) = tokio::join!(met, stealing);
            let expected = Err(HandshakeError::WrongSecret);
            assert_eq!(refused, (expected.clone(), expected), "{role}");
        }
        assert_eq!(desk.asked.load(Ordering::SeqCst), 0, "{role}: nothing is carried out");
    }
}
