//! Calls that are carried out once, however often they are tried.
//!
//! A process remembers what it answered to each [`CallId`] for a window of time. A second ask with
//! the same id gets the same answer, or waits for the one that is under way, whichever connection
//! it comes through. What the process cannot know any more it refuses: an id that is older than the
//! window, or than the process itself.

mod id;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amp_proto::{Afterwards, Answered, Limits, Outcome, PassedError, ReceivedBox, Refusal};
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::id::{CallId, NotACallId};
use crate::chain::chain;
use crate::lifetime::Lifetime;

/// What a process answered, by the id of the call.
pub struct OnceStore {
    window: Duration,
    answers_max: usize,
    bytes_max: usize,
    /// By the wall clock and by the one that time limits go by.
    started: (Duration, Instant),
    lifetime: Arc<Lifetime>,
    remembered: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    /// In the order in which the ids were made.
    calls: BTreeMap<CallId, Call>,
    /// What the stored answers take, and the asks that are being carried out.
    bytes: usize,
}

struct Call {
    /// A digest of what was asked.
    asked: [u8; 32],
    answer: watch::Receiver<Option<Stored>>,
    bytes: usize,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    /// Tells it from other asks.
    pub(crate) digest: [u8; 32],
    /// How long the ask is. It is held while it is carried out, whatever becomes of the connection.
    pub(crate) bytes: usize,
}

/// What is answered to every ask with the same id.
type Stored = Result<ReceivedBox, PassedError>;

/// Something that answers an ask, and has not begun to.
pub(crate) type Run = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The least that an entry takes, whatever the answer.
const ENTRY_BYTES: usize = 256;
/// By how much the clock of whoever made an id may be ahead of ours.
const AHEAD_MAX: Duration = Duration::from_secs(60);

impl OnceStore {
    /// A store of a process that begins now. What is carried out runs in `lifetime`, so that it
    /// outlives the connection that it was asked through.
    #[must_use]
    pub fn new(limits: &Limits, lifetime: Arc<Lifetime>) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            window: limits.once_window,
            answers_max: limits.once_answers_max,
            bytes_max: limits.once_bytes_max,
            started: (to_the_millisecond(since_epoch), Instant::now()),
            lifetime,
            remembered: Mutex::default(),
        }
    }

    /// The answer to the call with this id: the stored one, that of the run under way, or that of
    /// `run`, which begins now.
    pub(crate) fn answer(
        self: &Arc<Self>,
        id: CallId,
        asked: Asking,
        run: impl FnOnce() -> Run,
    ) -> Run {
        let entered = self.enter(id, asked, run);
        Box::pin(async move {
            let mut answer = entered?;
            let known = answer.wait_for(Option::is_some).await;
            match known.ok().and_then(|known| (*known).clone()) {
                Some(Ok(response)) => {
                    let afterwards = Afterwards::GoOn;
                    Ok(Answered { fields: Box::new(response), afterwards })
                }
                Some(Err(error)) => Err(Refusal::Passed(error)),
                // The process is being dropped where it stands, and the run with it.
                None => {
                    Err(refused("ONCE_EXPIRED", "the process stopped while it was carried out"))
                }
            }
        })
    }

    fn enter(
        self: &Arc<Self>,
        id: CallId,
        asked: Asking,
        run: impl FnOnce() -> Run,
    ) -> Result<watch::Receiver<Option<Stored>>, Refusal> {
        let now = self.now();
        let mut remembered = self.remembered();
        remembered.forget_before(now.saturating_sub(self.window));
        if let Some(call) = remembered.calls.get(&id) {
            if call.asked != asked.digest {
                return Err(refused("ONCE_REUSED", "the id belongs to another call"));
            }
            return Ok(call.answer.clone());
        }
        if id.made() + self.window <= now || id.made() < self.started.0 {
            let description = "what became of a call with this id is not known any more";
            return Err(refused("ONCE_EXPIRED", description));
        }
        if id.made() > now + AHEAD_MAX {
            return Err(refused("ONCE_EXPIRED", "the id is of a time to come: see the clocks"));
        }
        if remembered.calls.len() >= self.answers_max || remembered.bytes >= self.bytes_max {
            return Err(Refusal::Overloaded);
        }
        let (told, answer) = watch::channel(None);
        let bytes = ENTRY_BYTES + asked.bytes;
        remembered.bytes += bytes;
        let call = Call { asked: asked.digest, answer: answer.clone(), bytes };
        remembered.calls.insert(id, call);
        drop(remembered);
        let (store, run) = (Arc::clone(self), run());
        self.lifetime.run_until_aborted(async move {
            let outcome = AssertUnwindSafe(run).catch_unwind().await;
            let stored = match outcome {
                Ok(outcome) => store_of(id, outcome),
                Err(_) => {
                    tracing::error!(once = %id, error = "it panicked", "a responder failed");
                    Err(failed(&format!("see the log for {id}")))
                }
            };
            let bytes =
                stored.as_ref().map_or_else(|it| it.description.len(), ReceivedBox::bytes_len);
            store.keep(id, asked.bytes, bytes);
            told.send_replace(Some(stored));
        });
        Ok(answer)
    }

    /// Counts an answer in place of the ask. One that there is no room for is given to those who
    /// wait for it, and remembered no longer: the call was carried out, and is not carried out
    /// again.
    fn keep(&self, id: CallId, asked_bytes: usize, bytes: usize) {
        let mut remembered = self.remembered();
        remembered.bytes = remembered.bytes.saturating_sub(asked_bytes);
        let has_room = remembered.bytes < self.bytes_max;
        let Some(call) = remembered.calls.get_mut(&id) else { return };
        call.bytes = ENTRY_BYTES;
        if has_room {
            call.bytes += bytes;
            remembered.bytes += bytes;
        } else {
            call.answer = watch::channel(Some(Err(passed(
                "ONCE_EXPIRED",
                "it was carried out, and its answer was too much to remember",
            ))))
            .1;
        }
    }

    /// The time after 1970.
    fn now(&self) -> Duration {
        let (since_epoch, started) = self.started;
        since_epoch + started.elapsed()
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    /// Forgets what was made before this and is over. What still runs is kept, however old it is.
    fn forget_before(&mut self, oldest: Duration) {
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
}

/// Ids say no more.
fn to_the_millisecond(time: Duration) -> Duration {
    time - Duration::from_nanos(u64::from(time.subsec_nanos() % 1_000_000))
}

fn refused(code: &str, description: &str) -> Refusal {
    Refusal::Passed(passed(code, description))
}

fn passed(code: &str, description: &str) -> PassedError {
    let (code, description) = (code.to_owned(), description.to_owned());
    PassedError { code, description, fatal: false }
}

/// An outcome in the form in which it can be given more than once.
fn store_of(id: CallId, outcome: Outcome) -> Stored {
    match outcome {
        Ok(Answered { fields, .. }) => ReceivedBox::written(|out| fields.encode_fields(out))
            .map_err(|error| failed(&error.to_string())),
        Err(Refusal::Declared { code, description, fatal }) => {
            Err(PassedError { code: code.to_owned(), description, fatal })
        }
        Err(Refusal::Passed(error)) => Err(error),
        Err(Refusal::Unhandled { command }) => Err(PassedError {
            code: "UNHANDLED".to_owned(),
            description: format!("Unhandled Command: {command}"),
            fatal: false,
        }),
        Err(Refusal::BadArgument(error)) => Err(failed(&error.to_string())),
        Err(Refusal::Undeclared(error)) => {
            let error = chain(&*error);
            tracing::error!(once = %id, %error, "a responder failed");
            Err(failed(&format!("see the log for {id}")))
        }
        Err(other) => {
            tracing::error!(once = %id, error = ?other, "a responder failed");
            Err(failed(&format!("see the log for {id}")))
        }
    }
}

fn failed(why: &str) -> PassedError {
    let description = format!("Unknown Error: {why}");
    PassedError { code: "UNKNOWN".to_owned(), description, fatal: false }
}

impl fmt::Debug for OnceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remembered = self.remembered();
        f.debug_struct("OnceStore")
            .field("calls", &remembered.calls.len())
            .field("bytes", &remembered.bytes)
            .finish_non_exhaustive()
    }
}
