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
//! - [`ProcessSettings`] become a [`Process`], whose tasks have a [`Lifetime`];
//! - [`MemoryBudget`] is how much memory a process may have, and [`MemoryWatch`] watches over it;
//! - [`Transport`] is where streams come from: [`TcpTransport`], [`MemoryTransport`];
//! - [`commands`] are the mesh's own, and [`Common`] answers those that both sides answer.

mod agreement;
mod answering;
mod backoff;
mod bell;
mod budget;
mod chain;
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
mod keys;
mod lifetime;
mod local;
mod once;
mod peer;
mod pool;
mod process;
mod regular;
mod repeats;
mod secret;
mod services;
mod sync;
mod transport;
mod until;
mod x509;

pub use amp_proto::{CallError, Limits, Lost, NotAKey, PublicKey};

pub use crate::agreement::{Agreement, EXTENSIONS_VERSION, Features};
pub use crate::answering::{Answering, AnsweringError};
pub use crate::backoff::{Backoff, BackoffSettings};
pub use crate::budget::{BudgetTooSmall, Memory, MemoryBudget, MemoryPressure, MemoryWatch};
pub use crate::chain::chain;
pub use crate::client::{Client, Others};
pub use crate::common::Common;
pub use crate::connection::{
    Ended, HandshakeError, Handshaking, Link, Open, PeerInfo, PeerKey, RefusedAsk, StreamingCall,
};
pub use crate::context::{CallContext, NotATraceParent, TraceParent};
pub use crate::describe::CommandDescription;
pub use crate::gather::{GATHER_CONCURRENCY, Gathered, Gathering, gather, gather_with};
pub use crate::host::host_name;
pub use crate::ids::{ClusterId, RegionId};
pub use crate::keys::{
    InviteHash, InviteId, InviteSecret, InviteToken, KeyError, KeyPair, Pins, TokenError,
};
pub use crate::lifetime::Lifetime;
pub use crate::local::{connect_trusted, run_trusted};
pub use crate::once::{CallId, NotACallId, OnceClient, OnceStore};
pub use crate::peer::PeerExt;
pub use crate::pool::Pool;
pub use crate::process::{
    Arrived, Process, ProcessSettings, Received, SettingsError, connect_by_key,
};
pub use crate::regular::open_regular;
pub use crate::repeats::Repeats;
pub use crate::secret::{Secret, SecretError};
pub use crate::services::Services;
pub use crate::transport::{
    BoxStream, Listen, Listener, MemoryTransport, Stream, TcpTransport, Transport,
};
pub use crate::until::{First, Until, until};
pub use crate::x509::{X509Error, X509Identity};
