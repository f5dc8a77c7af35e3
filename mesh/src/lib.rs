//! Connections that find each other and stay.
//!
//! This crate turns the state machine of [`amp_proto`] into running connections: it knows sockets,
//! the handshake, time and tasks, and nothing of what regions and clusters do with them. The
//! crates `region` and `cluster` are built on it.
//!
//! - [`Handshaking`] and [`Open`] take a stream to a running connection, a [`Link`];
//! - [`Client`] asks through a link, and [`gather`] through many;
//! - [`Answering`] gathers what a process answers;
//! - [`Pool`] keeps the links of a process by peer;
//! - [`Transport`] is where streams come from: [`TcpTransport`], [`MemoryTransport`];
//! - [`commands`] are the mesh's own, and [`Common`] answers those that both sides answer.

mod agreement;
mod answering;
mod backoff;
mod client;
mod clock;
pub mod commands;
mod common;
mod connection;
mod context;
mod describe;
mod farewell;
mod gather;
mod host;
mod ids;
mod local;
mod peer;
mod pool;
mod secret;
mod transport;

pub use amp_proto::{CallError, Limits, Lost};

pub use crate::agreement::{Agreement, EXTENSIONS_VERSION, Features};
pub use crate::answering::{Answering, AnsweringError};
pub use crate::backoff::{Backoff, BackoffSettings};
pub use crate::client::{Client, Others};
pub use crate::common::Common;
pub use crate::connection::{
    Ended, HandshakeError, Handshaking, Link, Open, PeerInfo, StreamingCall,
};
pub use crate::context::{CallContext, NotATraceParent, TraceParent};
pub use crate::describe::CommandDescription;
pub use crate::farewell::drive_until_stopped;
pub use crate::gather::{GATHER_CONCURRENCY, Gathered, gather, gather_with};
pub use crate::host::host_name;
pub use crate::ids::{ClusterId, RegionId};
pub use crate::local::{connect_trusted, run_trusted};
pub use crate::peer::PeerExt;
pub use crate::pool::Pool;
pub use crate::secret::{Secret, SecretError};
pub use crate::transport::{
    BoxStream, Listen, Listener, MemoryTransport, Stream, TcpTransport, Transport,
};
