//! A peer made of bytes: it speaks AMP by hand, and as badly as the test wants.

use std::sync::Arc;
use std::time::Duration;

use amp_proto::{AmpBox, Connection, Limits};
use bytes::{Buf as _, Bytes, BytesMut};
use hmac::{Hmac, KeyInit as _, Mac as _};
use mesh::commands::Terms;
use mesh::{BoxStream, Features, Secret};
use mesh_harness::{Mesh, TestResult};
use sha2::Sha256;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};

/// A box from keys and values.
pub(crate) fn box_of<const N: usize>(fields: [(&str, &[u8]); N]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in fields {
        bytes.extend_from_slice(&u16::try_from(key.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(value);
    }
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

/// The answer to a challenge.
pub(crate) fn digest(secret: &Secret, challenge: &[u8], salt: &[u8]) -> [u8; 32] {
    let key = secret.to_hex();
    let key = key.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    let key: Vec<u8> = key.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    let mut hmac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    hmac.update(challenge);
    hmac.update(salt);
    hmac.finalize().into_bytes().into()
}

/// A stream, and what came through it.
pub(crate) struct RawPeer<S = BoxStream> {
    stream: S,
    received: BytesMut,
}

/// How long a peer has to answer, or to hang up; by the runtime's clock.
const PATIENCE: Duration = Duration::from_secs(8);

impl RawPeer {
    pub(crate) fn new(stream: BoxStream) -> Self {
        Self { stream, received: BytesMut::new() }
    }

    /// Connects to a region process and says nothing.
    pub(crate) async fn stranger(mesh: &Mesh, region: usize) -> TestResult<Self> {
        Ok(Self::new(mesh.dial(region).await?))
    }

    /// Connects to the first region process of `mesh`, proves itself, and says that it is `ident`.
    pub(crate) async fn admitted(mesh: &Mesh, ident: &str) -> TestResult<Self> {
        let mut peer = Self::stranger(mesh, 0).await?;
        peer.prove(mesh.secret()).await?;
        let ask = peer.next().await.expect("it wants to know who we are");
        assert_eq!(ask.get("_command").unwrap(), "Identify");
        let tag = ask.get("_ask").unwrap();
        peer.send(&box_of([("_answer", tag), ("ident", ident.as_bytes())])).await?;
        Ok(peer)
    }

    /// As [`RawPeer::admitted`], for a peer that says it knows everything beyond AMP.
    pub(crate) async fn admitted_with_all(mesh: &Mesh, ident: &str) -> TestResult<Self> {
        let stream = mesh.dial(0).await?;
        Self::admitted_on(stream, mesh.secret(), ident, u64::MAX).await
    }

    /// As [`RawPeer::admitted_with_all`], on any stream to a region process, for a peer that takes
    /// so many bytes ahead.
    pub(crate) async fn admitted_on(
        stream: BoxStream,
        secret: &Secret,
        ident: &str,
        stream_window_bytes: u64,
    ) -> TestResult<Self> {
        let mut peer = Self::new(stream);
        let tag = peer.prove_itself(secret).await?;
        let terms = Terms {
            version: 1,
            features: Features::all().names().map(str::to_owned).collect(),
            box_bytes_max: u64::MAX,
            asks_in_flight_max: u64::MAX,
            stream_window_bytes,
            large_bytes_max: u64::MAX,
        };
        let mut answering = Connection::new(Arc::default());
        answering.answer(Some(&tag), &terms)?;
        peer.send(&answering.poll_transmit().unwrap()).await?;
        let ask = peer.next().await.expect("it wants to know who we are");
        let tag = ask.get("_ask").unwrap();
        peer.send(&box_of([("_answer", tag), ("ident", ident.as_bytes())])).await?;
        Ok(peer)
    }

    /// Answers the challenge that comes first.
    pub(crate) async fn prove(&mut self, secret: &Secret) -> TestResult {
        let tag = self.prove_itself(secret).await?;
        // As a stock peer, it knows nothing beyond AMP.
        self.send(&box_of([
            ("_error", &tag[..]),
            ("_error_code", b"UNHANDLED"),
            ("_error_description", b"Unhandled Command: 'Negotiate'"),
        ]))
        .await
    }

    /// Answers the challenge, and gives the tag of the question that comes next.
    async fn prove_itself(&mut self, secret: &Secret) -> TestResult<Bytes> {
        let ask = self.next().await.expect("a challenge comes first");
        assert_eq!(ask.get("_command").unwrap(), "Authenticate");
        let answer = proof_of(&ask, secret);
        self.send(&answer).await?;
        let ask = self.next().await.expect("it wants to know what more we can do");
        assert_eq!(ask.get("_command").unwrap(), "Negotiate");
        Ok(ask.get("_ask").unwrap().clone())
    }

    /// Two halves, to send and to read at once.
    pub(crate) fn split(self) -> (RawPeer<ReadHalf<BoxStream>>, RawPeer<WriteHalf<BoxStream>>) {
        let (reader, writer) = tokio::io::split(self.stream);
        let reader = RawPeer { stream: reader, received: self.received };
        (reader, RawPeer { stream: writer, received: BytesMut::new() })
    }

    /// Asks for a sign of life, and gives the replies that come before it.
    pub(crate) async fn replies_until_ping(&mut self) -> TestResult<Vec<AmpBox>> {
        const TAG: &str = "are you there?";
        self.send(&box_of([("_ask", TAG.as_bytes()), ("_command", b"Ping")])).await?;
        let mut replies = Vec::new();
        loop {
            let reply = self.next_reply().await.expect("the connection lives");
            if reply.get("_answer").is_some_and(|tag| tag == TAG) {
                return Ok(replies);
            }
            replies.push(reply);
        }
    }
}

impl<S: AsyncWrite + Unpin> RawPeer<S> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> TestResult {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Sends no more, and goes on reading.
    pub(crate) async fn shut_down(&mut self) -> TestResult {
        self.stream.shutdown().await?;
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> RawPeer<S> {
    /// The stream, and what came through it and was not read yet.
    pub(crate) fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.received)
    }

    /// The next box, or `None` once the other side has closed the stream.
    pub(crate) async fn next(&mut self) -> Option<AmpBox> {
        self.next_within(PATIENCE).await
    }

    /// As [`RawPeer::next`], with more patience.
    pub(crate) async fn next_within(&mut self, patience: Duration) -> Option<AmpBox> {
        tokio::time::timeout(patience, self.read_box()).await.expect("an answer, or the end")
    }

    /// The next box that is an answer or an error; asks of the other side are passed over.
    pub(crate) async fn next_reply(&mut self) -> Option<AmpBox> {
        loop {
            let it = self.next().await?;
            if it.get("_answer").is_some() || it.get("_error").is_some() {
                return Some(it);
            }
        }
    }

    /// Waits for the end of the stream, and gives what came before it.
    pub(crate) async fn replies_until_closed(&mut self) -> Vec<AmpBox> {
        let mut replies = Vec::new();
        while let Some(reply) = self.next_reply().await {
            replies.push(reply);
        }
        replies
    }

    async fn read_box(&mut self) -> Option<AmpBox> {
        loop {
            let received = Bytes::copy_from_slice(&self.received);
            let decoded = AmpBox::decode(&received, &Limits::default()).expect("well-formed boxes");
            if let Some((it, bytes)) = decoded {
                self.received.advance(bytes);
                return Some(it);
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// The answer to an `Authenticate` ask.
pub(crate) fn proof_of(ask: &AmpBox, secret: &Secret) -> Vec<u8> {
    let (tag, challenge) = (ask.get("_ask").unwrap(), ask.get("message").unwrap());
    let salt = [0x5a; 16];
    let digest = digest(secret, challenge, &salt);
    box_of([("_answer", tag), ("digest", &digest), ("salt", &salt)])
}
