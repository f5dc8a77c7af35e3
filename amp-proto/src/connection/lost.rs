//! Why a connection ended.

use alloc::string::String;
use core::time::Duration;

use crate::error::PeerMisbehaved;

/// Why a connection is no more. Every ask that was in flight on it ended with this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The peer closed it. Nothing is wrong with this side; ask elsewhere or later.
    #[error("the peer closed the connection")]
    ClosedByPeer,
    /// The operating system reports the stream broken: a reset, an unreachable host.
    #[error("the connection broke: {reason}")]
    Broken {
        /// The operating system's words.
        reason: String,
    },
    /// The peer broke the protocol, so we closed.
    #[error("the peer broke the protocol")]
    PeerMisbehaved(#[source] PeerMisbehaved),
    /// Nothing was heard of the peer, not even an answer to `Ping`.
    #[error("the peer has been silent for {} s", .silent.as_secs())]
    Silent {
        /// How long.
        silent: Duration,
    },
    /// The peer stopped reading: bytes for it waited too long.
    #[error("the peer has read nothing for {} s", .stalled.as_secs())]
    Stalled {
        /// How long.
        stalled: Duration,
    },
    /// This side answered with a fatal declared error, and such an error ends the connection. The
    /// side that asked sees it closed by the peer.
    #[error("the error `{code}` ends the connection")]
    Fatal {
        /// The error's code.
        code: String,
    },
    /// This side shuts down, or dropped the connection on purpose.
    #[error("this side closed the connection")]
    ClosedHere,
    /// A command changed the protocol: the stream goes on without AMP.
    #[error("the stream was handed over to another protocol")]
    HandedOver,
    /// The peer said that it is about to leave, and takes no new asks.
    #[error("the peer is shutting down")]
    PeerLeaving,
}
