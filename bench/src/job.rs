//! What a run tells its processes to do, and what they say. Both are lines of JSON, on the standard
//! input and output: a secret has no place among arguments, which everybody can read.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::growth::Asked;
use crate::peers::Peer;

/// One end of one measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) peer: Peer,
    pub(crate) end: End,
    pub(crate) mode: Mode,
    pub(crate) work: Work,
    /// For how long is measured, in seconds.
    pub(crate) seconds: f64,
    /// For the end that connects: what the listener said. For one of several listeners: what they
    /// share.
    pub(crate) far: Option<Far>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum End {
    Listen,
    Connect,
}

impl End {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Listen => "server",
            Self::Connect => "client",
        }
    }
}

/// The listener, as the connecting end has to know it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Far {
    pub(crate) address: String,
    /// The processes whose time and memory count as the server's.
    pub(crate) pids: Vec<u32>,
    /// What the peer needs to be let in.
    pub(crate) credentials: Vec<String>,
}

impl Far {
    pub(crate) fn at(address: impl Into<String>) -> Self {
        Self { address: address.into(), pids: vec![std::process::id()], credentials: Vec::new() }
    }
}

/// A line from a process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Said {
    /// The listener can be connected to.
    Ready(Far),
    /// As many are connected as it waited for.
    Whole,
    /// It is measured.
    Figures(Figures),
    /// What the registry was asked meanwhile.
    Asked(Asked),
    /// It cannot be measured.
    Failed(String),
}

/// Where threads run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Both processes on one core. Noise is least: the rate is one over the processor time.
    Pinned,
    /// Free to run, with a single-threaded runtime.
    Single,
    /// Free to run, with two worker threads.
    Multi,
}

impl Mode {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Pinned => "everything on one core",
            Self::Single => "single-threaded, free to run",
            Self::Multi => "two worker threads, free to run",
        }
    }
}

/// The size of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Size {
    /// Two strings of 16 bytes there, an integer back.
    Small,
    /// 32 KiB there and back.
    Large,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub(crate) enum Work {
    /// Calls, each followed by the next.
    Calls { size: Size, connections: usize, in_flight: usize },
    /// So many calls on one connection, for those who count.
    Exactly { size: Size, calls: usize, in_flight: usize },
    /// Small items from the listener, in one stream.
    Stream,
    /// One command to every connection at once, from the listener.
    Broadcast { members: usize },
    /// Connections, each with its proof and one small call.
    Connect { connections: usize },
    /// The memory that a connection keeps.
    Idle { connections: usize },
    /// All that so many connections cost: opening them, their memory, leaving them alone, calls.
    Connections { connections: usize },
    /// Small calls on one connection, and the memory that they take.
    InFlight { in_flight: usize },
    /// Finding clusters among so many.
    Finding { members: usize },
    /// A whole mesh of several regions: each waits for so many clusters.
    Whole { regions: usize, clusters: usize },
}

impl Work {
    /// How many connections it takes.
    pub(crate) fn connections(self) -> usize {
        match self {
            Self::Calls { connections, .. }
            | Self::Connect { connections }
            | Self::Connections { connections } => connections,
            Self::Idle { connections } => connections + 1,
            Self::Broadcast { members } | Self::Finding { members } => members,
            Self::Exactly { .. } | Self::InFlight { .. } | Self::Stream => 1,
            Self::Whole { regions, clusters } => regions * clusters,
        }
    }
}

/// A measurement, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// Small calls, one at a time.
    S1,
    /// Small calls, 64 in flight.
    S64,
    /// Small calls, 512 in flight.
    S512,
    /// Small calls, 16 in flight on each of 64 connections.
    #[serde(rename = "s64x16")]
    #[value(name = "s64x16")]
    S64X16,
    /// Echoes of 32 KiB, one at a time.
    L1,
    /// Echoes of 32 KiB, 64 in flight.
    L64,
    /// A stream of small items.
    Stream,
    /// A command to 100 connections, until every answer is there.
    #[serde(rename = "broadcast-100")]
    #[value(name = "broadcast-100")]
    Broadcast100,
    /// A command to 1,000 connections.
    #[serde(rename = "broadcast-1000")]
    #[value(name = "broadcast-1000")]
    Broadcast1000,
    /// A command to 5,000 connections.
    #[serde(rename = "broadcast-5000")]
    #[value(name = "broadcast-5000")]
    Broadcast5000,
    /// Connecting, with the proof and a first call: 2,000 times, 32 at once.
    Connect,
    /// The memory of an idle connection, at 5,000.
    Idle,
}

impl Scenario {
    pub(crate) fn work(self) -> Work {
        let calls = |size, connections, in_flight| Work::Calls { size, connections, in_flight };
        match self {
            Self::S1 => calls(Size::Small, 1, 1),
            Self::S64 => calls(Size::Small, 1, 64),
            Self::S512 => calls(Size::Small, 1, 512),
            Self::S64X16 => calls(Size::Small, 64, 16),
            Self::L1 => calls(Size::Large, 1, 1),
            Self::L64 => calls(Size::Large, 1, 64),
            Self::Stream => Work::Stream,
            Self::Broadcast100 => Work::Broadcast { members: 100 },
            Self::Broadcast1000 => Work::Broadcast { members: 1_000 },
            Self::Broadcast5000 => Work::Broadcast { members: 5_000 },
            Self::Connect => Work::Connect { connections: 2_000 },
            Self::Idle => Work::Idle { connections: 5_000 },
        }
    }

    pub(crate) fn name(self) -> String {
        name_of(self)
    }
}

/// The name of a value on the command line.
pub(crate) fn name_of(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
