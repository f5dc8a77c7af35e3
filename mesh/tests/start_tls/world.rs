//! Our side of a handshake in memory, and a peer that a test moves by hand.

use std::time::Duration;

use amp_proto::{Never, RoleName, responders};
use mesh::{HandshakeError, Limits, Process, ProcessSettings, Received, Secret, X509Identity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// The ask, and its answer, as Twisted sends them.
pub(crate) const ASK: &[u8] = b"\0\x04_ask\0\x011\0\x08_command\0\x08StartTLS\0\0";
pub(crate) const ANSWER: &[u8] = b"\0\x07_answer\0\x011\0\0";
/// An ask that is nobody's first, but of who does not know better.
pub(crate) const PING: &[u8] = b"\0\x04_ask\0\x019\0\x08_command\0\x04Ping\0\0";
/// How `ASK` is refused by somebody who does not know it.
pub(crate) const UNHANDLED: &[u8] = b"\0\x06_error\0\x011\0\x0b_error_code\0\x09UNHANDLED\
    \0\x12_error_description\0\x04What\0\0";

pub(crate) const HANDSHAKE: Duration = Duration::from_secs(5);

/// Whether we dial or accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Dials,
    Accepts,
}

struct Nothing;

#[responders]
impl Nothing {
    #[responder]
    async fn wait(&self, _: Wait) -> Result<(), Never> {
        Ok(())
    }
}

/// Nobody's business.
#[derive(Debug, amp_proto::Command)]
#[command(answered_by = any)]
struct Wait;

pub(crate) fn secret() -> Secret {
    Secret::from_hex("00112233445566778899aabbccddeeff").unwrap()
}

fn process(part: Part, identity: X509Identity) -> Process {
    let settings = ProcessSettings {
        secret: Some(secret()),
        start_tls: Some(identity),
        limits: Limits { handshake_timeout: HANDSHAKE, ..Limits::default() },
        ..ProcessSettings::default()
    };
    let role = match part {
        Part::Dials => RoleName::Cluster,
        Part::Accepts => RoleName::Region,
    };
    let ident = "00000000-0000-4000-8000-000000000001".to_owned();
    settings.into_process(role, ident, || "ours".to_owned(), Nothing).unwrap()
}

/// How our handshake ends.
pub(crate) async fn ours(
    part: Part,
    identity: X509Identity,
    stream: DuplexStream,
) -> Result<(), HandshakeError> {
    let process = process(part, identity);
    let (stream, address) = (Box::new(stream), "memory".to_owned());
    match part {
        Part::Dials => process.open(stream, address).await.map(drop),
        Part::Accepts => {
            let received = process.receive(stream, address).await?;
            assert!(matches!(received, Received::Open(_)), "{received:?}");
            Ok(())
        }
    }
}

/// How our handshake ends with a peer that does `theirs`, and what came of that.
pub(crate) async fn meet<T>(
    part: Part,
    identity: X509Identity,
    theirs: impl AsyncFnOnce(DuplexStream) -> T,
) -> (Result<(), HandshakeError>, T) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::join!(ours(part, identity, near), theirs(far))
}

/// Reads exactly these bytes.
pub(crate) async fn expect(stream: &mut DuplexStream, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(read.escape_ascii().to_string(), bytes.escape_ascii().to_string());
}

/// Sends these bytes, and gives whatever comes until the end.
pub(crate) async fn send(mut stream: DuplexStream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).await.unwrap();
    rest(stream).await
}

pub(crate) async fn rest(mut stream: DuplexStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ended = stream.read_to_end(&mut rest).await;
    rest
}

/// Takes the peer's part up to where TLS begins.
pub(crate) async fn agree(part: Part, stream: &mut DuplexStream) {
    match part {
        Part::Dials => {
            expect(stream, ASK).await;
            stream.write_all(ANSWER).await.unwrap();
        }
        Part::Accepts => {
            stream.write_all(ASK).await.unwrap();
            expect(stream, ANSWER).await;
        }
    }
}
