//! All the processes.

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::child::{State, Supervisor};
use super::notice::{NOTICES_MAX, Notice};
use super::plan::{Household, Member};
use crate::ready::Ready;

/// The processes of a mesh. They end with it.
pub(super) struct Fleet {
    household: Household,
    notices: mpsc::Sender<Notice>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// One process, as those see it who wait for it.
pub(super) struct Handle {
    /// What it is.
    pub(super) member: Member,
    state: watch::Receiver<State>,
}

impl Fleet {
    /// A fleet without processes, and where to read what happens to them.
    pub(super) fn new(household: Household) -> (Self, mpsc::Receiver<Notice>) {
        let (notices, told) = mpsc::channel(NOTICES_MAX);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        (Self { household, notices, stop, tasks }, told)
    }

    /// Starts a process.
    pub(super) fn start(&self, member: Member) -> Handle {
        let (state, seen) = watch::channel(State::Starting);
        let supervisor = Supervisor {
            household: self.household.clone(),
            member: member.clone(),
            state,
            notices: self.notices.clone(),
            stop: self.stop.clone(),
            tasks: self.tasks.clone(),
        };
        self.tasks.spawn(supervisor.run());
        Handle { member, state: seen }
    }

    /// Ends every process in good order, and kills those that do not go.
    ///
    /// # Cancellation
    /// The rest goes on by itself.
    pub(super) async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Handle {
    /// Waits until the process is up.
    ///
    /// # Errors
    /// How it ended, when it was given up.
    ///
    /// # Cancellation
    /// Nothing changes.
    pub(super) async fn up(&self) -> Result<Ready, String> {
        let mut state = self.state.clone();
        loop {
            match &*state.borrow_and_update() {
                State::Up(ready) => return Ok(ready.clone()),
                State::GivenUp { how } => return Err(how.clone()),
                State::Starting => {}
            }
            if state.changed().await.is_err() {
                return Err("was told to end".to_owned());
            }
        }
    }

    /// Whether the process was given up.
    pub(super) fn is_given_up(&self) -> bool {
        matches!(*self.state.borrow(), State::GivenUp { .. })
    }
}
