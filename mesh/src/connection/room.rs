//! Waiting for room in what is to be sent.

use tokio::sync::Notify;

/// Wakes those who wait for room whenever there may be some.
#[derive(Debug, Default)]
pub(crate) struct Room {
    made: Notify,
}

impl Room {
    /// There is more room than before, or none is needed any more.
    pub(crate) fn made(&self) {
        self.made.notify_waiters();
    }

    /// Waits until there is room, as `is_there` sees it.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub(crate) async fn wait_until(&self, is_there: impl Fn() -> bool) {
        loop {
            let mut made = std::pin::pin!(self.made.notified());
            // Before the look, so that room that is made right after it is not missed.
            made.as_mut().enable();
            if is_there() {
                return;
            }
            made.await;
        }
    }
}
