//! The operator's side: a connection to a region process, and what is asked through it.

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
use super::directory::{Directory, Unasked};
use super::ending::ENDING;
use super::socket;
use crate::text::span;

/// How long a region process on this machine may take to answer for itself.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

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
    /// There are processes, and none of them answers in time: they hang, are stopped, or have too
    /// much to do.
    #[error(
        "no region process answers: {} did not within {}; look whether {}",
        .names.join(" and "), span(*.waited), is_stopped(.names)
    )]
    Silent {
        /// Their names.
        names: Vec<String>,
        /// How long each had.
        waited: Duration,
    },
    /// A process cannot be talked to. It may have died this moment, or be another user's.
    #[error("the region process at {} cannot be asked", .path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why the connection failed.
        #[source]
        error: io::Error,
    },
    /// A process finishes what is under way, and then ends.
    #[error("the region process `{name}` is ending and takes no new calls")]
    Ending {
        /// Its name.
        name: String,
    },
    /// The region process refuses what was asked of it.
    #[error("the region process `{name}` refuses: {reason}")]
    Refused {
        /// Its name.
        name: String,
        /// Its words.
        reason: String,
    },
    /// The region process did not answer.
    #[error("the region process `{name}` did not answer: {reason}")]
    NoAnswer {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
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

fn is_stopped(names: &[String]) -> &'static str {
    if names.len() == 1 { "it is stopped or hangs" } else { "they are stopped or hang" }
}

/// An open connection to a region process of this machine.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(super) client: Client<Region>,
    pub(super) ident: Ident,
    /// Ends the connection's task with this value.
    _driving: DropGuard,
}

impl Operator {
    /// Connects to a socket and asks who is there. `None`: nobody listens there.
    ///
    /// # Errors
    /// [`OperatorError`].
    ///
    /// # Cancellation
    /// Nothing is left behind.
    pub(super) async fn connect(
        path: &Path,
        wait: Duration,
    ) -> Result<Option<Self>, OperatorError> {
        let late = OperatorError::Silent { names: vec![socket::name(path)], waited: wait };
        timeout(wait, Self::connect_patiently(path)).await.unwrap_or(Err(late))
    }

    async fn connect_patiently(path: &Path) -> Result<Option<Self>, OperatorError> {
        let unreachable = |error| OperatorError::Unreachable { path: path.to_owned(), error };
        let stream = match socket::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            connected => connected.map_err(unreachable)?,
        };
        let nothing = Arc::new(Responders::new());
        let (client, driving) =
            mesh::connect_trusted::<Region, _>(stream, nothing, Limits::default());
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let _detached = TaskTracker::new().spawn(async move {
            stopped.run_until_cancelled(driving).await;
        });
        let driving = stop.drop_guard();
        // What is called may take and give more than goes into one box.
        let (_agreed, identified) = tokio::join!(client.negotiate(), client.call(Identify));
        match identified {
            Ok(ident) => Ok(Some(Self { client, ident, _driving: driving })),
            Err(CallError::Undeclared { code, .. }) if code == ENDING => {
                Err(OperatorError::Ending { name: socket::name(path) })
            }
            Err(error) => Err(unreachable(io::Error::other(error))),
        }
    }

    /// The region process's name.
    pub(crate) fn name(&self) -> &str {
        self.ident.name.as_deref().unwrap_or(&self.ident.ident)
    }

    /// The region process's identity.
    pub(crate) fn id(&self) -> &str {
        &self.ident.ident
    }

    /// Whether anything more can be asked through it.
    pub(crate) fn is_open(&self) -> bool {
        self.client.is_open()
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
        let mut registry_error = None;
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
            registry_error = registry_error.or(page.registry_error);
            if !page.more || !progress {
                break;
            }
        }
        let mut directory = Directory::new(regions, connections);
        directory.unasked = registry_error.map(|why| Unasked::new(why, self.id()));
        Ok(directory)
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
