//! Whom is measured. Each has both ends in a file, or a folder, of its own.

mod ampmesh;
mod bare;
#[cfg(feature = "peers")]
mod nats;
mod pump;
mod raw;
#[cfg(feature = "peers")]
mod tarpc;
#[cfg(feature = "peers")]
pub(crate) mod tonic;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::children;
use crate::figures::Figures;
use crate::job::{Job, Mode, Scenario, Work};

/// Why a peer of another library is not there.
#[cfg(not(feature = "peers"))]
const LEFT_OUT: &str = "this program was built without the feature `peers`";

/// Somebody who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// As many bytes there and back over TCP, and nothing else: the floor.
    Raw,
    /// A loop that speaks AMP: no types, and nobody who could wait for one call.
    Bare,
    /// The same with a caller's API: a future for each call.
    BareApi,
    /// ampmesh, plain AMP with a shared secret.
    Ampmesh,
    /// ampmesh, TLS with a key for each process.
    AmpmeshTls,
    /// tarpc over TCP, with bincode.
    Tarpc,
    /// tonic: gRPC over HTTP/2.
    Tonic,
    /// async-nats, over a nats-server.
    Nats,
    /// Twisted AMP, in Python.
    Twisted,
}

impl Peer {
    /// Why this peer cannot be measured in this scenario, if so.
    pub(crate) fn why_not(self, scenario: Scenario, mode: Mode) -> Option<String> {
        let no = |why: &str| Some(why.to_owned());
        match (self, scenario.work()) {
            (Self::Twisted, _) if mode == Mode::Multi => no("it runs on one thread"),
            (Self::Bare | Self::BareApi | Self::Tarpc | Self::Twisted, Work::Stream) => {
                no("it has no streams")
            }
            (Self::Bare | Self::BareApi, Work::Broadcast { .. }) => {
                no("its listener makes no calls; `raw` is the floor")
            }
            (Self::Tarpc | Self::Twisted, Work::Broadcast { .. }) => {
                no("not written: its listener makes no calls here")
            }
            #[cfg(not(feature = "peers"))]
            (Self::Tarpc | Self::Tonic | Self::Nats, _) => no(LEFT_OUT),
            #[cfg(feature = "peers")]
            (Self::Nats, _) => nats::server().err().map(|error| format!("{error:#}")),
            (Self::Twisted, _) => children::python().err().map(|error| format!("{error:#}")),
            _ => None,
        }
    }
}

/// Listens, says that it does, and goes on until it is dropped, or until it has measured.
pub(crate) async fn listen(job: &Job) -> Result<()> {
    match job.peer {
        Peer::Raw => raw::listen(job).await,
        Peer::Bare | Peer::BareApi => bare::listen().await,
        Peer::Ampmesh | Peer::AmpmeshTls => ampmesh::listen(job).await,
        #[cfg(feature = "peers")]
        Peer::Tarpc => tarpc::listen().await,
        #[cfg(feature = "peers")]
        Peer::Tonic => tonic::listen(job).await,
        #[cfg(feature = "peers")]
        Peer::Nats => nats::listen(job).await,
        #[cfg(not(feature = "peers"))]
        Peer::Tarpc | Peer::Tonic | Peer::Nats => bail!(LEFT_OUT),
        Peer::Twisted => bail!("Twisted has a program of its own"),
    }
}

/// Connects, and measures, or is measured until it is dropped.
pub(crate) async fn connect(job: &Job) -> Result<Figures> {
    let far = job.far.as_ref().context("the job does not say where to connect to")?;
    match job.peer {
        Peer::Raw => raw::connect(job, far).await,
        Peer::Bare => bare::connect(job, far).await,
        Peer::BareApi => bare::connect_api(job, far).await,
        Peer::Ampmesh | Peer::AmpmeshTls => ampmesh::connect(job, far).await,
        #[cfg(feature = "peers")]
        Peer::Tarpc => tarpc::connect(job, far).await,
        #[cfg(feature = "peers")]
        Peer::Tonic => tonic::connect(job, far).await,
        #[cfg(feature = "peers")]
        Peer::Nats => nats::connect(job, far).await,
        #[cfg(not(feature = "peers"))]
        Peer::Tarpc | Peer::Tonic | Peer::Nats => bail!(LEFT_OUT),
        Peer::Twisted => bail!("Twisted has a program of its own"),
    }
}
