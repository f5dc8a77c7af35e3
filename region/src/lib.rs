//! Region processes, the centre of the mesh.
//!
//! A [`RegionController`] listens for clusters, has them prove that they belong, and gives clients
//! to ask them: [`RegionController::get_client_for`] one, [`RegionController::get_all_clients`]
//! all. Region processes find each other through a [`Registry`], and tell their clusters where the
//! others are.

mod admission;
mod builder;
mod controller;
mod handshakes;
#[cfg(test)]
mod held;
mod key_book;
mod keys;
mod known_keys;
mod registrar;
pub mod registry;
mod report;
mod responders;
mod rotation;
mod serve;
mod sparing;
mod tell;
mod twins;

pub use amp_proto::{Cluster, Region};
pub use mesh::{
    CallError, Client, ClusterId, GATHER_CONCURRENCY, Gathered, Gathering, InviteToken, KeyPair,
    Limits, Listen, Memory, MemoryBudget, MemoryPressure, PeerExt, PublicKey, RegionId, Secret,
    SettingsError, X509Error, X509Identity, gather, gather_with,
};

pub use crate::admission::{Admission, AdmissionError, Admissions};
pub use crate::builder::{RegionBuilder, StartError};
pub use crate::controller::{ClientError, RegionController};
pub use crate::keys::KeysError;
pub use crate::registry::keys::{
    Enrolment, Invite, KeyEntry, Keys, MemoryKeys, PostgresKeys, SqliteKeys,
};
pub use crate::registry::postgres::PostgresSettings;
pub use crate::registry::{
    LinkEntry, MemoryRegistry, PostgresRegistry, RegionEntry, Registry, RegistryError,
    SqliteRegistry,
};
pub use crate::report::MeshReport;
