//! Peers made of bytes, that stop wherever they are told to.

use std::net::SocketAddr;

use amp_proto::{AmpBox, Connection, Limits};
use anyhow::{Context as _, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use hmac::{Hmac, KeyInit as _, Mac as _};
use mesh::commands::Terms;
use mesh::{Features, Secret};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use uuid::Uuid;

/// Bytes that the operating system is asked to hold for a peer that does not read.
const RECEIVE_BYTES: u32 = 16 * 1024;

/// A stream, and what came through it.
#[derive(Debug)]
pub(crate) struct RawPeer {
    pub(crate) stream: TcpStream,
    received: BytesMut,
}

/// A box from keys and values.
pub(crate) fn box_of(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in fields {
        bytes.extend(u16::try_from(key.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(key.as_bytes());
        bytes.extend(u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(value);
    }
    bytes.extend([0, 0]);
    bytes
}

impl RawPeer {
    /// Connects, and says nothing.
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(RECEIVE_BYTES)?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: BytesMut::new() })
    }

    /// Proves that it knows `secret`, says that it takes all there is, and that it is some cluster.
    pub(crate) async fn admit(&mut self, secret: &Secret) -> anyhow::Result<()> {
        let proof = self.proof(secret).await?;
        self.stream.write_all(&proof).await?;
        let tag = self.asked("Negotiate").await?;
        let terms = Terms {
            version: 1,
            features: Features::all().names().map(str::to_owned).collect(),
            box_bytes_max: u64::MAX,
            asks_in_flight_max: u64::MAX,
            stream_window_bytes: u64::MAX,
            large_bytes_max: u64::MAX,
        };
        let mut answering = Connection::new(std::sync::Arc::default());
        answering.answer(Some(&tag), &terms)?;
        let answer = answering.poll_transmit().context("nothing to say")?;
        self.stream.write_all(&answer).await?;
        let tag = self.asked("Identify").await?;
        let ident = Uuid::new_v4().to_string();
        let answer = box_of(&[("_answer", &tag), ("ident", ident.as_bytes())]);
        Ok(self.stream.write_all(&answer).await?)
    }

    /// Begins, so that the region knows at once that this is plain AMP, and gives the answer to its
    /// challenge.
    pub(crate) async fn proof(&mut self, secret: &Secret) -> anyhow::Result<Vec<u8>> {
        let begin = [("_ask", &b"1"[..]), ("_command", b"Authenticate"), ("message", &[7; 32])];
        self.stream.write_all(&box_of(&begin)).await?;
        let ask = self.ask("Authenticate").await?;
        let (tag, challenge) = (field(&ask, "_ask")?, field(&ask, "message")?);
        let mut hmac = Hmac::<Sha256>::new_from_slice(&bytes_of(&secret.to_hex())?)?;
        let salt = [0x5a; 16];
        hmac.update(&challenge);
        hmac.update(&salt);
        let digest = hmac.finalize().into_bytes();
        Ok(box_of(&[("_answer", &tag), ("digest", &digest), ("salt", &salt)]))
    }

    /// Waits for an ask, and gives its tag.
    async fn asked(&mut self, command: &str) -> anyhow::Result<Bytes> {
        field(&self.ask(command).await?, "_ask")
    }

    async fn ask(&mut self, command: &str) -> anyhow::Result<AmpBox> {
        loop {
            let ask = self.next().await?;
            if ask.get("_command").is_some_and(|name| name == command) {
                return Ok(ask);
            }
        }
    }

    async fn next(&mut self) -> anyhow::Result<AmpBox> {
        loop {
            let received = Bytes::copy_from_slice(&self.received);
            if let Some((it, bytes)) = AmpBox::decode(&received, &Limits::default())? {
                self.received.advance(bytes);
                return Ok(it);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("the region closed the connection");
            }
        }
    }

    /// Reads and drops what comes until the connection is closed.
    pub(crate) async fn closed(&mut self) {
        let mut bytes = [0; 4096];
        while self.stream.read(&mut bytes).await.is_ok_and(|bytes| bytes > 0) {}
    }
}

fn field(ask: &AmpBox, key: &str) -> anyhow::Result<Bytes> {
    Ok(ask.get(key).with_context(|| format!("an ask without `{key}`"))?.clone())
}

fn bytes_of(hex: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2).map(std::str::from_utf8);
    pairs.map(|pair| Ok(u8::from_str_radix(pair?, 16)?)).collect()
}
