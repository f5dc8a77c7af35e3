//! Who a process is, by its key, and how that is proved.
//!
//! Every process has an Ed25519 [`KeyPair`]. Connections between processes with keys are TLS 1.3,
//! in which both sides show their raw public keys (RFC 7250): there are no certificates and nobody
//! who signs them. A cluster believes the keys in its [`Pins`]; a region looks the key of a cluster
//! up, and does so anew for each connection, for nothing is resumed.

mod invite;
mod pair;
mod peek;
mod pins;
mod tls;
mod verify;

pub use self::invite::{InviteHash, InviteId, InviteSecret, InviteToken, TokenError};
pub use self::pair::{KeyError, KeyPair};
pub(crate) use self::peek::Peeked;
pub use self::pins::Pins;
pub(crate) use self::tls::{Tls, TlsError};
