//! What is remembered of calls that are made once, and how much of it there may be.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use amp_proto::{Limits, PassedError, ReceivedBox, Refusal};
use tokio::sync::watch;

use super::id::CallId;
use crate::sync::{Mutex, MutexGuard};

/// What is answered to every ask with the same id.
pub(crate) type Stored = Result<ReceivedBox, PassedError>;

/// An answer that is there, or will be.
pub(crate) type Awaited = watch::Receiver<Option<Stored>>;

/// The least that an entry takes, whatever the answer.
const ENTRY_BYTES: usize = 256;
/// What is kept free for the answer of a run that has begun. An answer up to this is always kept;
/// a larger one if there is room when it comes.
const ANSWER_RESERVED_BYTES: usize = 4096;
/// By how much the clock of whoever made an id may be ahead of ours. So long a call waits for its
/// time at the most.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    /// Tells it from other asks.
    pub(crate) digest: [u8; 32],
    /// How long the ask is. It is held while it is carried out, whatever becomes of the connection.
    pub(crate) bytes: usize,
}

/// Calls by their ids, and what became of them.
pub(crate) struct Remembered {
    window: Duration,
    /// When remembering began, in time after 1970.
    since: Duration,
    calls: Mutex<Calls>,
}

struct Calls {
    answers_max: usize,
    bytes_max: usize,
    /// In the order in which the ids were made.
    by_id: BTreeMap<CallId, Call>,
    /// What the asks that are being carried out take, and the stored answers, and those to come
    /// may. Never more than `bytes_max`, but for one entry that alone is more.
    bytes: usize,
    /// The latest time that was seen.
    latest: Duration,
}

struct Call {
    /// A digest of what was asked.
    asked: [u8; 32],
    answer: Awaited,
    bytes: usize,
}

/// What there is to do about an ask.
pub(crate) enum Entered {
    /// Nothing: this is its answer, or will be.
    Known(Awaited),
    /// To carry it out.
    Begins(Begun),
}

/// A call that nobody has carried out yet. Whoever gets this does.
pub(crate) struct Begun {
    pub(crate) told: watch::Sender<Option<Stored>>,
    pub(crate) answer: Awaited,
    /// How long it has to wait before that, until the time that its id names has come.
    pub(crate) wait: Duration,
}

impl Remembered {
    pub(crate) fn new(limits: &Limits, since: Duration) -> Self {
        Self {
            window: limits.once_window,
            since,
            calls: Mutex::new(Calls::new(limits.once_answers_max, limits.once_bytes_max)),
        }
    }

    /// Takes an ask with this id in. Of all that come with one id, one begins.
    ///
    /// The clock is looked at when it is this ask's turn: what another has forgotten by then is
    /// also too old for this one, and is not begun a second time.
    ///
    /// # Errors
    /// [`Refusal`]: the id belongs to another call, is too old or too new to be known, or there is
    /// no room.
    pub(crate) fn enter(
        &self,
        id: CallId,
        asked: Asking,
        clock: impl FnOnce() -> Duration,
    ) -> Result<Entered, Refusal> {
        let mut calls = self.calls();
        // What was forgotten by a clock that was set back since must not be new again.
        let now = clock().max(calls.latest);
        calls.latest = now;
        calls.forget_before(now.saturating_sub(self.window));
        if let Some(call) = calls.by_id.get(&id) {
            if call.asked != asked.digest {
                return Err(refused("ONCE_REUSED", "the id belongs to another call"));
            }
            return Ok(Entered::Known(call.answer.clone()));
        }
        if id.made().saturating_add(self.window) <= now || id.made() < self.since {
            let description = "what became of a call with this id is not known any more";
            return Err(refused("ONCE_EXPIRED", description));
        }
        if id.made() > now + AHEAD_MAX {
            return Err(refused("ONCE_EXPIRED", "the id is of a time to come: see the clocks"));
        }
        let (told, answer) = watch::channel(None);
        if !calls.begin(id, asked, answer.clone()) {
            return Err(Refusal::Overloaded);
        }
        Ok(Entered::Begins(Begun { told, answer, wait: id.made().saturating_sub(now) }))
    }

    /// Keeps the answer, and tells it to everybody who waits for it. If there is no room for it,
    /// whoever asks later is told that it was not kept.
    pub(crate) fn answered(
        &self,
        id: CallId,
        told: &watch::Sender<Option<Stored>>,
        stored: Stored,
    ) {
        let bytes = stored.as_ref().map_or_else(|it| it.description.len(), ReceivedBox::bytes_len);
        self.calls().settle(id, bytes);
        // Until this is said the call is kept, however old it is.
        told.send_replace(Some(stored));
    }

    /// How many there are, and what they take.
    pub(crate) fn calls_and_bytes(&self) -> (usize, usize) {
        let calls = self.calls();
        (calls.by_id.len(), calls.bytes)
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    const fn new(answers_max: usize, bytes_max: usize) -> Self {
        Self { answers_max, bytes_max, by_id: BTreeMap::new(), bytes: 0, latest: Duration::ZERO }
    }

    /// Notes a call that begins now. `false` if there is no room for another, or for its answer.
    fn begin(&mut self, id: CallId, asked: Asking, answer: Awaited) -> bool {
        let bytes = ENTRY_BYTES + ANSWER_RESERVED_BYTES + asked.bytes;
        let bytes = bytes.min(self.bytes_max);
        let is_full = self.by_id.len() >= self.answers_max || self.bytes >= self.bytes_max;
        if is_full || self.bytes + bytes > self.bytes_max {
            return false;
        }
        self.bytes += bytes;
        self.by_id.insert(id, Call { asked: asked.digest, answer, bytes });
        true
    }

    /// Counts an answer in place of the ask.
    fn settle(&mut self, id: CallId, answer_bytes: usize) {
        let Some(call) = self.by_id.get_mut(&id) else { return };
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
    fn forget_before(&mut self, oldest: Duration) {
        let mut still_running = Vec::new();
        while let Some(first) = self.by_id.first_entry()
            && first.key().made() <= oldest
        {
            let (id, call) = first.remove_entry();
            if call.answer.borrow().is_none() {
                still_running.push((id, call));
            } else {
                self.bytes -= call.bytes;
            }
        }
        self.by_id.extend(still_running);
    }
}

pub(crate) fn refused(code: &str, description: &str) -> Refusal {
    let (code, description) = (code.to_owned(), description.to_owned());
    Refusal::Passed(PassedError { code, description, fatal: false })
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

    fn begun(calls: &mut Calls, id: CallId) -> bool {
        calls.begin(id, ASKED, watch::channel(None).1)
    }

    /// What a later try is told, if the answer is known by now.
    fn told(calls: &Calls, id: CallId) -> Option<Stored> {
        calls.by_id[&id].answer.borrow().clone()
    }

    #[test]
    fn large_answers_that_come_together_do_not_take_more_than_there_is() {
        let mut calls = Calls::new(100, MAX);
        let ids: Vec<CallId> = (0..10).map(id).collect();
        assert!(ids.iter().all(|id| begun(&mut calls, *id)));
        for id in &ids {
            calls.settle(*id, 20_000);
            assert!(calls.bytes <= MAX, "{}", calls.bytes);
        }
        let not_kept: Vec<_> = ids.iter().filter_map(|id| told(&calls, *id)).collect();
        assert_eq!(not_kept.len(), 10 - MAX / 20_000, "there is room for three");
        assert!(not_kept.iter().all(|it| it.as_ref().unwrap_err().code == "ONCE_EXPIRED"));
    }

    #[test]
    fn an_answer_within_what_was_reserved_is_always_kept() {
        let mut calls = Calls::new(100, MAX);
        let ids: Vec<CallId> = (0..).map(id).take_while(|id| begun(&mut calls, *id)).collect();
        assert_eq!(ids.len(), MAX / (ENTRY_BYTES + ANSWER_RESERVED_BYTES));
        for id in &ids {
            calls.settle(*id, ANSWER_RESERVED_BYTES);
            assert_eq!(told(&calls, *id), None, "the answer stays the one to come");
        }
        assert!(calls.bytes <= MAX);
    }

    #[test]
    fn a_large_ask_counts_while_it_is_carried_out() {
        let mut calls = Calls::new(100, MAX);
        let large = Asking { bytes: 50_000, ..ASKED };
        let (first, second) = (id(1), id(2));
        assert!(calls.begin(first, large, watch::channel(None).1));
        assert!(!calls.begin(second, large, watch::channel(None).1));
        calls.settle(first, 10);
        assert!(calls.begin(second, large, watch::channel(None).1));
    }

    #[test]
    fn what_is_forgotten_makes_room() {
        let mut calls = Calls::new(1, MAX);
        let (told, answer) = watch::channel(None);
        let first = id(1);
        assert!(calls.begin(first, ASKED, answer));
        assert!(!begun(&mut calls, id(2)), "there may be one");
        calls.forget_before(Duration::from_secs(9));
        assert_eq!(calls.by_id.len(), 1, "it still runs");
        calls.settle(first, 5);
        let unknown = PassedError { code: "UNKNOWN".into(), description: "".into(), fatal: false };
        told.send_replace(Some(Err(unknown)));
        calls.forget_before(Duration::from_secs(9));
        assert_eq!((calls.by_id.len(), calls.bytes), (0, 0));
        assert!(begun(&mut calls, id(2)));
    }

    #[test]
    fn nothing_is_begun_where_nothing_may_be_remembered() {
        assert!(!begun(&mut Calls::new(100, 0), id(1)));
        assert!(!begun(&mut Calls::new(0, MAX), id(1)));
        let mut little = Calls::new(100, 300);
        assert!(begun(&mut little, id(1)) && !begun(&mut little, id(2)));
    }
}
