//! The receiving half: bytes to boxes, and what each box is.

use alloc::sync::Arc;

use bytes::{Buf, BytesMut};

use crate::Limits;
use crate::connection::Metadata;
use crate::error::PeerMisbehaved;
use crate::wire::{Fields, Scanned, Scanner};

/// Turns received bytes into boxes. Holds no buffer while nothing is half received.
#[derive(Debug)]
pub struct Inbound {
    limits: Arc<Limits>,
    buffer: BytesMut,
    scanner: Scanner,
    /// How much of the buffer was given out and is done with.
    done: usize,
    /// How much the box given last takes, which comes next.
    given: usize,
    /// How much to make room for.
    read_bytes: usize,
    /// Bytes that the half received box needs at the least.
    wanted: usize,
}

impl Inbound {
    /// What one read asks for at first, and at the most.
    pub(crate) const READ_BYTES: core::ops::RangeInclusive<usize> = 8 * 1024..=256 * 1024;

    /// The receiving half of a connection on which nothing has happened yet.
    #[must_use]
    pub fn new(limits: Arc<Limits>) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            scanner: Scanner::default(),
            done: 0,
            given: 0,
            read_bytes: *Self::READ_BYTES.start(),
            wanted: 0,
        }
    }

    /// The buffer to append received bytes to, with room for a good read.
    pub fn room(&mut self) -> &mut BytesMut {
        self.drop_done();
        let missing = self.wanted.saturating_sub(self.buffer.len());
        let room = missing.clamp(self.read_bytes, *Self::READ_BYTES.end());
        if self.buffer.capacity() - self.buffer.len() < room / 2 {
            self.buffer.reserve(room);
        }
        &mut self.buffer
    }

    /// Says how many bytes the last read brought, so that the next asks for a fitting amount.
    pub fn handle_read(&mut self, bytes: usize) {
        if bytes >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(*Self::READ_BYTES.end());
        } else if bytes < self.read_bytes / 8 {
            self.read_bytes = (self.read_bytes / 2).max(*Self::READ_BYTES.start());
        }
    }

    /// Gives the buffer back if nothing is half received. It is empty, and may be
    /// [lent](Inbound::lend) again, to any connection.
    pub fn rest(&mut self) -> BytesMut {
        self.drop_done();
        if self.buffer.is_empty() { core::mem::take(&mut self.buffer) } else { BytesMut::new() }
    }

    /// Whether there is no buffer, so that the next [`Inbound::room`] would have to make one.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.buffer.capacity() == 0
    }

    /// Lends an empty buffer, which [`Inbound::rest`] gives back. Does nothing unless the
    /// connection [is at rest](Inbound::is_at_rest).
    pub fn lend(&mut self, buffer: BytesMut) {
        if self.is_at_rest() && buffer.is_empty() {
            self.buffer = buffer;
        }
    }

    /// How many received bytes are not yet given out as boxes.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len() - self.done - self.given
    }

    /// The next whole box, or `None` until more bytes come.
    ///
    /// # Errors
    /// [`PeerMisbehaved`] when the bytes are not AMP or a box is over the limits.
    pub fn next_box(&mut self) -> Result<Option<Fields<'_>>, PeerMisbehaved> {
        self.pass_given();
        let waiting = self.buffer.get(self.done..).unwrap_or_default();
        match self.scanner.scan(waiting, &self.limits)? {
            Scanned::Partial { bytes_min } => {
                self.wanted = bytes_min;
                Ok(None)
            }
            // A value is copied out rather than share the buffer, of which it would hold many times
            // its own size.
            Scanned::Whole { bytes } => {
                self.given = bytes;
                self.wanted = 0;
                let place = waiting.get(..bytes).unwrap_or_default();
                Ok(Some(Fields::in_place(place, self.scanner.spans(), &self.limits)))
            }
        }
    }

    /// Takes out what was received and not given out: what follows a change of protocol.
    #[must_use]
    pub fn into_rest(mut self) -> BytesMut {
        self.drop_done();
        self.buffer
    }

    fn pass_given(&mut self) {
        if self.given > 0 {
            self.done += self.given;
            self.given = 0;
            self.scanner.reset();
        }
    }

    /// Gives the place of what is done with back to the buffer: once for all that a read brought.
    fn drop_done(&mut self) {
        self.pass_given();
        if self.done > 0 {
            self.buffer.advance(self.done);
            self.done = 0;
        }
    }
}

/// What a received box is.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "AMP has three kinds of boxes")]
pub enum Incoming<'a> {
    /// The peer asks.
    Ask(Ask<'a>),
    /// The peer answers an ask of ours.
    Answer {
        /// The ask's tag.
        tag: &'a [u8],
        /// The whole box.
        fields: Fields<'a>,
    },
    /// The peer answers an ask of ours with an error.
    Error {
        /// The ask's tag.
        tag: &'a [u8],
        /// The whole box.
        fields: Fields<'a>,
    },
}

/// An ask of the peer.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What the answer has to carry, or `None` if the peer wants no answer.
    pub tag: Option<&'a [u8]>,
    /// The command's name.
    pub command: &'a [u8],
    /// What rides beside the arguments.
    pub metadata: Metadata<'a>,
    /// The whole box.
    pub fields: Fields<'a>,
}

impl<'a> Incoming<'a> {
    /// Judges a box by its reserved keys. As in Twisted, `_answer` comes before `_error`, and that
    /// before `_command`.
    ///
    /// # Errors
    /// [`PeerMisbehaved`] when it has none of them.
    // Inlined, what is found stays where it is: an ask is large to hand about.
    #[inline(always)]
    pub fn of(fields: Fields<'a>) -> Result<Self, PeerMisbehaved> {
        let (mut answer, mut error, mut command, mut tag) = (None, None, None, None);
        let mut metadata = Metadata::default();
        for (key, value) in fields.iter() {
            let [b'_', name @ ..] = key else { continue };
            // By its length first, and then as a whole: not byte by byte, as patterns are.
            match name.len() {
                3 if name == b"ask" => tag = Some(value.bytes()),
                5 if name == b"error" => error = Some(value.bytes()),
                6 if name == b"answer" => answer = Some(value.bytes()),
                7 if name == b"command" => command = Some(value.bytes()),
                _ => metadata.take(key, value.bytes()),
            }
        }
        if let Some(tag) = answer {
            Ok(Self::Answer { tag, fields })
        } else if let Some(tag) = error {
            Ok(Self::Error { tag, fields })
        } else if let Some(command) = command {
            Ok(Self::Ask(Ask { tag, command, metadata, fields }))
        } else if fields.is_empty() {
            Err(PeerMisbehaved::EmptyBox)
        } else {
            Err(PeerMisbehaved::NoReservedKey)
        }
    }
}
