//! One process: started, watched, started again, ended.

use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncRead;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::notice::{Notice, What};
use super::plan::{Household, Member};
use super::restarts::Restarts;
use crate::ready::Ready;

/// How long a process may take to end in good order.
const END_MAX: Duration = Duration::from_secs(5);
/// The longest line of a process that is told as a whole.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// How a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is on its way.
    Starting,
    /// It is up.
    Up(Ready),
    /// It will not be started again.
    GivenUp {
        /// How it ended last: `died: signal: 9 (SIGKILL)`.
        how: String,
    },
}

/// What looks after one process.
pub(super) struct Supervisor {
    pub(super) household: Household,
    pub(super) member: Member,
    pub(super) state: watch::Sender<State>,
    pub(super) notices: mpsc::Sender<Notice>,
    /// The process is to end in good order.
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// How one life of the process ended.
enum Ended {
    /// As it was told to.
    AsTold,
    /// By itself, or by somebody else's hand.
    Died { pid: u32, how: String },
}

impl Supervisor {
    /// Runs the process until it is told to stop, or given up: one that dies before it was ever up
    /// is not started again, for it would die again.
    ///
    /// # Cancellation
    /// The process is killed.
    pub(super) async fn run(mut self) {
        let mut restarts = Restarts::default();
        let mut was_up = false;
        while let Ended::Died { pid, how } = self.live(&mut was_up).await {
            let pause = restarts.after_death(Instant::now()).filter(|_| was_up);
            self.say(What::Died { pid, how: how.clone(), again: pause.is_some() }).await;
            let Some(pause) = pause else {
                self.state.send_replace(State::GivenUp { how });
                return;
            };
            self.state.send_replace(State::Starting);
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    async fn live(&mut self, was_up: &mut bool) -> Ended {
        let mut child = match self.start() {
            Ok(child) => child,
            Err(error) => {
                return Ended::Died { pid: 0, how: format!("could not be started: {error}") };
            }
        };
        let pid = child.id().unwrap_or_default();
        // The process ends when this end of its stdin closes: with us, however we end.
        let _stdin = child.stdin.take();
        if let Some(stderr) = child.stderr.take() {
            let (name, notices) = (self.member.name().to_owned(), self.notices.clone());
            self.tasks.spawn(pass_on(stderr, name, notices));
        }
        let mut stdout = child.stdout.take().map(lines);
        loop {
            tokio::select! {
                status = child.wait() => {
                    let how = match status {
                        Ok(status) if status.success() => "ended by itself".to_owned(),
                        Ok(status) => format!("died: {status}"),
                        Err(error) => format!("died: {error}"),
                    };
                    return Ended::Died { pid, how };
                }
                () = self.stop.cancelled() => {
                    self.end(&mut child, pid).await;
                    return Ended::AsTold;
                }
                Some(Ok(line)) = next_line(stdout.as_mut()) => {
                    self.hear(&line, pid, was_up).await;
                }
            }
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&self.household.program);
        command.arg0("ampmesh").args(self.household.arguments(&self.member));
        for (variable, _) in std::env::vars_os() {
            if variable.to_str().is_some_and(|name| name.starts_with("AMPMESH_")) {
                command.env_remove(variable);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own: Ctrl-C in the terminal is for us, and we end the others in order.
        command.process_group(0).kill_on_drop(true).spawn()
    }

    async fn hear(&mut self, line: &str, pid: u32, was_up: &mut bool) {
        let Ok(ready) = serde_json::from_str::<Ready>(line) else { return };
        self.member.settle(&ready);
        self.state.send_replace(State::Up(ready));
        if *was_up {
            self.say(What::Back { pid }).await;
        }
        *was_up = true;
    }

    async fn end(&self, child: &mut Child, pid: u32) {
        let told = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let told = told.map(|pid| kill_process(pid, Signal::TERM));
        let ended = timeout(END_MAX, child.wait()).await;
        if ended.is_err() {
            tracing::debug!(pid, ?told, "killing a process that does not end");
            if let Err(error) = child.kill().await {
                tracing::warn!(pid, %error, "cannot kill a process");
            }
            self.say(What::Killed).await;
        }
    }

    async fn say(&self, what: What) {
        let notice = Notice { name: self.member.name().to_owned(), what };
        // Nobody listens any more only when the whole program ends.
        let _said = self.notices.send(notice).await;
    }
}

type Lines<S> = FramedRead<S, LinesCodec>;

fn lines<S: AsyncRead>(stream: S) -> Lines<S> {
    FramedRead::new(stream, LinesCodec::new_with_max_length(LINE_BYTES_MAX))
}

/// The next line, or nothing for ever when there are no more.
async fn next_line<S: AsyncRead + Unpin>(
    lines: Option<&mut Lines<S>>,
) -> Option<Result<String, LinesCodecError>> {
    match lines {
        Some(lines) => lines.next().await,
        None => None,
    }
}

/// Tells every line of `stream`; of one that is too long, that it was.
async fn pass_on<S: AsyncRead + Unpin>(stream: S, name: String, notices: mpsc::Sender<Notice>) {
    let mut lines = lines(stream);
    loop {
        let line = match lines.next().await {
            Some(Ok(line)) => line,
            Some(Err(LinesCodecError::MaxLineLengthExceeded)) => "(a very long line)".to_owned(),
            Some(Err(LinesCodecError::Io(_))) | None => return,
        };
        if notices.send(Notice { name: name.clone(), what: What::Said(line) }).await.is_err() {
            return;
        }
    }
}
