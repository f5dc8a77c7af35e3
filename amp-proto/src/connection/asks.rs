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

/// Enough for one ask at a time, such as the sign of life of a connection that does nothing else.
const SLOTS_MIN: usize = 2;

/// The next number. Behind the last one they begin anew: no tag is zero.
const fn after(tag: u64) -> u64 {
    match tag.checked_add(1) {
        Some(next) => next,
        None => 1,
    }
}

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
    #[inline]
    pub(super) fn reserve(&mut self) -> u64 {
        if self.taken >= self.slots.len() / 2 {
            self.grow();
        }
        while !matches!(self.slot(self.next_tag).map(|slot| &slot.state), Some(State::Free)) {
            self.next_tag = after(self.next_tag);
        }
        self.next_tag
    }

    #[inline]
    pub(super) fn insert(&mut self, tag: u64, deadline: Moment, position: u64) -> AskId {
        self.next_tag = after(tag);
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

    /// The peer answered `tag`, with what `result` makes if somebody waits for it.
    pub(super) fn settle(
        &mut self,
        tag: &[u8],
        result: impl FnOnce() -> AskResult,
    ) -> Result<(), PeerMisbehaved> {
        let unknown = || PeerMisbehaved::UnknownTag { tag: printable(tag) };
        let number = parse_tag(tag).ok_or_else(unknown)?;
        let tolerated = number < self.tolerated_below;
        let Some(slot) = self.occupied(number) else {
            return if tolerated { Ok(()) } else { Err(unknown()) };
        };
        match &mut slot.state {
            State::Waiting { waker, .. } => {
                let waker = waker.take();
                slot.state = State::Done { result: result(), answer_due: false };
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

    /// Ends every ask whose deadline has come, and gives them. Its bytes are in the stream and go
    /// out sooner or later, so it counts as sent.
    pub(super) fn expire(&mut self, now: Moment) -> Vec<AskId> {
        let mut expired = Vec::new();
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return expired;
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
            expired.push(AskId(slot.tag));
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        expired
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

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    const FORGOTTEN_MAX: usize = 1000;

    fn asks_from(next_tag: u64) -> Asks {
        Asks { next_tag, ..Asks::new() }
    }

    fn ask(asks: &mut Asks) -> AskId {
        let tag = asks.reserve();
        asks.insert(tag, Moment::START, 0)
    }

    /// What an answer says, so that it can be told whose it is.
    fn said(tag: u64) -> AskResult {
        Err(AskStopped::Error {
            code: String::from_utf8(AskId(tag).tag()).unwrap(),
            description: String::new(),
        })
    }

    fn outcome(asks: &mut Asks, id: AskId) -> Poll<AskResult> {
        asks.poll(id, &mut Context::from_waker(Waker::noop()), FORGOTTEN_MAX)
    }

    /// What a peer and its callers may do, in any order: `steps` says what next, and to which ask.
    fn go_through(first_tag: u64, steps: &[(u8, usize)]) {
        let mut asks = asks_from(first_tag);
        // Every ask whose answer is still to come, and whether somebody waits for it.
        let mut due = BTreeMap::new();
        for (what, which) in steps {
            let nth = due.keys().nth(which % due.len().max(1)).copied();
            match (what % 4, nth) {
                (0 | 1, _) | (_, None) => {
                    let AskId(tag) = ask(&mut asks);
                    assert_ne!(tag, 0);
                    assert_eq!(due.insert(tag, true), None, "{tag:x} is taken");
                }
                (2, Some(tag)) => {
                    assert_eq!(asks.forget(AskId(tag), FORGOTTEN_MAX), due[&tag]);
                    due.insert(tag, false);
                }
                (_, Some(tag)) => {
                    assert_eq!(asks.settle(&AskId(tag).tag(), || said(tag)), Ok(()));
                    if due.remove(&tag).unwrap() {
                        assert_eq!(outcome(&mut asks, AskId(tag)), Poll::Ready(said(tag)));
                    }
                    // A second answer is an answer to nothing.
                    assert!(asks.settle(&AskId(tag).tag(), || said(tag)).is_err());
                }
            }
            let waiting = due.values().filter(|waits| **waits).count();
            assert_eq!(asks.in_flight(), waiting);
        }
        // The answers that are still due find their own asks, however often the numbers went round.
        for (tag, waits) in due {
            assert_eq!(asks.settle(&AskId(tag).tag(), || said(tag)), Ok(()));
            if waits {
                assert_eq!(outcome(&mut asks, AskId(tag)), Poll::Ready(said(tag)));
            }
        }
        assert_eq!((asks.in_flight(), asks.taken, asks.forgotten), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn no_two_asks_whose_answers_are_due_have_one_tag_or_get_each_others_answers(
            first_tag in prop_oneof![1..100_u64, u64::MAX - 100..=u64::MAX],
            steps in prop::collection::vec((any::<u8>(), any::<usize>()), 0..300),
        ) {
            go_through(first_tag, &steps);
        }
    }

    #[test]
    fn behind_the_last_number_tags_begin_anew_and_leave_out_those_in_flight() {
        let mut asks = asks_from(1);
        let old: Vec<_> = (0..3).map(|_| ask(&mut asks)).collect();
        asks.next_tag = u64::MAX - 1;
        let new: Vec<_> = (0..4).map(|_| ask(&mut asks)).collect();
        assert_eq!(new[..2], [AskId(u64::MAX - 1), AskId(u64::MAX)]);
        for id in [&old[..], &new[..]].concat() {
            assert_eq!(asks.settle(&id.tag(), || said(id.0)), Ok(()));
            assert_eq!(outcome(&mut asks, id), Poll::Ready(said(id.0)));
        }
        assert_eq!(asks.taken, 0);
    }

    /// Every table of eight places with up to four asks in it, wherever the numbers stand.
    #[test]
    fn however_the_places_are_taken_the_next_tag_has_one_of_its_own() {
        for first_tag in [1, 5, 8, u64::MAX - 9, u64::MAX - 3, u64::MAX] {
            for rounds in 0..40 {
                for kept in 0..1_u32 << 10 {
                    if kept.count_ones() > 4 {
                        continue;
                    }
                    let mut asks = asks_from(first_tag);
                    let mut due = vec![];
                    for number in 0..10 {
                        let id = ask(&mut asks);
                        if kept & (1 << number) == 0 {
                            asks.discard(id);
                        } else {
                            due.push(id.0);
                        }
                    }
                    for _ in 0..rounds {
                        let id = ask(&mut asks);
                        assert!(!due.contains(&id.0), "{:x} is taken", id.0);
                        asks.discard(id);
                    }
                    for tag in due {
                        assert_eq!(asks.settle(&AskId(tag).tag(), || said(tag)), Ok(()));
                    }
                }
            }
        }
    }
}
