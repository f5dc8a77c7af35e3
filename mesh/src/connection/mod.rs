//! One connection: from a fresh stream, through the handshake, to a driver that runs it.
//!
//! ```text
//! stream ──► Handshaking ──► Open ──► driver task ──► Lost
//!            no responders   responders, clients
//! ```
//!
//! [`Handshaking`] has no responders to reach, and [`Open`] can only be made from one that came to
//! its end, or from a stream that needs no handshake (a socket that only this user can open).

mod asking;
mod driver;
mod handshake;
mod line;
mod link;
mod proof;
mod room;
mod running;
mod shared;
mod start_tls;
mod stranger;
mod streaming;
mod tasks;
mod turns;

pub(crate) use self::asking::CallTerms;
pub use self::driver::Ended;
pub use self::handshake::{HandshakeError, Handshaking, Open};
pub use self::link::{Link, PeerInfo, PeerKey};
pub(crate) use self::proof::{is_challenge_of, proof};
pub use self::stranger::RefusedAsk;
pub use self::streaming::StreamingCall;
