//! What is remembered of calls that are made once, and how much of it there may be.

use std::collections::BTreeMap;
use std::time::Duration;

use amp_proto::{PassedError, ReceivedBox};
use tokio::sync::watch;

use super::CallId;

/// What is answered to every ask with the same id.
pub(super) type Stored = Result<ReceivedBox, PassedError>;

/// An answer that is there, or will be.
pub(super) type Awaited = watch::Receiver<Option<Stored>>;

/// The least that an entry takes, whatever the answer.
const ENTRY_BYTES: usize = 256;
/// What is kept free for the answer of a run that has begun. An answer up to this is always kept;
/// a larger one if there is room when it comes.
const ANSWER_RESERVED_BYTES: usize = 4096;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    /// Tells it from other asks.
    pub(crate) digest: [u8; 32],
    /// How long the ask is. It is held while it is carried out, whatever becomes of the connection.
    pub(crate) bytes: usize,
}

/// Calls by id.
#[derive(Debug)]
pub(super) struct Remembered {
    answers_max: usize,
    bytes_max: usize,
    /// In the order in which the ids were made.
    calls: BTreeMap<CallId, Call>,
    /// What the asks that are being carried out take, and the stored answers, and those to come
    /// may. Never more than `bytes_max`, but for one entry that alone is more.
    bytes: usize,
}

#[derive(Debug)]
struct Call {
    /// A digest of what was asked.
    asked: [u8; 32],
    answer: Awaited,
    bytes: usize,
}

/// An id was given to two different calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OfAnother;

impl Remembered {
    pub(super) fn new(answers_max: usize, bytes_max: usize) -> Self {
        Self { answers_max, bytes_max, calls: BTreeMap::new(), bytes: 0 }
    }

    /// The answer to the call with this id, if it was begun.
    pub(super) fn answer(&self, id: CallId, asked: Asking) -> Option<Result<Awaited, OfAnother>> {
        let call = self.calls.get(&id)?;
        Some(if call.asked == asked.digest { Ok(call.answer.clone()) } else { Err(OfAnother) })
    }

    /// Notes a call that begins now. `false` if there is no room for another, or for its answer.
    pub(super) fn begin(&mut self, id: CallId, asked: Asking, answer: Awaited) -> bool {
        let bytes = ENTRY_BYTES + ANSWER_RESERVED_BYTES + asked.bytes;
        let bytes = bytes.min(self.bytes_max);
        let is_full = self.calls.len() >= self.answers_max || self.bytes >= self.bytes_max;
        if is_full || self.bytes + bytes > self.bytes_max {
            return false;
        }
        self.bytes += bytes;
        self.calls.insert(id, Call { asked: asked.digest, answer, bytes });
        true
    }

    /// Notes what became of a call. If there is no room for its answer, whoever waits for it now
    /// gets it, and whoever asks later is told that it was not kept.
    pub(super) fn settle(&mut self, id: CallId, answer_bytes: usize) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let others = self.bytes - call.bytes;
        let whole = ENTRY_BYTES.saturating_add(answer_bytes);
        call.bytes = if others.saturating_add(whole) <= self.bytes_max {
            whole
        } else {
            call.answer = watch::channel(Some(Err(not_kept()))).1;
            ENTRY_BYTES
        };
        self.bytes = others + call.bytes;
    }

    /// Forgets what was made before this and is over. What still runs is kept, however old it is.
    pub(super) fn forget_before(&mut self, oldest: Duration) {
        let mut still_running = Vec::new();
        while let Some(first) = self.calls.first_entry()
            && first.key().made() <= oldest
        {
            let (id, call) = first.remove_entry();
            if call.answer.borrow().is_none() {
                still_running.push((id, call));
            } else {
                self.bytes -= call.bytes;
            }
        }
        self.calls.extend(still_running);
    }

    /// How many calls there are.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// What they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn not_kept() -> PassedError {
    let description = "it was carried out, and there was no room to keep its answer".to_owned();
    PassedError { code: "ONCE_EXPIRED".to_owned(), description, fatal: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 64 * 1024;
    const ASKED: Asking = Asking { digest: [0; 32], bytes: 0 };

    fn id(made_s: u64) -> CallId {
        CallId::made_at(Duration::from_secs(made_s))
    }

    fn begun(remembered: &mut Remembered, id: CallId) -> bool {
        remembered.begin(id, ASKED, watch::channel(None).1)
    }

    /// What a later try is told, if the answer is known by now.
    fn told(remembered: &Remembered, id: CallId) -> Option<Stored> {
        remembered.answer(id, ASKED).unwrap().unwrap().borrow().clone()
    }

    #[test]
    fn large_answers_that_come_together_do_not_take_more_than_there_is() {
        let mut remembered = Remembered::new(100, MAX);
        let ids: Vec<CallId> = (0..10).map(id).collect();
        assert!(ids.iter().all(|id| begun(&mut remembered, *id)));
        for id in &ids {
            remembered.settle(*id, 20_000);
            assert!(remembered.bytes() <= MAX, "{remembered:?}");
        }
        let not_kept: Vec<_> = ids.iter().filter_map(|id| told(&remembered, *id)).collect();
        assert_eq!(not_kept.len(), 10 - MAX / 20_000, "there is room for three");
        assert!(not_kept.iter().all(|it| it.as_ref().unwrap_err().code == "ONCE_EXPIRED"));
    }

    #[test]
    fn an_answer_within_what_was_reserved_is_always_kept() {
        let mut remembered = Remembered::new(100, MAX);
        let ids: Vec<CallId> = (0..).map(id).take_while(|id| begun(&mut remembered, *id)).collect();
        assert_eq!(ids.len(), MAX / (ENTRY_BYTES + ANSWER_RESERVED_BYTES));
        for id in &ids {
            remembered.settle(*id, ANSWER_RESERVED_BYTES);
            assert_eq!(told(&remembered, *id), None, "the answer stays the one to come");
        }
        assert!(remembered.bytes() <= MAX);
    }

    #[test]
    fn a_large_ask_counts_while_it_is_carried_out() {
        let mut remembered = Remembered::new(100, MAX);
        let large = Asking { bytes: 50_000, ..ASKED };
        assert!(remembered.begin(id(1), large, watch::channel(None).1));
        assert!(!remembered.begin(id(2), large, watch::channel(None).1));
        remembered.settle(id(1), 10);
        assert!(remembered.begin(id(2), large, watch::channel(None).1));
    }

    #[test]
    fn what_is_forgotten_makes_room() {
        let mut remembered = Remembered::new(1, MAX);
        let (told, answer) = watch::channel(None);
        assert!(remembered.begin(id(1), ASKED, answer));
        assert!(!begun(&mut remembered, id(2)), "there may be one");
        remembered.forget_before(Duration::from_secs(9));
        assert_eq!(remembered.len(), 1, "it still runs");
        remembered.settle(id(1), 5);
        let unknown = PassedError { code: "UNKNOWN".into(), description: "".into(), fatal: false };
        told.send_replace(Some(Err(unknown)));
        remembered.forget_before(Duration::from_secs(9));
        assert_eq!((remembered.len(), remembered.bytes()), (0, 0));
        assert!(begun(&mut remembered, id(2)));
    }

    #[test]
    fn nothing_is_begun_where_nothing_may_be_remembered() {
        assert!(!begun(&mut Remembered::new(100, 0), id(1)));
        assert!(!begun(&mut Remembered::new(0, MAX), id(1)));
        let mut little = Remembered::new(100, 300);
        assert!(begun(&mut little, id(1)) && !begun(&mut little, id(2)));
    }
}
