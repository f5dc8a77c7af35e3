//! Cluster processes, at the sites.
//!
//! A [`ClusterController`] is given the address of one region process. It learns of all the others
//! from that one, connects to each, and stays connected; [`ClusterController::get_client`] gives a
//! client to ask one of them at random.

mod builder;
mod controller;
mod dial;
mod finder;
mod places;
mod responders;

pub use amp_proto::Cluster;
pub use mesh::{CallError, Client, ClusterId, Limits, RegionId, Secret, SettingsError};

pub use crate::builder::{ClusterBuilder, RegistrationRefused, StartError};
pub use crate::controller::{ClientError, ClusterController};
