//! A TCP stream driven in place, as fast as safe code can: for the peers without a library.
//!
//! In each turn all that arrived is dealt with, and all that is to be sent goes out in one write.
//! Buffers belong to the thread, not to the connection: an idle one holds none.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use anyhow::{Result, bail};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

/// How much one read takes at the most: large values want it.
const READ_BYTES: usize = 256 * 1024;
/// While so much waits to be sent nothing is read.
const UNSENT_MAX: usize = 1024 * 1024;

/// What is done with what arrives.
pub(crate) trait Turn {
    /// Takes as much of `received` as is whole, says how much that was, and appends to `out` what
    /// is to be sent.
    fn take(&mut self, received: &[u8], out: &mut Vec<u8>) -> Result<usize>;

    /// Whether this side wants no more.
    fn is_over(&self) -> bool;
}

/// A stream with what could not be dealt with yet.
#[derive(Debug)]
pub(crate) struct Pumped {
    stream: TcpStream,
    /// The beginning of what has not arrived as a whole.
    half: Vec<u8>,
    /// What the stream has not taken.
    unsent: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers {
        received: vec![0; READ_BYTES],
        out: Vec::new(),
    });
}

struct Buffers {
    received: Vec<u8>,
    out: Vec<u8>,
}

impl Pumped {
    /// # Errors
    /// When the stream is broken already.
    pub(crate) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, half: Vec::new(), unsent: Vec::new() })
    }

    /// Sends `first`, and goes on until the peer closes or `turn` is over.
    ///
    /// # Errors
    /// When the stream breaks, or `turn` fails.
    pub(crate) async fn run(&mut self, first: &[u8], turn: &mut impl Turn) -> Result<()> {
        self.unsent.extend_from_slice(first);
        poll_fn(|cx| BUFFERS.with_borrow_mut(|buffers| self.poll(cx, buffers, turn))).await
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &mut Buffers,
        turn: &mut impl Turn,
    ) -> Poll<Result<()>> {
        loop {
            self.poll_send(cx, &mut buffers.out)?;
            if turn.is_over() {
                return Poll::Ready(Ok(()));
            }
            if self.unsent.len() > UNSENT_MAX {
                return Poll::Pending;
            }
            let out = &mut buffers.out;
            let there =
                ready!(self.poll_receive(cx, &mut buffers.received, |received| {
                    turn.take(received, out)
                }))?;
            if !there {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Reads once, and has `take` deal with what is there. Says whether the peer still sends.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        mut take: impl FnMut(&[u8]) -> Result<usize>,
    ) -> Poll<Result<bool>> {
        let before = self.half.len();
        if buffer.len() < before + READ_BYTES {
            buffer.resize(before + READ_BYTES, 0);
        }
        let (half, room) = buffer.split_at_mut(before);
        let mut room = ReadBuf::new(room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
        let bytes = room.filled().len();
        if bytes == 0 {
            return Poll::Ready(Ok(false));
        }
        half.copy_from_slice(&self.half);
        let there = buffer.get(..before + bytes).unwrap_or_default();
        let taken = take(there)?;
        let rest = there.get(taken..).unwrap_or_default();
        if rest.is_empty() {
            self.half = Vec::new();
        } else {
            self.half.clear();
            self.half.extend_from_slice(rest);
        }
        Poll::Ready(Ok(true))
    }

    /// Sends what waits and then what is in `out`, which is empty afterwards. What the stream does
    /// not take waits.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.append(out);
            let sent = self.poll_write(cx, None)?;
            self.unsent.drain(..sent);
            if self.unsent.is_empty() {
                self.unsent = Vec::new();
            }
        } else if !out.is_empty() {
            let sent = self.poll_write(cx, Some(out))?;
            self.unsent.extend_from_slice(out.get(sent..).unwrap_or_default());
            out.clear();
        }
        Ok(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, out: Option<&[u8]>) -> Result<usize> {
        let bytes = out.unwrap_or(&self.unsent);
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, rest)? {
                Poll::Ready(0) => bail!("the stream takes nothing"),
                Poll::Ready(bytes) => sent += bytes,
                Poll::Pending => break,
            }
        }
        Ok(sent)
    }

    /// Whether so much waits that no more should be made.
    pub(crate) fn is_full(&self) -> bool {
        self.unsent.len() > UNSENT_MAX
    }
}

/// Borrows the buffer that this thread receives into.
pub(crate) fn with_buffer<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    BUFFERS.with_borrow_mut(|buffers| work(&mut buffers.received))
}

/// Accepts connections for ever, and drives each by a turn of its own. One that fails ends alone.
///
/// # Errors
/// When no more can be accepted.
pub(crate) async fn accept<T>(
    listener: &tokio::net::TcpListener,
    mut turn: impl FnMut() -> T,
) -> Result<()>
where
    T: Turn + Send + 'static,
{
    loop {
        let (stream, _from) = listener.accept().await?;
        let (mut pumped, mut turn) = (Pumped::new(stream)?, turn());
        tokio::spawn(async move {
            if let Err(error) = pumped.run(&[], &mut turn).await
                && !is_reset(&error)
            {
                eprintln!("A connection ended: {error:#}");
            }
        });
    }
}

/// Whether the peer closed before it had read everything, as all do when it is over.
fn is_reset(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

/// Listens on loopback, with a queue that is long enough for all who come at once.
///
/// # Errors
/// When there is no port.
pub(crate) fn listener() -> Result<tokio::net::TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    Ok(socket.listen(1024)?)
}
