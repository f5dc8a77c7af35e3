//! Calls that are carried out once, however often they are tried.
//!
//! A process remembers what it answered to each [`CallId`] for a window of time. A second ask with
//! the same id gets the same answer, or waits for the one that is under way, whichever connection
//! it comes through. What the process cannot know any more it refuses: an id that is older than the
//! window, or than the process itself.

mod id;
mod remembered;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amp_proto::{Afterwards, Answered, Limits, Outcome, PassedError, ReceivedBox, Refusal};
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

pub use self::id::{CallId, NotACallId};
use self::remembered::{Begun, Entered, Remembered, Stored, refused};
use crate::chain::chain;
use crate::lifetime::Lifetime;

/// What a process answered, by the id of the call.
pub struct OnceStore {
    remembered: Remembered,
    /// By the wall clock and by the one that time limits go by.
    started: (Duration, Instant),
    lifetime: Arc<Lifetime>,
}

/// Something that answers an ask, and has not begun to.
pub(crate) type Run = Pin<Box<dyn Future<Output = Outcome> + Send>>;

impl OnceStore {
    /// A store of a process that begins now. What is carried out runs in `lifetime`, so that it
    /// outlives the connection that it was asked through.
    #[must_use]
    pub fn new(limits: &Limits, lifetime: Arc<Lifetime>) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since_epoch = to_the_millisecond(since_epoch);
        Self {
            remembered: Remembered::new(limits, since_epoch),
            started: (since_epoch, Instant::now()),
            lifetime,
        }
    }

    /// The answer to the call with this id: the stored one, that of the run under way, or that of
    /// `run`, which begins now.
    pub(crate) fn answer(
        self: &Arc<Self>,
        id: CallId,
        asked: [u8; 32],
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
        asked: [u8; 32],
        run: impl FnOnce() -> Run,
    ) -> Result<watch::Receiver<Option<Stored>>, Refusal> {
        let Begun { told, answer } = match self.remembered.enter(id, asked, || self.now())? {
            Entered::Known(answer) => return Ok(answer),
            Entered::Begins(begun) => begun,
        };
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
            store.remembered.answered(id, &told, stored);
        });
        Ok(answer)
    }

    /// The time after 1970.
    fn now(&self) -> Duration {
        let (since_epoch, started) = self.started;
        since_epoch + started.elapsed()
    }
}

/// Ids say no more.
fn to_the_millisecond(time: Duration) -> Duration {
    time - Duration::from_nanos(u64::from(time.subsec_nanos() % 1_000_000))
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
        let (calls, bytes) = self.remembered.calls_and_bytes();
        f.debug_struct("OnceStore")
            .field("calls", &calls)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}
