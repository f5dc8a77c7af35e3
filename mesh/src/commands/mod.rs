//! The commands that make a mesh of connections, sorted by who answers them.
//!
//! `Authenticate`, `Identify` and `Ping` are MAAS's own, `StartTLS` is Twisted's; the rest a stock
//! peer answers with `UNHANDLED`, and does without.

mod cluster;
mod common;
mod extensions;
mod keys;
mod region;

pub use cluster::RegionsChanged;
pub use common::{
    Authenticate, Authenticated, CommandRow, Commands, Describe, FieldRow, Ident, Identify, Leave,
    Ping, StartTls, TLS_REQUIRED,
};
pub use extensions::{Cancel, Credit, End, Item, Negotiate, Part, Terms, Unwanted};
pub use keys::{
    AnnounceKey, CannotAnnounceKey, CannotJoin, CannotRotateKey, Join, Joined, KEY_REVOKED,
    KEYS_UNAVAILABLE, KeyAnnounced, KeyRotated, ListRegionKeys, NOT_ENROLLED, RegionKeys,
    RegionKeysChanged, RotateKey,
};
pub use region::{
    ClusterRegistered, ListRegions, RegionRow, Regions, RegisterCluster, RegisterClusterError,
};
