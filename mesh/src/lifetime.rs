//! How the tasks of a process end: in good order, or where they stand.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amp_proto::RoleName;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::until::until;

/// The tasks of one process, and its end.
///
/// A process ends once. First it *stops*: it begins nothing new, and what is under way may finish.
/// Then, or at once, it is *aborted*: whatever still runs is dropped at its next await.
pub struct Lifetime {
    role: RoleName,
    name: String,
    tasks: TaskTracker,
    stopping: CancellationToken,
    aborting: CancellationToken,
    /// Waits for `tasks` and is none of them, so that a task that shuts its own process down waits
    /// for no end of its own, and takes nothing with it when it is dropped on the way.
    ending: TaskTracker,
    is_ending: AtomicBool,
}

impl Lifetime {
    /// The life of a process that runs nothing yet. Its role and name are for the log.
    #[must_use]
    pub fn new(role: RoleName, name: String) -> Self {
        Self {
            role,
            name,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            aborting: CancellationToken::new(),
            ending: TaskTracker::new(),
            is_ending: AtomicBool::new(false),
        }
    }

    /// Cancelled when the process stops, in whatever way.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Whether everything is being dropped where it stands.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.aborting.is_cancelled()
    }

    /// Runs a task beside the others. It is dropped at its next await when the process stops.
    pub fn run_until_stopping(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        self.tasks.spawn(until(stopping.cancelled_owned(), task));
    }

    /// Runs a task that ends by itself when the process stops. It is dropped only when the process
    /// is aborted.
    pub fn run_until_aborted(&self, task: impl Future<Output = ()> + Send + 'static) {
        let aborting = self.aborting.clone();
        self.tasks.spawn(until(aborting.cancelled_owned(), task));
    }

    /// Runs a task that ends by itself when the process stops, and when it is aborted: nothing has
    /// to be looked at beside it.
    pub fn run_to_its_end(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Cancelled when everything is dropped where it stands.
    pub(crate) fn aborting(&self) -> &CancellationToken {
        &self.aborting
    }

    /// Stops the process, waits until what is under way has finished, and drops what has not after
    /// `drain_timeout`. Only the first call begins it; every other waits for the same end.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting: the process goes on to its end.
    pub async fn shut_down(&self, drain_timeout: Duration) {
        if !self.is_ending.swap(true, Ordering::Relaxed) {
            let (role, name) = (self.role, self.name.clone());
            let (tasks, aborting) = (self.tasks.clone(), self.aborting.clone());
            tasks.close();
            self.ending.spawn(async move {
                if tokio::time::timeout(drain_timeout, tasks.wait()).await.is_err() {
                    tracing::warn!("not everything finished in time; the rest is dropped");
                }
                aborting.cancel();
                tasks.wait().await;
                tracing::info!(%role, name, "the process has left the mesh");
            });
            self.ending.close();
            self.stopping.cancel();
        }
        self.ending.wait().await;
    }

    /// Drops everything where it stands.
    ///
    /// # Cancellation
    /// The drop has begun whether the future is polled to its end or not.
    pub async fn abort(&self) {
        // In this order: whoever hears that it stops can ask whether it was aborted.
        self.aborting.cancel();
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl fmt::Debug for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifetime")
            .field("role", &self.role)
            .field("name", &self.name)
            .field("tasks", &self.tasks.len())
            .field("is_stopping", &self.stopping.is_cancelled())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;
    use tokio::time::Instant;

    use super::*;

    const DRAIN: Duration = Duration::from_secs(10);

    fn lifetime() -> Arc<Lifetime> {
        Arc::new(Lifetime::new(RoleName::Region, "test".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_may_finish_and_the_rest_is_dropped_in_time() {
        let (lifetime, started) = (lifetime(), Instant::now());
        let (finished, heard) = oneshot::channel();
        lifetime.run_until_stopping(std::future::pending());
        lifetime.run_until_aborted(async move {
            tokio::time::sleep(DRAIN / 2).await;
            finished.send(()).unwrap();
        });
        lifetime.run_until_aborted(std::future::pending());
        lifetime.shut_down(DRAIN).await;
        assert_eq!(heard.await, Ok(()));
        assert_eq!(started.elapsed(), DRAIN);
        assert!(lifetime.is_aborted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_shuts_its_own_process_down_is_not_waited_for() {
        let (lifetime, started) = (lifetime(), Instant::now());
        let own = Arc::clone(&lifetime);
        let (finished, heard) = oneshot::channel();
        lifetime.run_until_aborted(async move {
            tokio::time::sleep(DRAIN / 2).await;
            finished.send(()).unwrap();
        });
        lifetime.run_until_stopping(async move { own.shut_down(DRAIN).await });
        lifetime.stopping().cancelled().await;
        lifetime.shut_down(DRAIN).await;
        assert_eq!(heard.await, Ok(()), "the other task was left in peace");
        assert_eq!(started.elapsed(), DRAIN / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn shutting_down_goes_on_when_nobody_waits_for_it() {
        let (lifetime, started) = (lifetime(), Instant::now());
        lifetime.run_until_aborted(std::future::pending());
        let no_time = tokio::time::timeout(Duration::ZERO, lifetime.shut_down(DRAIN)).await;
        assert!(no_time.is_err());
        tokio::time::sleep(DRAIN + DRAIN).await;
        assert!(lifetime.is_aborted());
        lifetime.shut_down(DRAIN).await;
        assert_eq!(started.elapsed(), DRAIN + DRAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_may_abort_its_own_process_and_it_may_be_shut_down_after() {
        let (lifetime, started) = (lifetime(), Instant::now());
        let own = Arc::clone(&lifetime);
        lifetime.run_until_stopping(async move { own.abort().await });
        lifetime.run_until_aborted(std::future::pending());
        lifetime.stopping().cancelled().await;
        lifetime.shut_down(DRAIN).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
