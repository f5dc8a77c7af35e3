//! What is remembered of calls that are made once, within its bounds.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use amp_proto::{Limits, PassedError, ReceivedBox, Refusal};
use tokio::sync::watch;

use super::id::CallId;
use crate::sync::{Mutex, MutexGuard};

/// What is answered to every ask with the same id.
pub(crate) type Stored = Result<ReceivedBox, PassedError>;

/// The least that an entry takes, whatever the answer.
const ENTRY_BYTES: usize = 256;
/// By how much the clock of whoever made an id may be ahead of ours.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// Calls by their ids, and what became of them.
pub(crate) struct Remembered {
    window: Duration,
    answers_max: usize,
    bytes_max: usize,
    /// When remembering began, in time after 1970.
    since: Duration,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    /// In the order in which the ids were made.
    by_id: BTreeMap<CallId, Call>,
    /// What the stored answers take.
    bytes: usize,
}

struct Call {
    /// A digest of what was asked.
    asked: [u8; 32],
    answer: watch::Receiver<Option<Stored>>,
    bytes: usize,
}

/// What there is to do about an ask.
pub(crate) enum Entered {
    /// Nothing: this is its answer, or will be.
    Known(watch::Receiver<Option<Stored>>),
    /// To carry it out.
    Begins(Begun),
}

/// A call that nobody has carried out yet. Whoever gets this does.
pub(crate) struct Begun {
    pub(crate) told: watch::Sender<Option<Stored>>,
    pub(crate) answer: watch::Receiver<Option<Stored>>,
}

impl Remembered {
    pub(crate) fn new(limits: &Limits, since: Duration) -> Self {
        Self {
            window: limits.once_window,
            answers_max: limits.once_answers_max,
            bytes_max: limits.once_bytes_max,
            since,
            calls: Mutex::new(Calls::default()),
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
        asked: [u8; 32],
        clock: impl FnOnce() -> Duration,
    ) -> Result<Entered, Refusal> {
        let mut calls = self.calls();
        let now = clock();
        calls.forget_before(now.saturating_sub(self.window));
        if let Some(call) = calls.by_id.get(&id) {
            if call.asked != asked {
                return Err(refused("ONCE_REUSED", "the id belongs to another call"));
            }
            return Ok(Entered::Known(call.answer.clone()));
        }
        if id.made() + self.window <= now || id.made() < self.since {
            let description = "what became of a call with this id is not known any more";
            return Err(refused("ONCE_EXPIRED", description));
        }
        if id.made() > now + AHEAD_MAX {
            return Err(refused("ONCE_EXPIRED", "the id is of a time to come: see the clocks"));
        }
        if calls.by_id.len() >= self.answers_max || calls.bytes >= self.bytes_max {
            return Err(Refusal::Overloaded);
        }
        let (told, answer) = watch::channel(None);
        calls.bytes += ENTRY_BYTES;
        let call = Call { asked, answer: answer.clone(), bytes: ENTRY_BYTES };
        calls.by_id.insert(id, call);
        Ok(Entered::Begins(Begun { told, answer }))
    }

    /// Keeps the answer, and tells it to everybody who waits for it.
    pub(crate) fn answered(
        &self,
        id: CallId,
        told: &watch::Sender<Option<Stored>>,
        stored: Stored,
    ) {
        let bytes = stored.as_ref().map_or_else(|it| it.description.len(), ReceivedBox::bytes_len);
        let mut calls = self.calls();
        if let Some(call) = calls.by_id.get_mut(&id) {
            call.bytes += bytes;
            calls.bytes += bytes;
        }
        drop(calls);
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
