//! Our asks in flight: their tags, deadlines, and outcomes until somebody takes them.
//!
//! Tags count up from 1 in hexadecimal, as Twisted's do. The table is indexed by the tag's low
//! bits; a tag whose place is still taken is skipped, so finding an ask is one comparison and two
//! asks never share a place.

use alloc::string::String;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};

use crate::connection::tag::{TagText, parse_tag, place};
use crate::connection::{Lost, Moment};
use crate::error::{PeerMisbehaved, printable};
use crate::wire::ReceivedBox;

/// The handle of an ask in flight on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AskId(pub(super) u64);

impl AskId {
    /// The ask's tag, as it stands on the wire.
    #[must_use]
    pub fn tag(self) -> Vec<u8> {
        TagText::of(self.0).as_bytes().to_vec()
    }
}

/// How an ask ended: with the peer's answer box, or without one.
pub type AskResult = Result<ReceivedBox, AskStopped>;

/// Why an ask ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskStopped {
    /// The peer answered with an error.
    Error {
        /// Its code.
        code: String,
        /// The text beside it; what is not UTF-8 was replaced.
        description: String,
    },
    /// The deadline came first.
    TimedOut {
        /// Whether the ask may have been sent, or may still be. If not, it was certainly not
        /// carried out.
        sent: bool,
    },
    /// The connection went first.
    Lost {
        /// Why it went.
        lost: Lost,
        /// Whether any of the ask had been given to the transport. If not, it was certainly not
        /// carried out.
        sent: bool,
    },
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Free,
    /// No outcome yet. `position` is where the ask begins in the stream of bytes we send.
    Waiting { waker: Option<Waker>, deadline: Moment, position: u64 },
    /// The outcome waits for its caller. After a time-out the answer may still come.
    Done { result: AskResult, answer_due: bool },
    /// The caller went away; the answer is still due and will be dropped.
    Forgotten,
}

#[derive(Debug, Default)]
struct Slot {
    tag: u64,
    state: State,
}

/// The table of asks.
#[derive(Debug)]
pub(super) struct Asks {
    /// Its length is a power of two, or zero while nothing is in flight.
    slots: Vec<Slot>,
    next_tag: u64,
    taken: usize,
    in_flight: usize,
    forgotten: usize,
    /// Answers to tags below this are dropped without a word: too many were forgotten to know.
    tolerated_below: u64,
    /// No deadline is earlier than this.
    earliest: Option<Moment>,
}

const SLOTS_MIN: usize = 8;

impl Asks {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            next_tag: 1,
            taken: 0,
            in_flight: 0,
            forgotten: 0,
            tolerated_below: 0,
            earliest: None,
        }
    }

    /// How many asks wait for an outcome.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether an ask is still without an outcome.
    pub(super) fn is_waiting(&self, tag: u64) -> bool {
        let slot = self.slot(tag).filter(|slot| slot.tag == tag);
        slot.is_some_and(|slot| matches!(slot.state, State::Waiting { .. }))
    }

    /// Whether an ask has had its time.
    pub(super) fn is_late(&self, tag: u64, now: Moment) -> bool {
        let slot = self.slot(tag).filter(|slot| slot.tag == tag);
        slot.is_some_and(
            |slot| matches!(&slot.state, State::Waiting { deadline, .. } if *deadline <= now),
        )
    }

    /// Says where an ask ends in the stream of bytes that we send.
    pub(super) fn set_position(&mut self, tag: u64, at: u64) {
        if let Some(Slot { state: State::Waiting { position, .. }, .. }) = self.occupied(tag) {
            *position = at;
        }
    }

    /// Ends an ask whose deadline came before it was sent as a whole.
    pub(super) fn expire_unsent(&mut self, tag: u64) {
        let Some(slot) = self.occupied(tag) else { return };
        let State::Waiting { waker, .. } = &mut slot.state else { return };
        let waker = waker.take();
        let result = Err(AskStopped::TimedOut { sent: false });
        slot.state = State::Done { result, answer_due: false };
        self.in_flight -= 1;
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn earliest(&self) -> Option<Moment> {
        self.earliest
    }

    /// The tag that the next [`Asks::insert`] will use.
    pub(super) fn reserve(&mut self) -> u64 {
        if self.taken >= self.slots.len() / 2 {
            self.grow();
        }
        while !matches!(self.slot(self.next_tag).map(|slot| &slot.state), Some(State::Free)) {
            self.next_tag += 1;
        }
        self.next_tag
    }

    pub(super) fn insert(&mut self, tag: u64, deadline: Moment, position: u64) -> AskId {
        self.next_tag = tag + 1;
        if let Some(slot) = self.slot_mut(tag) {
            *slot = Slot { tag, state: State::Waiting { waker: None, deadline, position } };
            self.taken += 1;
            self.in_flight += 1;
            self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        }
        AskId(tag)
    }

    pub(super) fn poll(
        &mut self,
        id: AskId,
        cx: &mut Context<'_>,
        forgotten_max: usize,
    ) -> Poll<AskResult> {
        let Some(slot) = self.occupied(id.0) else {
            return Poll::Ready(Err(AskStopped::Lost { lost: Lost::ClosedHere, sent: true }));
        };
        if let State::Waiting { waker, .. } = &mut slot.state {
            match waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        let state = core::mem::replace(&mut slot.state, State::Forgotten);
        let State::Done { result, answer_due } = state else {
            return Poll::Ready(Err(AskStopped::Lost { lost: Lost::ClosedHere, sent: true }));
        };
        if answer_due {
            self.forgotten += 1;
            self.check_forgotten(forgotten_max);
        } else {
            self.free(id.0);
        }
        Poll::Ready(result)
    }

    /// The caller went away. Says whether the ask was still without an outcome.
    pub(super) fn forget(&mut self, id: AskId, forgotten_max: usize) -> bool {
        let Some(slot) = self.occupied(id.0) else { return false };
        let was_waiting = matches!(slot.state, State::Waiting { .. });
        match core::mem::replace(&mut slot.state, State::Forgotten) {
            State::Waiting { .. } => {
                self.in_flight -= 1;
                self.forgotten += 1;
            }
            State::Done { answer_due: true, .. } => self.forgotten += 1,
            State::Done { .. } => self.free(id.0),
            State::Forgotten | State::Free => {}
        }
        self.check_forgotten(forgotten_max);
        was_waiting
    }

    /// The ask never reached the peer as a whole, so there will be no answer.
    pub(super) fn discard(&mut self, id: AskId) {
        let Some(slot) = self.occupied(id.0) else { return };
        if matches!(slot.state, State::Waiting { .. }) {
            self.in_flight -= 1;
        }
        self.free(id.0);
    }

    fn check_forgotten(&mut self, forgotten_max: usize) {
        if self.forgotten > forgotten_max {
            self.tolerate_late_answers();
        }
    }

    /// The peer answered `tag`.
    pub(super) fn settle(&mut self, tag: &[u8], result: AskResult) -> Result<(), PeerMisbehaved> {
        let unknown = || PeerMisbehaved::UnknownTag { tag: printable(tag) };
        let number = parse_tag(tag).ok_or_else(unknown)?;
        let tolerated = number < self.tolerated_below;
        let Some(slot) = self.occupied(number) else {
            return if tolerated { Ok(()) } else { Err(unknown()) };
        };
        match &mut slot.state {
            State::Waiting { waker, .. } => {
                let waker = waker.take();
                slot.state = State::Done { result, answer_due: false };
                self.in_flight -= 1;
                if let Some(waker) = waker {
                    waker.wake();
                }
                Ok(())
            }
            State::Done { answer_due, .. } if *answer_due => {
                *answer_due = false;
                Ok(())
            }
            State::Forgotten => {
                self.forgotten -= 1;
                self.free(number);
                Ok(())
            }
            State::Done { .. } | State::Free => Err(unknown()),
        }
    }

    /// Ends every ask whose deadline has come. Its bytes are in the stream and go out sooner or
    /// later, so it counts as sent.
    pub(super) fn expire(&mut self, now: Moment) {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return;
        }
        self.earliest = None;
        for slot in &mut self.slots {
            let State::Waiting { waker, deadline, .. } = &mut slot.state else { continue };
            if *deadline > now {
                let earliest = self.earliest.map_or(*deadline, |earliest| earliest.min(*deadline));
                self.earliest = Some(earliest);
                continue;
            }
            let waker = waker.take();
            let result = Err(AskStopped::TimedOut { sent: true });
            slot.state = State::Done { result, answer_due: true };
            self.in_flight -= 1;
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Ends every ask: no answer can come any more.
    pub(super) fn lose(&mut self, lost: &Lost, written: u64) {
        self.earliest = None;
        self.in_flight = 0;
        self.forgotten = 0;
        for slot in &mut self.slots {
            match &mut slot.state {
                State::Waiting { waker, position, .. } => {
                    let waker = waker.take();
                    let sent = *position < written;
                    let result = Err(AskStopped::Lost { lost: lost.clone(), sent });
                    slot.state = State::Done { result, answer_due: false };
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
                State::Done { answer_due, .. } => *answer_due = false,
                State::Forgotten => {
                    slot.state = State::Free;
                    self.taken -= 1;
                }
                State::Free => {}
            }
        }
    }

    fn tolerate_late_answers(&mut self) {
        self.tolerated_below = self.next_tag;
        self.forgotten = 0;
        for slot in &mut self.slots {
            if matches!(slot.state, State::Forgotten) {
                slot.state = State::Free;
                self.taken -= 1;
            }
        }
    }

    fn free(&mut self, tag: u64) {
        if let Some(slot) = self.slot_mut(tag) {
            slot.state = State::Free;
            self.taken -= 1;
        }
        if self.taken == 0 && self.slots.len() > SLOTS_MIN {
            self.slots = Vec::new();
            self.earliest = None;
        }
    }

    /// Doubles the table. Two tags that had different places before have different places after.
    fn grow(&mut self) {
        let length = (self.slots.len() * 2).max(SLOTS_MIN);
        let mut slots = Vec::new();
        slots.resize_with(length, Slot::default);
        for slot in core::mem::replace(&mut self.slots, slots) {
            if let (false, Some(place)) =
                (matches!(slot.state, State::Free), self.slot_mut(slot.tag))
            {
                *place = slot;
            }
        }
    }

    fn occupied(&mut self, tag: u64) -> Option<&mut Slot> {
        let slot = self.slot_mut(tag)?;
        (slot.tag == tag && !matches!(slot.state, State::Free)).then_some(slot)
    }

    fn slot(&self, tag: u64) -> Option<&Slot> {
        self.slots.get(place(tag, self.slots.len()))
    }

    fn slot_mut(&mut self, tag: u64) -> Option<&mut Slot> {
        let place = place(tag, self.slots.len());
        self.slots.get_mut(place)
    }
}
