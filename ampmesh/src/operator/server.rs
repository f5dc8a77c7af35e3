//! The region process's side: the socket, and who gets through it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{Cluster, Limits, Lost, Responders, TwoResponders};
use mesh::{Client, Link};
use region::RegionController;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::desk::Desk;
use super::details::DetailsDesk;
use super::ending::Ending;
use super::keys::KeyDesk;
use super::places::{CONNECTIONS_MAX, Places};
use super::socket;
use crate::config::Name;
use crate::keys::KeyFile;
use crate::private::{self, PrivateError};

/// How long an operator may take to ask its first question. Fixed: whoever connects has one.
const FIRST_ASK_WITHIN: Duration = Duration::from_secs(5);

/// There is no operator's socket. The fault is this machine's set-up, or another process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ServeError {
    /// Another live process has the name.
    #[error(
        "a region process called `{name}` runs in this data directory already; choose another \
         --name"
    )]
    NameTaken {
        /// The name.
        name: Name,
    },
    /// The socket's directory is not to be had.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// The socket cannot be made.
    #[error("cannot make the operator's socket {}", .path.display())]
    Bind {
        /// The socket. The operating system allows about a hundred bytes for its path.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        error: io::Error,
    },
    /// The application's commands clash with the operator's.
    #[error(transparent)]
    TwoResponders(#[from] TwoResponders),
}

/// A socket that nobody serves yet: the name is ours from here on.
#[derive(Debug)]
pub(crate) struct OperatorSocket {
    file: SocketFile,
    listener: UnixListener,
}

/// A socket's file, removed with this value.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::debug!(path = %self.0.display(), %error, "cannot remove the socket");
        }
    }
}

impl OperatorSocket {
    /// Takes the name `name` in the data directory.
    ///
    /// # Errors
    /// [`ServeError`].
    ///
    /// # Cancellation
    /// Nothing is left behind.
    pub(crate) async fn claim(data_dir: &Path, name: &Name) -> Result<Self, ServeError> {
        let folder = socket::folder(data_dir);
        private::make_closed_directory(&folder)?;
        // Sockets are made and removed under this lock, or another that starts would remove ours
        // between its making and our listening.
        let _locked = private::lock(folder.join("claims.lock")).await?;
        let path = socket::path(data_dir, name);
        if let Err(error) = socket::remove_dead(data_dir).await {
            return Err(ServeError::Bind { path, error });
        }
        if socket::connect(&path).await.is_ok() {
            return Err(ServeError::NameTaken { name: name.clone() });
        }
        match bind(&path) {
            Ok(listener) => Ok(Self { file: SocketFile(path), listener }),
            Err(error) => Err(ServeError::Bind { path, error }),
        }
    }

    /// Serves operators from now on: what the region answers, and what is the operator's own.
    ///
    /// # Errors
    /// [`ServeError::TwoResponders`].
    pub(crate) fn serve(
        self,
        region: &RegionController,
        key_file: KeyFile,
    ) -> Result<OperatorServer, ServeError> {
        let responders = Arc::new(with_own(region, key_file)?);
        let mut for_latecomers = Responders::new();
        for_latecomers.add(Arc::new(Ending))?;
        let Self { file, listener } = self;
        let (calls, tasks) = (TaskTracker::new(), TaskTracker::new());
        let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
        let accepting = Accepting {
            listener,
            responders,
            for_latecomers: Arc::new(for_latecomers),
            places: Places::new(CONNECTIONS_MAX),
            calls: calls.clone(),
            tasks: tasks.clone(),
            draining: draining.clone(),
            stop: stop.clone(),
        };
        tasks.spawn(accepting.run());
        Ok(OperatorServer { file, calls, tasks, draining, stop })
    }
}

/// The socket of a live region process.
#[derive(Debug)]
pub(crate) struct OperatorServer {
    file: SocketFile,
    /// The connections that [`OperatorServer::drain`] waits for.
    calls: TaskTracker,
    tasks: TaskTracker,
    draining: CancellationToken,
    stop: CancellationToken,
}

impl OperatorServer {
    /// Where the socket is.
    pub(crate) fn path(&self) -> &Path {
        &self.file.0
    }

    /// Lets the calls that are under way finish, and waits for them no longer than `drain_timeout`.
    /// Who comes now is told that the process is ending.
    ///
    /// # Cancellation
    /// Operators are refused all the same.
    pub(crate) async fn drain(&self, drain_timeout: Duration) {
        self.draining.cancel();
        tracing::debug!("operators' calls may finish; new ones are refused");
        self.calls.close();
        if tokio::time::timeout(drain_timeout, self.calls.wait()).await.is_err() {
            tracing::warn!("operators' calls did not finish in time and are dropped");
        }
    }

    /// Removes the socket and closes every operator's connection.
    ///
    /// # Cancellation
    /// The rest goes on by itself.
    pub(crate) async fn shutdown(self) {
        let Self { file, calls, tasks, draining: _, stop } = self;
        // While we listen, nobody takes the socket for a dead one's and puts another in its place.
        drop(file);
        stop.cancel();
        for tracker in [calls, tasks] {
            tracker.close();
            tracker.wait().await;
        }
    }
}

/// What the region answers to its clusters, and the operator's commands beside it. Only the former
/// is described: operators have subcommands for theirs.
fn with_own(region: &RegionController, key_file: KeyFile) -> Result<Responders, TwoResponders> {
    let mut responders = Responders::clone(region.responders());
    responders.add(Arc::new(Desk::new(region.clone())))?;
    responders.add(Arc::new(DetailsDesk::new(region.clone())))?;
    responders.add(Arc::new(KeyDesk::new(region.clone(), key_file)))?;
    Ok(responders)
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt as _;
    // Nobody else gets at the socket before its mode is set: its directory is closed.
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

struct Accepting {
    listener: UnixListener,
    responders: Arc<Responders>,
    for_latecomers: Arc<Responders>,
    places: Arc<Places>,
    calls: TaskTracker,
    tasks: TaskTracker,
    draining: CancellationToken,
    stop: CancellationToken,
}

impl Accepting {
    async fn run(self) {
        let Self { ref stop, .. } = self;
        stop.run_until_cancelled(self.accept()).await;
    }

    async fn accept(&self) {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an operator");
                    // Out of file descriptors, usually: trying again at once would find none.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            if !is_same_user(&stream) {
                tracing::warn!("refused an operator who is another user");
                continue;
            }
            let stop = self.stop.clone();
            if self.draining.is_cancelled() {
                let (client, driving) = self.connect(stream, &self.for_latecomers);
                let place = self.places.take(client.link()).await;
                self.tasks.spawn(async move {
                    let driving = Box::pin(async move { drop(driving.await) });
                    stop.run_until_cancelled(place.keep(driving)).await;
                });
            } else {
                let (client, driving) = self.connect(stream, &self.responders);
                let place = self.places.take(client.link()).await;
                let driving = Box::pin(drive(client, driving, self.draining.clone()));
                self.calls.spawn(async move {
                    stop.run_until_cancelled(place.keep(driving)).await;
                });
            }
        }
    }

    fn connect(
        &self,
        stream: UnixStream,
        responders: &Arc<Responders>,
    ) -> (Client<Cluster>, impl Future<Output = Lost> + Send + use<>) {
        // As the operators' end has them: those of the configuration are for other peers.
        mesh::connect_trusted(stream, Arc::clone(responders), Limits::default())
    }
}

/// Drives an operator's connection to its end, or until it has asked nothing for too long; once
/// `draining` is cancelled, until nothing is under way on it.
async fn drive(
    client: Client<Cluster>,
    driving: impl Future<Output = Lost>,
    draining: CancellationToken,
) {
    let mut driving = std::pin::pin!(driving);
    let lost = tokio::select! {
        lost = &mut driving => lost,
        () = draining.cancelled() => {
            client.link().drain(Lost::ClosedHere);
            driving.await
        }
        () = never_asks(client.link()) => {
            tracing::debug!("an operator who asks nothing is left");
            return;
        }
    };
    if let Lost::PeerMisbehaved(_) = lost {
        tracing::warn!(reason = %mesh::chain(&lost), "an operator broke the protocol");
    }
}

/// Comes to its end if nothing was asked in time: not half of it, and not byte by byte.
async fn never_asks(link: &Link) {
    tokio::time::sleep(FIRST_ASK_WITHIN).await;
    if link.was_asked() {
        std::future::pending().await
    }
}

/// The socket's mode says the same; this holds where the mode is not obeyed.
fn is_same_user(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}
