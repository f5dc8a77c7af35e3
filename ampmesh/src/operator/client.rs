//! The operator's side: finds a region process and asks it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{CallError, Command, Limits, Never, Region, Responders};
use mesh::Client;
use mesh::commands::{Ident, Identify};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::commands::{ReportConnections, ReportRegions};
use super::directory::Directory;
use super::socket;

/// How long a region process on this machine may take to answer for itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// No region process can be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OperatorError {
    /// The directory of the sockets cannot be read.
    #[error("cannot look for region processes in {}", .folder.display())]
    Unreadable {
        /// The directory.
        folder: PathBuf,
        /// The operating system's reason.
        #[source]
        error: io::Error,
    },
    /// None runs with this data directory.
    #[error(
        "no region process runs with the data directory {}; start one with `ampmesh region`, \
         or name another with --data-dir",
        .data_dir.display()
    )]
    NoRegion {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// There are sockets, but nobody answers. The process may hang, or be another user's.
    #[error("the region process at {} does not answer", .path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// Why the connection failed.
        #[source]
        error: io::Error,
    },
    /// The region process failed to answer for itself.
    #[error("the region process `{name}` failed")]
    Failed {
        /// Its name.
        name: String,
        /// How.
        #[source]
        error: CallError<Never>,
    },
}

/// An open connection to a region process of this machine.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(super) client: Client<Region>,
    ident: Ident,
    /// Ends the connection's task with this value.
    _driving: DropGuard,
}

impl Operator {
    /// Connects to any live region process of the data directory. Sockets of dead ones are removed.
    ///
    /// # Errors
    /// [`OperatorError`].
    ///
    /// # Cancellation
    /// Nothing is left behind.
    pub(crate) async fn connect_any(data_dir: &Path) -> Result<Self, OperatorError> {
        let mut silent = None;
        for path in sockets(data_dir)? {
            match Self::connect(&path).await {
                Ok(operator) => return Ok(operator),
                Err(OperatorError::Silent { error, .. })
                    if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => silent = Some(error),
            }
        }
        Err(silent.unwrap_or_else(|| OperatorError::NoRegion { data_dir: data_dir.to_owned() }))
    }

    /// Connects to the region process with this name, if it runs with the data directory.
    ///
    /// # Errors
    /// [`OperatorError`].
    ///
    /// # Cancellation
    /// Nothing is left behind.
    pub(crate) async fn connect_to(data_dir: &Path, name: &str) -> Result<Self, OperatorError> {
        let found = sockets(data_dir)?
            .into_iter()
            .find(|path| path.file_stem().is_some_and(|stem| stem == name));
        let path =
            found.ok_or_else(|| OperatorError::NoRegion { data_dir: data_dir.to_owned() })?;
        Self::connect(&path).await
    }

    async fn connect(path: &Path) -> Result<Self, OperatorError> {
        let silent = |error| OperatorError::Silent { path: path.to_owned(), error };
        let connected = timeout(PATIENCE, socket::connect(path)).await;
        let stream = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let nothing = Arc::new(Responders::new());
        let (client, driving) =
            mesh::connect_trusted::<Region, _>(stream.map_err(silent)?, nothing, Limits::default());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let _detached = TaskTracker::new().spawn(async move {
            stopped.run_until_cancelled(driving).await;
        });
        let ident = client.clone().within(PATIENCE).call(Identify).await;
        let ident = ident.map_err(|error| silent(io::Error::other(error)))?;
        Ok(Self { client, ident, _driving: stop.drop_guard() })
    }

    /// The region process's name.
    pub(crate) fn name(&self) -> &str {
        self.ident.name.as_deref().unwrap_or(&self.ident.ident)
    }

    /// The region process's identity.
    pub(crate) fn id(&self) -> &str {
        &self.ident.ident
    }

    /// What the mesh consists of.
    ///
    /// # Errors
    /// [`OperatorError::Failed`].
    ///
    /// # Cancellation
    /// Nothing is left behind.
    pub(crate) async fn directory(&self) -> Result<Directory, OperatorError> {
        let (mut regions, mut connections) = (Vec::new(), Vec::new());
        loop {
            let page = self.ask(ReportRegions { from: position(&regions) }).await?;
            let progress = !page.regions.is_empty();
            regions.extend(page.regions);
            if !page.more || !progress {
                break;
            }
        }
        loop {
            let page = self.ask(ReportConnections { from: position(&connections) }).await?;
            let progress = !page.connections.is_empty();
            connections.extend(page.connections);
            if !page.more || !progress {
                break;
            }
        }
        Ok(Directory::new(regions, connections))
    }

    async fn ask<C>(&self, command: C) -> Result<C::Response, OperatorError>
    where
        C: Command<Error = Never> + amp_proto::AnsweredBy<Region> + Sync,
    {
        let answer = self.client.clone().within(PATIENCE).call(command).await;
        answer.map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, error: CallError<Never>) -> OperatorError {
        OperatorError::Failed { name: self.name().to_owned(), error }
    }
}

fn position<T>(rows: &[T]) -> u32 {
    u32::try_from(rows.len()).unwrap_or(u32::MAX)
}

/// The sockets of a data directory, sorted by name. None if there is no such directory.
fn sockets(data_dir: &Path) -> Result<Vec<PathBuf>, OperatorError> {
    let folder = socket::folder(data_dir);
    let unreadable = |error| OperatorError::Unreadable { folder: folder.clone(), error };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "sock") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[tokio::test]
    async fn without_a_live_region_the_operator_is_told_so() {
        let scratch = Scratch::new().unwrap();
        let found = Operator::connect_any(scratch.path()).await;
        assert!(matches!(found, Err(OperatorError::NoRegion { .. })));

        let folder = socket::folder(scratch.path());
        std::fs::create_dir(&folder).unwrap();
        let dead = folder.join("north.sock");
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        let found = Operator::connect_any(scratch.path()).await;
        assert!(matches!(found, Err(OperatorError::NoRegion { .. })));
        assert!(!dead.exists(), "stale sockets are removed");
    }
}
