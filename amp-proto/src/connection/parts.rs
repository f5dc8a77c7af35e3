//! Large asks and answers, in parts: what else there is to say comes in between.
//!
//! A large box is cut into pieces, each in a box of its own, and put together again at the other
//! end. As with streams, the receiver gives credit, so that no more than a window of it is on its
//! way, and a small box never waits behind more than that.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::Limits;
use crate::error::PeerMisbehaved;

/// So many large boxes may be under way at once.
pub(super) const AT_ONCE_MAX: usize = Limits::LARGE_AT_ONCE_MAX;

/// A large box on its way out.
#[derive(Debug)]
struct Message {
    number: u64,
    head: Vec<u8>,
    body: Vec<u8>,
    /// How much of both has been cut off.
    sent: usize,
    /// Our ask, if it is one.
    ask: Option<u64>,
}

/// A piece of a large box.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) number: u64,
    pub(super) bytes: &'a [u8],
    pub(super) is_last: bool,
    /// Our ask, if it is one.
    pub(super) ask: Option<u64>,
}

/// Every large box on its way out.
#[derive(Debug)]
pub(super) struct Sending {
    queue: VecDeque<Message>,
    credit: i64,
    next_number: u64,
    waiting_bytes: usize,
}

impl Sending {
    pub(super) const fn new() -> Self {
        Self { queue: VecDeque::new(), credit: 0, next_number: 1, waiting_bytes: 0 }
    }

    pub(super) fn give_credit(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// How many large boxes wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn push(&mut self, mut head: Vec<u8>, mut body: Vec<u8>, ask: Option<u64>) {
        // They may wait long, and whoever wrote them made room for more.
        head.shrink_to_fit();
        body.shrink_to_fit();
        self.waiting_bytes += head.len() + body.len();
        self.queue.push_back(Message { number: self.next_number, head, body, sent: 0, ask });
        self.next_number += 1;
    }

    /// Whether [`Sending::cut`] has something to give.
    pub(super) fn is_ready(&self) -> bool {
        self.credit > 0 && !self.queue.is_empty()
    }

    /// Cuts off the next piece, a piece of each large box in turn, and hands it to `write`.
    pub(super) fn cut(&mut self, piece_bytes: usize, write: impl FnOnce(&Part<'_>)) {
        if self.credit <= 0 {
            return;
        }
        let Some(mut message) = self.queue.pop_front() else { return };
        let Message { number, head, body, sent, ask } = &message;
        // The head goes alone: it is short, and the two do not lie together.
        let rest = match head.get(*sent..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => body.get(*sent - head.len()..).unwrap_or_default(),
        };
        let bytes = rest.get(..piece_bytes).unwrap_or(rest);
        let is_last = *sent + bytes.len() == head.len() + body.len();
        let length = bytes.len();
        write(&Part { number: *number, bytes, is_last, ask: *ask });
        self.credit -= i64::try_from(length).unwrap_or(i64::MAX);
        self.waiting_bytes -= length;
        message.sent += length;
        if !is_last {
            let turn = self.queue.len().min(AT_ONCE_MAX - 1);
            self.queue.insert(turn, message);
        }
    }

    /// Whether one of the large boxes is an answer.
    pub(super) fn has_answers(&self) -> bool {
        self.queue.iter().any(|message| message.ask.is_none())
    }

    /// Our asks that are not out yet.
    pub(super) fn asks(&self) -> impl Iterator<Item = u64> + '_ {
        self.queue.iter().filter_map(|message| message.ask)
    }

    /// Gives up an ask that is not out yet. If some of it is, its number says which.
    pub(super) fn give_up(&mut self, ask: u64) -> Option<Option<u64>> {
        let at = self.queue.iter().position(|message| message.ask == Some(ask))?;
        let message = self.queue.remove(at)?;
        self.waiting_bytes -= message.head.len() + message.body.len() - message.sent;
        Some((message.sent > 0).then_some(message.number))
    }

    pub(super) fn clear(&mut self) {
        self.queue = VecDeque::new();
        self.waiting_bytes = 0;
    }
}

/// How much of a large ask is kept that is not put together, in bytes: enough for its name and its
/// tag, which come first.
const HEAD_BYTES_MAX: usize = 4096;

/// A large box on its way in.
#[derive(Debug, Default)]
struct Coming {
    bytes: Vec<u8>,
    /// How much of it came.
    came: usize,
    /// Only its head is kept.
    is_shed: bool,
}

/// Every large box on its way in.
#[derive(Debug)]
pub struct Assembly {
    open: BTreeMap<u64, Coming>,
    bytes_max: usize,
    window: i64,
    /// Bytes that came and were not given back as credit.
    owed: i64,
}

/// What is to be done now that a box that belongs to a large one has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Assembled {
    /// The whole box, if this was its last piece.
    pub whole: Option<Bytes>,
    /// Only the head of the box was kept, and it is an ask: see [`Assembly::shed`].
    pub is_shed: bool,
    /// How much credit to give the peer, if it is time to.
    pub owed: Option<u64>,
    /// How much credit the peer gave.
    pub given: Option<u64>,
}

impl Assembly {
    /// Nothing on its way.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let window = i64::try_from(limits.stream_window_bytes).unwrap_or(i64::MAX);
        Self { open: BTreeMap::new(), bytes_max: limits.large_bytes_max, window, owed: 0 }
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// [`PeerMisbehaved`] when it is over the limits or the credit.
    pub(super) fn handle_part(
        &mut self,
        number: u64,
        bytes: &[u8],
        is_last: bool,
    ) -> Result<Assembled, PeerMisbehaved> {
        if self.owed >= self.window {
            return Err(PeerMisbehaved::OverCredit);
        }
        if !self.open.contains_key(&number) && self.open.len() >= AT_ONCE_MAX {
            return Err(PeerMisbehaved::TooManyLarge { max: AT_ONCE_MAX });
        }
        let coming = self.open.entry(number).or_default();
        if coming.came + bytes.len() > self.bytes_max {
            return Err(PeerMisbehaved::BoxTooLarge { max: self.bytes_max });
        }
        coming.take(bytes, self.bytes_max);
        let done = if is_last { self.open.remove(&number) } else { None };
        let is_shed = done.as_ref().is_some_and(|done| done.is_shed);
        let whole = done.map(Coming::into_box);
        self.owed += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let is_worth_it = self.owed >= self.window / 2;
        let owed =
            if is_worth_it { u64::try_from(core::mem::take(&mut self.owed)).ok() } else { None };
        Ok(Assembled { whole, is_shed, owed, given: None })
    }

    /// Lets go of the asks that are on their way, but for their heads: there is no memory for them.
    /// Their pieces are taken as ever, and when the last has come they are there to be refused.
    /// Answers go on, for somebody waits for them.
    pub fn shed(&mut self) {
        self.open.values_mut().for_each(Coming::shed);
    }

    /// The peer sends no more of it.
    pub(super) fn handle_given_up(&mut self, number: u64) {
        self.open.remove(&number);
    }
}

impl Coming {
    fn take(&mut self, bytes: &[u8], bytes_max: usize) {
        self.came += bytes.len();
        if self.is_shed {
            let left = HEAD_BYTES_MAX.saturating_sub(self.bytes.len());
            self.bytes.extend_from_slice(bytes.get(..left).unwrap_or(bytes));
        } else {
            append(&mut self.bytes, bytes, bytes_max);
        }
    }

    fn shed(&mut self) {
        /// The keys with which answers begin, as they stand on the wire.
        const ANSWERS: [&[u8]; 2] = [b"\0\x07_answer", b"\0\x06_error"];
        let is_known = ANSWERS.iter().all(|key| self.bytes.len() >= key.len());
        if !is_known || ANSWERS.iter().any(|key| self.bytes.starts_with(key)) {
            return;
        }
        self.is_shed = true;
        self.bytes.truncate(HEAD_BYTES_MAX);
        self.bytes.shrink_to_fit();
    }

    fn into_box(mut self) -> Bytes {
        if self.is_shed {
            let whole_bytes = whole_fields(&self.bytes);
            self.bytes.truncate(whole_bytes);
            self.bytes.extend_from_slice(&[0, 0]);
        }
        exactly(self.bytes)
    }
}

/// How many bytes from the start are keys with their values, none of them cut off.
fn whole_fields(bytes: &[u8]) -> usize {
    let after = |at: usize| {
        let length = bytes.get(at..at.checked_add(2)?)?;
        let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
        let end = at + 2 + length;
        (end <= bytes.len()).then_some((length, end))
    };
    let mut whole = 0;
    while let Some((1.., value)) = after(whole) {
        match after(value) {
            Some((_, end)) => whole = end,
            None => break,
        }
    }
    whole
}

/// Appends `bytes`, and makes room for no more than `bytes_max` in all.
fn append(so_far: &mut Vec<u8>, bytes: &[u8], bytes_max: usize) {
    let needed = so_far.len() + bytes.len();
    if needed > so_far.capacity() {
        let room = needed.max(so_far.capacity() * 2).min(needed.max(bytes_max));
        so_far.reserve_exact(room - so_far.len());
    }
    so_far.extend_from_slice(bytes);
}

/// What was put together, without the room that was made for more.
fn exactly(mut whole: Vec<u8>) -> Bytes {
    whole.shrink_to_fit();
    whole.into()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn limits() -> Limits {
        Limits { stream_window_bytes: 100, large_bytes_max: 1000, ..Limits::default() }
    }

    fn cut(sending: &mut Sending, piece_bytes: usize) -> Option<(u64, Vec<u8>, bool)> {
        let mut cut = None;
        sending.cut(piece_bytes, |part| {
            cut = Some((part.number, part.bytes.to_vec(), part.is_last));
        });
        cut
    }

    #[test]
    fn large_boxes_take_turns_and_arrive_whole() {
        let (mut sending, mut assembly) = (Sending::new(), Assembly::new(&limits()));
        sending.give_credit(100);
        sending.push(vec![1; 3], vec![2; 500], None);
        sending.push(vec![3; 3], vec![4; 40], None);
        let mut whole = Vec::new();
        while let Some((number, bytes, is_last)) = cut(&mut sending, 30) {
            let assembled = assembly.handle_part(number, &bytes, is_last).unwrap();
            sending.give_credit(assembled.owed.unwrap_or_default());
            whole.extend(assembled.whole);
        }
        assert_eq!(
            whole,
            [[vec![3; 3], vec![4; 40]].concat(), [vec![1; 3], vec![2; 500]].concat()]
        );
        assert_eq!(sending.waiting_bytes(), 0);
    }

    #[test]
    fn without_credit_nothing_more_is_cut_off() {
        let mut sending = Sending::new();
        sending.push(Vec::new(), vec![1; 200], None);
        assert_eq!(cut(&mut sending, 30), None);
        assert_eq!(sending.waiting_bytes(), 200, "nothing was lost");
        sending.give_credit(40);
        assert!(cut(&mut sending, 30).is_some() && cut(&mut sending, 30).is_some());
        assert_eq!(cut(&mut sending, 30), None);
        assert_eq!(sending.waiting_bytes(), 140);
    }

    #[test]
    fn what_is_given_up_is_forgotten_at_both_ends() {
        let (mut sending, mut assembly) = (Sending::new(), Assembly::new(&limits()));
        sending.give_credit(1000);
        sending.push(Vec::new(), vec![1; 100], Some(7));
        sending.push(Vec::new(), vec![2; 100], Some(8));
        let (number, bytes, is_last) = cut(&mut sending, 30).unwrap();
        assembly.handle_part(number, &bytes, is_last).unwrap();
        assert_eq!(sending.give_up(7), Some(Some(number)));
        assert_eq!(sending.give_up(8), Some(None));
        assert_eq!(sending.give_up(8), None);
        assert_eq!(sending.waiting_bytes(), 0);
        assembly.handle_given_up(number);
        assert!(assembly.open.is_empty());
    }

    /// A key and its value, as they stand on the wire.
    fn field(key: &str, value: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
        [&length(key.as_bytes())[..], key.as_bytes(), &length(value), value].concat()
    }

    #[test]
    fn of_an_ask_that_is_let_go_of_the_head_is_left_and_answers_go_on() {
        let limits = Limits { large_bytes_max: 100_000, ..limits() };
        let head = [field("_ask", b"7"), field("_command", b"Store")].concat();
        let ask = [head.clone(), field("water", &[1; 40_000]), vec![0, 0]].concat();
        let answer = [field("_answer", b"3"), field("water", &[1; 40_000]), vec![0, 0]].concat();
        for shed_at in 0..4 {
            let mut assembly = Assembly::new(&limits);
            let mut whole = Vec::new();
            let pieces =
                |bytes: &'_ [u8]| bytes.chunks(9000).map(<[u8]>::to_vec).collect::<Vec<_>>();
            let (ask, answer) = (pieces(&ask), pieces(&answer));
            for (at, (ask, answer)) in ask.iter().zip(&answer).enumerate() {
                let is_last = at == 4;
                for (number, piece) in [(1, ask), (2, answer)] {
                    let assembled = assembly.handle_part(number, piece, is_last).unwrap();
                    whole.extend(assembled.whole.map(|whole| (whole, assembled.is_shed)));
                }
                if at == shed_at {
                    assembly.shed();
                    assert!(assembly.open[&1].bytes.capacity() <= HEAD_BYTES_MAX);
                }
            }
            let left = [head.clone(), vec![0, 0]].concat();
            assert_eq!(whole, [(left.into(), true), (answer.concat().into(), false)]);
        }
        let mut assembly = Assembly::new(&limits);
        for _ in 0..11 {
            assembly.handle_part(1, &[1; 9000], false).unwrap();
            assembly.shed();
        }
        let refused = assembly.handle_part(1, &[1; 9000], false);
        assert_eq!(
            refused,
            Err(PeerMisbehaved::BoxTooLarge { max: 100_000 }),
            "counted all the same"
        );
    }

    #[test]
    fn a_peer_that_sends_too_much_is_told_so() {
        let mut assembly = Assembly::new(&limits());
        assembly.handle_part(1, &[0; 49], false).unwrap();
        assembly.handle_part(1, &[0; 49], false).unwrap();
        let mut over_credit = Assembly::new(&Limits { stream_window_bytes: 0, ..limits() });
        let refused = over_credit.handle_part(1, &[0; 1], false);
        assert_eq!(refused, Err(PeerMisbehaved::OverCredit));
        for number in 2..=4 {
            assembly.handle_part(number, &[0; 1], false).unwrap();
        }
        let refused = assembly.handle_part(5, &[0; 1], false);
        assert_eq!(refused, Err(PeerMisbehaved::TooManyLarge { max: 4 }));
        let refused = assembly.handle_part(4, &[0; 1000], true);
        assert_eq!(refused, Err(PeerMisbehaved::BoxTooLarge { max: 1000 }));
    }
}
