//! Cluster processes, at the sites.
//!
//! A [`ClusterController`] is given the address of one region process. It learns of all the others
//! from that one, connects to each, and stays connected; [`ClusterController::get_client`] gives a
//! client to ask one of them at random.

mod builder;
mod controller;
mod dial;
mod finder;
mod join;
mod keys;
mod places;
mod responders;

pub use amp_proto::{Cluster, Region};
pub use mesh::{
    BackoffSettings, CallError, Client, ClusterId, GATHER_CONCURRENCY, Gathered, Gathering,
    InviteToken, KeyPair, Limits, Memory, MemoryBudget, MemoryPressure, PeerExt, Pins, PublicKey,
    RegionId, Secret, SettingsError, X509Error, X509Identity, gather, gather_with,
};

pub use crate::builder::{ClusterBuilder, RegistrationRefused, StartError};
pub use crate::controller::{ClientError, ClusterController};
pub use crate::join::{Enrolled, JoinError, Joining, Membership};
pub use crate::keys::{KeyStep, RotateError};
