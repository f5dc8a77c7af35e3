//! Two connections and the wire between them, in virtual time: no socket, no runtime.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;

use crate::{
    AskEvent, AskId, AskResult, Command, Connection, Limits, Lost, Moment, PeerMisbehaved,
};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Left,
    Right,
}

impl End {
    fn index(self) -> usize {
        match self {
            Self::Left => 0,
            Self::Right => 1,
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// Two ends, what is on the way between them, and the time.
pub(super) struct Pair {
    ends: [Connection; 2],
    on_the_way: [VecDeque<u8>; 2],
    pub(super) now: Moment,
    random: u64,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self::with(Limits::default(), 1)
    }

    /// The same seed gives the same fragments.
    pub(super) fn with(limits: Limits, seed: u64) -> Self {
        let limits = Arc::new(limits);
        Self {
            ends: [Connection::new(Arc::clone(&limits)), Connection::new(limits)],
            on_the_way: [VecDeque::new(), VecDeque::new()],
            now: Moment::START,
            random: seed,
        }
    }

    pub(super) fn end(&mut self, end: End) -> &mut Connection {
        &mut self.ends[end.index()]
    }

    pub(super) fn ask<C: Command>(&mut self, end: End, command: &C) -> AskId {
        let deadline = self.now.after(Duration::from_secs(30));
        self.end(end).ask(command, deadline).expect("there is room for an ask")
    }

    /// Takes what `end` has to send onto the wire.
    pub(super) fn flush(&mut self, end: End) {
        while let Some(bytes) = self.end(end).poll_transmit() {
            self.on_the_way[end.index()].extend(bytes);
        }
    }

    /// Carries everything that `end` has sent to the other one, and gives the asks that arrive.
    pub(super) fn carry(&mut self, end: End) -> Result<Vec<AskEvent>, PeerMisbehaved> {
        self.flush(end);
        let bytes: Vec<u8> = self.on_the_way[end.index()].drain(..).collect();
        self.deliver(end.other(), &bytes)
    }

    /// As `carry`, in fragments of random sizes.
    pub(super) fn carry_in_fragments(&mut self, end: End) -> Result<Vec<AskEvent>, PeerMisbehaved> {
        self.flush(end);
        let mut asks = Vec::new();
        while !self.on_the_way[end.index()].is_empty() {
            let longest = self.on_the_way[end.index()].len().min(64);
            let length = self.random_below(longest) + 1;
            let bytes: Vec<u8> = self.on_the_way[end.index()].drain(..length).collect();
            asks.extend(self.deliver(end.other(), &bytes)?);
        }
        Ok(asks)
    }

    pub(super) fn deliver(
        &mut self,
        end: End,
        bytes: &[u8],
    ) -> Result<Vec<AskEvent>, PeerMisbehaved> {
        self.end(end).handle_bytes(bytes);
        let mut asks = Vec::new();
        while let Some(ask) = self.end(end).poll_event()? {
            asks.push(ask);
        }
        Ok(asks)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        let now = self.now;
        self.ends.iter_mut().for_each(|end| {
            end.handle_timeout(now);
        });
    }

    pub(super) fn lose(&mut self, lost: &Lost) {
        self.ends.iter_mut().for_each(|end| end.handle_lost(lost.clone()));
        self.on_the_way.iter_mut().for_each(VecDeque::clear);
    }

    /// The outcome of an ask, if it is there.
    pub(super) fn outcome(&mut self, end: End, id: AskId) -> Option<AskResult> {
        let mut context = Context::from_waker(Waker::noop());
        match self.end(end).poll_ask(id, &mut context) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    pub(super) fn random_below(&mut self, bound: usize) -> usize {
        // xorshift64: enough to shuffle, and the same everywhere.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let bound = u64::try_from(bound).expect("a usize fits");
        usize::try_from(self.random % bound).expect("below a usize")
    }
}
