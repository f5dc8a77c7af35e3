//! The commands that make a mesh of connections, sorted by who answers them.
//!
//! `Authenticate`, `Identify` and `Ping` are MAAS's own, `StartTLS` is Twisted's; the rest a stock
//! peer answers with `UNHANDLED`, and does without.

mod cluster;
mod common;
mod extensions;
mod keys;
mod region;

use amp_proto::{Command as _, CommandSchema};

pub use cluster::RegionsChanged;
pub use common::{
    Authenticate, Authenticated, CommandRow, Commands, Describe, FieldRow, Ident, Identify, Leave,
    Ping, StartTls, TLS_REQUIRED,
};
pub use extensions::{Cancel, Credit, End, Item, Negotiate, Part, STREAM_NEEDED, Terms, Unwanted};
pub use keys::{
    AnnounceKey, CannotAnnounceKey, CannotJoin, CannotRotateKey, Join, Joined, KEY_REVOKED,
    KEYS_UNAVAILABLE, KeyAnnounced, KeyRotated, ListRegionKeys, NOT_ENROLLED, RegionKeys,
    RegionKeysChanged, RotateKey,
};
pub use region::{
    ClusterRegistered, ListRegions, RegionRow, Regions, RegisterCluster, RegisterClusterError,
};

/// Every command of the mesh's own, sorted by name. Those that take no answer are what connections
/// tell each other beside calls; no responder answers them, so no process describes them.
pub static VOCABULARY: [CommandSchema; 21] = [
    AnnounceKey::SCHEMA,
    Authenticate::SCHEMA,
    Cancel::SCHEMA,
    Credit::SCHEMA,
    Describe::SCHEMA,
    End::SCHEMA,
    Identify::SCHEMA,
    Item::SCHEMA,
    Join::SCHEMA,
    Leave::SCHEMA,
    ListRegionKeys::SCHEMA,
    ListRegions::SCHEMA,
    Negotiate::SCHEMA,
    Part::SCHEMA,
    Ping::SCHEMA,
    RegionKeysChanged::SCHEMA,
    RegionsChanged::SCHEMA,
    RegisterCluster::SCHEMA,
    RotateKey::SCHEMA,
    StartTls::SCHEMA,
    Unwanted::SCHEMA,
];
