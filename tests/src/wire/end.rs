//! One end of a stream between two processes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use mesh::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::gate::{Passage, Side, Wire};
use crate::transcript::{Direction, Scribe};

/// How many bytes vanish into a held stream before its writer has to wait, as with the buffers of
/// an operating system.
const HELD_BYTES_MAX: usize = 256 * 1024;

/// A stream that looks at its gate before it moves a byte.
pub(super) struct WireEnd {
    stream: BoxStream,
    wire: Arc<Wire>,
    side: Side,
    /// What was written while the gate held everything.
    held: BytesMut,
    /// Reads along; at one end only, where both directions can be seen.
    scribe: Option<Scribe>,
}

impl WireEnd {
    /// The end of the cluster, which opened the stream.
    pub(super) fn near(stream: BoxStream, wire: Arc<Wire>, scribe: Scribe) -> Self {
        Self::new(stream, wire, Side::Near, Some(scribe))
    }

    /// The end of the region process.
    pub(super) fn far(stream: BoxStream, wire: Arc<Wire>) -> Self {
        Self::new(stream, wire, Side::Far, None)
    }

    fn new(stream: BoxStream, wire: Arc<Wire>, side: Side, scribe: Option<Scribe>) -> Self {
        wire.taken();
        Self { stream, wire, side, held: BytesMut::new(), scribe }
    }

    fn poll_send_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.held))?;
            self.held.advance(sent);
        }
        Poll::Ready(Ok(()))
    }

    fn hold(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = HELD_BYTES_MAX - self.held.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        if taken.is_empty() && !bytes.is_empty() {
            return Poll::Pending;
        }
        self.held.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn note(&mut self, direction: Direction, bytes: &[u8]) {
        if let Some(scribe) = &mut self.scribe {
            scribe.read_along(direction, bytes);
        }
    }
}

impl AsyncRead for WireEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.wire.read_passage(self.side, cx) {
            Passage::Broken => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Passage::Held => return Poll::Pending,
            Passage::Open => {}
        }
        if let Poll::Ready(Err(error)) = self.poll_send_held(cx) {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.note(Direction::ToCluster, buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WireEnd {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match self.wire.write_passage(self.side, cx) {
            Passage::Broken => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Passage::Held => ready!(self.hold(bytes))?,
            Passage::Open => {
                ready!(self.poll_send_held(cx))?;
                ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?
            }
        };
        self.note(Direction::ToRegion, bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.wire.write_passage(self.side, cx) {
            Passage::Broken => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Passage::Held => Poll::Ready(Ok(())),
            Passage::Open => {
                ready!(self.poll_send_held(cx))?;
                Pin::new(&mut self.stream).poll_flush(cx)
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.wire.write_passage(self.side, cx) {
            Passage::Broken => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            // The peer hears of it when the gate opens: by then this end has been dropped.
            Passage::Held => Poll::Ready(Ok(())),
            Passage::Open => {
                ready!(self.poll_send_held(cx))?;
                Pin::new(&mut self.stream).poll_shutdown(cx)
            }
        }
    }
}

impl Drop for WireEnd {
    fn drop(&mut self) {
        self.wire.dropped();
    }
}
