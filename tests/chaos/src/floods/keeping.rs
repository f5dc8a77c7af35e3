//! Calls that have the other side hold much until it is told to let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use amp_proto::Region;
use bytes::Bytes;
use mesh::{CallError, Client};
use tokio_util::task::TaskTracker;

use super::{Add, Keep};

/// Longer than any row holds on.
const WITHIN: Duration = Duration::from_secs(120);

/// How such calls ended.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    begun: AtomicU64,
    answered: AtomicU64,
    overloaded: AtomicU64,
    tasks: TaskTracker,
}

impl Keeping {
    /// Has so many bytes held so many times at once.
    pub(crate) fn begin(self: &Arc<Self>, client: Client<Region>, calls: u64, bytes: usize) {
        let (client, water) = (client.within(WITHIN), Bytes::from(vec![9; bytes]));
        for _ in 0..calls {
            let (keeping, client, water) = (Arc::clone(self), client.clone(), water.clone());
            self.begun.fetch_add(1, Ordering::Relaxed);
            self.tasks.spawn(async move {
                let ended = match client.call(Keep { water }).await {
                    Ok(()) => &keeping.answered,
                    Err(CallError::Overloaded) => &keeping.overloaded,
                    Err(error) => return tracing::error!(%error, "a call failed"),
                };
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
    }

    /// How many were begun, are under way, were answered, and were refused. The others failed.
    pub(crate) fn told(&self) -> String {
        let [begun, answered, overloaded] = [&self.begun, &self.answered, &self.overloaded]
            .map(|count| count.load(Ordering::Relaxed));
        format!("kept {begun} {} {answered} {overloaded}", self.tasks.len())
    }
}

/// What becomes of a small call: one word.
pub(crate) async fn try_one(client: &Client<Region>) -> &'static str {
    match client.call(Add { left: 1, right: 2 }).await {
        Ok(_) => "answered",
        Err(CallError::Overloaded) => "overloaded",
        Err(_) => "failed",
    }
}
