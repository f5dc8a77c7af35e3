//! When a process is to end: on SIGTERM, SIGINT or SIGHUP, or when whoever started it is gone.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;

/// How long what is under way may take when a process is to end. What has not finished by then is
/// dropped, and the exit code is 1.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long dropping it may take on top, before the process ends anyway.
const DROPPING_MAX: Duration = Duration::from_secs(1);

/// Ends what `shutting_down` ends, and says whether all of it finished in time: the controllers
/// drop what has not after [`DRAIN_TIMEOUT`], and do not tell.
///
/// # Cancellation
/// As that of `shutting_down`.
pub(crate) async fn finish(shutting_down: impl Future<Output = ()>) -> Exit {
    let begun = Instant::now();
    shutting_down.await;
    if begun.elapsed() < DRAIN_TIMEOUT { Exit::Ok } else { Exit::Failed }
}

/// What makes a process end. The first call to drain is polite, whatever comes after it is not.
#[derive(Debug)]
pub(crate) struct Endings {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    until_stdin_closes: bool,
}

impl Endings {
    /// Watches the signals from now on, and stdin if `until_stdin_closes`.
    ///
    /// # Errors
    /// The operating system's, when it has no more signal handlers to give.
    pub(crate) fn watch(until_stdin_closes: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            until_stdin_closes,
        })
    }

    /// Cancels `drain` at the first reason to end. Returns with the exit code for an end at once:
    /// 128 plus its number at a second signal, 1 when what was dropped after [`DRAIN_TIMEOUT`] does
    /// not go.
    ///
    /// # Cancellation
    /// Signals are not lost.
    pub(crate) async fn run(&mut self, drain: &CancellationToken) -> u8 {
        let reason = tokio::select! {
            code = next_signal(&mut self.terminate, &mut self.interrupt, &mut self.hang_up) => {
                name_of(code)
            }
            () = stdin_closed(), if self.until_stdin_closes => "the parent is gone",
        };
        tracing::info!(reason, "draining");
        drain.cancel();
        let second = next_signal(&mut self.terminate, &mut self.interrupt, &mut self.hang_up);
        tokio::time::timeout(DRAIN_TIMEOUT + DROPPING_MAX, second).await.unwrap_or(1)
    }
}

fn name_of(code: u8) -> &'static str {
    match code {
        143 => "SIGTERM",
        130 => "SIGINT",
        _ => "SIGHUP",
    }
}

async fn next_signal(terminate: &mut Signal, interrupt: &mut Signal, hang_up: &mut Signal) -> u8 {
    tokio::select! {
        _ = terminate.recv() => 128 + 15,
        _ = interrupt.recv() => 128 + 2,
        _ = hang_up.recv() => 128 + 1,
    }
}

/// Waits for the end of stdin, whatever comes before it. Its other end closes with the process that
/// holds it, even if that is killed.
async fn stdin_closed() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 256];
    while matches!(stdin.read(&mut ignored).await, Ok(bytes) if bytes > 0) {}
}

#[cfg(test)]
mod tests {
    use amp_proto::RoleName;
    use mesh::Lifetime;

    use super::*;

    async fn exit_with(work: Duration) -> Exit {
        let lifetime = Lifetime::new(RoleName::Region, "test".to_owned());
        lifetime.run_until_aborted(tokio::time::sleep(work));
        finish(lifetime.shut_down(DRAIN_TIMEOUT)).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_unfinished_makes_the_end_a_failure() {
        assert_eq!(exit_with(DRAIN_TIMEOUT - Duration::from_millis(1)).await, Exit::Ok);
        assert_eq!(exit_with(DRAIN_TIMEOUT + Duration::from_millis(1)).await, Exit::Failed);
    }
}
