//! What is measured, for any peer that can do it.

pub(crate) mod broadcast;
pub(crate) mod calls;
pub(crate) mod connections;
pub(crate) mod growing;
pub(crate) mod meter;
pub(crate) mod stream;

use anyhow::Result;
use bytes::Bytes;

use crate::figures::Figures;
use crate::job::{Far, Job, Work};

/// The two strings of a small call.
pub(crate) const TEXTS: [&str; 2] = ["sixteen-bytes-01", "sixteen-bytes-02"];
/// What a small call answers: how long the two are.
pub(crate) const TOTAL: i64 = 32;
/// Bytes of a large call.
pub(crate) const LARGE_BYTES: usize = 32 * 1024;

/// One connection, as those see it who make calls.
pub(crate) trait Caller: Send + Sync + 'static {
    /// Makes the small call, and checks the answer.
    fn small(&self) -> impl Future<Output = Result<()>> + Send;

    /// Has the value sent back, and checks its length.
    fn echo(&self, value: &Bytes) -> impl Future<Output = Result<()>> + Send;
}

/// Opens connections.
pub(crate) trait Dialer: Clone + Send + Sync + 'static {
    /// A connection.
    type Caller: Caller;

    /// Opens the connection of this number, ready for calls.
    fn dial(&self, number: usize) -> impl Future<Output = Result<Self::Caller>> + Send;
}

/// The measurements that need no more than calls.
///
/// # Errors
/// Whatever went wrong: a figure of something that failed is no figure.
pub(crate) async fn measure_calls(job: &Job, far: &Far, dialer: impl Dialer) -> Result<Figures> {
    match job.work {
        Work::Calls { size, connections, in_flight } => {
            let meter = meter::Meter::new(job.seconds);
            let spawned = calls::spawn(&meter, &dialer, size, connections, in_flight).await?;
            meter.measure(spawned, &far.pids).await
        }
        Work::Exactly { size, calls, in_flight } => {
            calls::exactly(&dialer, size, calls, in_flight).await
        }
        Work::Connect { connections } => connections::connect(far, &dialer, connections).await,
        Work::Idle { connections } => connections::idle(far, &dialer, connections).await,
        Work::Connections { connections } => {
            growing::connections(job, far, &dialer, connections).await
        }
        Work::InFlight { in_flight } => growing::in_flight(job, far, &dialer, in_flight).await,
        Work::Stream | Work::Broadcast { .. } | Work::Finding { .. } | Work::Whole { .. } => {
            anyhow::bail!("this is no matter of calls")
        }
    }
}
