//! Calls that are carried out once, however often they are tried.
//!
//! A process remembers what it answered to each [`CallId`] for a window of time. A second ask with
//! the same id gets the same answer, or waits for the one that is under way, whichever connection
//! it comes through. What the process cannot know any more it refuses: an id that is older than the
//! window, or than the process itself.
//!
//! So that this holds after a restart, nothing is carried out before the time that its id names:
//! every id that a process has run is older than the process that comes after it.

mod client;
mod id;
mod remembered;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amp_proto::{Afterwards, Answered, Limits, Outcome, PassedError, ReceivedBox, Refusal};
use futures_util::FutureExt as _;
use tokio::time::Instant;

pub use self::client::OnceClient;
pub use self::id::{CallId, NotACallId};
pub(crate) use self::remembered::Asking;
use self::remembered::{Awaited, Begun, Entered, Remembered, Stored, refused};
use crate::chain::chain;
use crate::lifetime::Lifetime;

/// Tells the time after 1970. Whoever keeps the machine may set it.
type WallClock = Box<dyn Fn() -> Duration + Send + Sync>;

/// What a process answered, by the id of the call.
pub struct OnceStore {
    remembered: Remembered,
    /// By the wall clock and by the one that time limits go by.
    started: (Duration, Instant),
    /// The time after 1970, as the machine has it.
    wall: WallClock,
    lifetime: Arc<Lifetime>,
}

/// Something that answers an ask, and has not begun to.
pub(crate) type Run = Pin<Box<dyn Future<Output = Outcome> + Send>>;

impl OnceStore {
    /// A store of a process that begins now. What is carried out runs in `lifetime`, so that it
    /// outlives the connection that it was asked through.
    #[must_use]
    pub fn new(limits: &Limits, lifetime: Arc<Lifetime>) -> Self {
        let wall = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::by_the_clock(Box::new(wall), limits, lifetime)
    }

    /// A store of a process that begins now, by this clock.
    fn by_the_clock(wall: WallClock, limits: &Limits, lifetime: Arc<Lifetime>) -> Self {
        let since_epoch = to_the_millisecond(wall());
        Self {
            remembered: Remembered::new(limits, since_epoch),
            started: (since_epoch, Instant::now()),
            wall,
            lifetime,
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
    ) -> Result<Awaited, Refusal> {
        let entered = self.remembered.enter(id, asked, || self.now())?;
        let Begun { told, answer, wait } = match entered {
            Entered::Known(answer) => return Ok(answer),
            Entered::Begins(begun) => begun,
        };
        let its_time = Instant::now() + wait;
        let (store, run) = (Arc::clone(self), run());
        self.lifetime.run_until_aborted(async move {
            tokio::time::sleep_until(its_time).await;
            // To encode the answer is the application's as well.
            let stored = AssertUnwindSafe(async { store_of(id, run.await) }).catch_unwind().await;
            let stored = stored.unwrap_or_else(|_| {
                tracing::error!(once = %id, error = "it panicked", "a responder failed");
                Err(failed(&format!("see the log for {id}")))
            });
            store.remembered.answered(id, &told, stored);
        });
        Ok(answer)
    }

    /// The time after 1970: the machine's, or what has gone by since the start if that is more. The
    /// former may be set back, the latter stands still while the machine sleeps.
    fn now(&self) -> Duration {
        let (since_epoch, started) = self.started;
        (self.wall)().max(since_epoch + started.elapsed())
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    use amp_proto::RoleName;

    use super::*;

    const EPOCH: Duration = Duration::from_secs(1_700_000_000);

    /// A process that counts what it carries out, on a machine whose clock stands still.
    struct Process {
        store: Arc<OnceStore>,
        runs: Arc<AtomicU32>,
        clock_ms: Arc<AtomicU64>,
    }

    impl Process {
        /// Started so long after the first one.
        fn started_after(after: Duration, limits: &Limits) -> Self {
            let lifetime = Arc::new(Lifetime::new(RoleName::Cluster, "rack-7".to_owned()));
            let now_ms = u64::try_from((EPOCH + after).as_millis()).unwrap();
            let clock_ms = Arc::new(AtomicU64::new(now_ms));
            let shown = Arc::clone(&clock_ms);
            let wall = move || Duration::from_millis(shown.load(Ordering::Relaxed));
            let store = OnceStore::by_the_clock(Box::new(wall), limits, lifetime);
            Self { store: Arc::new(store), runs: Arc::default(), clock_ms }
        }

        /// Sets the machine's clock, to so many seconds after the first process's start.
        fn set_clock(&self, after_s: u64) {
            self.clock_ms.store(1000 * (EPOCH.as_secs() + after_s), Ordering::Relaxed);
        }

        fn runs(&self) -> u32 {
            self.runs.load(Ordering::Relaxed)
        }

        /// Answers so many bytes.
        fn answer(&self, id: CallId, bytes: usize) -> Run {
            let runs = Arc::clone(&self.runs);
            self.store.answer(id, Asking { digest: [0; 32], bytes: 0 }, || {
                Box::pin(async move {
                    runs.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    let description = "x".repeat(bytes);
                    Err(Refusal::Declared { code: "NONE_LEFT", description, fatal: false })
                })
            })
        }
    }

    /// The code that an outcome has on the wire, and how long what it says is.
    fn code_of(outcome: Outcome) -> (String, usize) {
        match outcome {
            Err(Refusal::Passed(error)) => (error.code, error.description.len()),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_of_a_clock_that_is_ahead_is_not_run_again_after_a_restart() {
        let limits = Limits::default();
        let (ahead, begun) = (Duration::from_secs(30), Instant::now());
        let id = CallId::made_at(EPOCH + ahead);
        let first = Process::started_after(Duration::ZERO, &limits);
        // Nobody knows yet what becomes of it, and it has not been carried out either.
        let early = tokio::time::timeout(Duration::from_secs(29), first.answer(id, 1)).await;
        assert!(early.is_err() && first.runs() == 0);
        assert_eq!(code_of(first.answer(id, 1).await), ("NONE_LEFT".to_owned(), 1));
        assert_eq!(first.runs(), 1);
        let second = Process::started_after(begun.elapsed(), &limits);
        assert_eq!(code_of(second.answer(id, 1).await).0, "ONCE_EXPIRED");
        assert_eq!(second.runs(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_on_is_followed_and_one_that_is_set_back_makes_nothing_new() {
        let process = Process::started_after(Duration::ZERO, &Limits::default());
        let told = async |made_s: u64| {
            let id = CallId::made_at(EPOCH + Duration::from_secs(made_s));
            code_of(process.answer(id, 1).await).0
        };
        assert_eq!(told(90).await, "ONCE_EXPIRED", "it is of a time to come");
        process.set_clock(90);
        assert_eq!(told(90).await, "NONE_LEFT");
        let id = CallId::made_at(EPOCH + Duration::from_secs(90));
        assert_eq!(code_of(process.answer(id, 1).await).0, "NONE_LEFT");
        assert_eq!(process.runs(), 2);
        process.set_clock(90 + Limits::default().once_window.as_secs());
        assert_eq!(code_of(process.answer(id, 1).await).0, "ONCE_EXPIRED");
        process.set_clock(0);
        assert_eq!(code_of(process.answer(id, 1).await).0, "ONCE_EXPIRED");
        assert_eq!(process.runs(), 2, "what was forgotten is not carried out again");
    }

    /// The response of a command of somebody whose code has a fault.
    #[derive(Debug)]
    struct Faulty;

    impl amp_proto::EncodeFields for Faulty {
        fn encode_fields(
            &self,
            _: &mut amp_proto::BoxWriter<'_>,
        ) -> Result<(), amp_proto::EncodeError> {
            panic!("a fault of the application")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_panics_when_it_is_encoded_is_an_answer_and_is_forgotten_in_time() {
        let limits = Limits::default();
        let process = Process::started_after(Duration::ZERO, &limits);
        let run: Run = Box::pin(async {
            Ok(Answered { fields: Box::new(Faulty), afterwards: Afterwards::GoOn })
        });
        let id = CallId::made_at(EPOCH);
        let asked = Asking { digest: [0; 32], bytes: 0 };
        assert_eq!(code_of(process.store.answer(id, asked, || run).await).0, "UNKNOWN");
        process.set_clock(limits.once_window.as_secs() + 1);
        assert_eq!(code_of(process.answer(id, 1).await).0, "ONCE_EXPIRED");
        assert_eq!(process.store.remembered.calls_and_bytes(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_an_answer_that_is_too_large_to_be_kept_and_nobody_else() {
        let limits = Limits { once_bytes_max: 20_000, ..Limits::default() };
        let process = Process::started_after(Duration::ZERO, &limits);
        let ids = [CallId::made_at(EPOCH), CallId::made_at(EPOCH)];
        let together = ids.map(|id| process.answer(id, 15_000));
        for outcome in futures_util::future::join_all(together).await {
            assert_eq!(code_of(outcome), ("NONE_LEFT".to_owned(), 15_000));
        }
        assert!(process.store.remembered.calls_and_bytes().1 <= limits.once_bytes_max);
        let mut again = Vec::new();
        for id in ids {
            again.push(code_of(process.answer(id, 15_000).await).0);
        }
        again.sort();
        assert_eq!(again, ["NONE_LEFT", "ONCE_EXPIRED"]);
        assert_eq!(process.runs(), 2, "nothing is carried out twice");
    }
}
