//! The operator's socket: how `ampmesh ls`, `call` and the others reach a region process.
//!
//! Every region process has a UNIX socket `<data-dir>/operator/<name>.sock` that only its user can
//! open. It speaks AMP without a handshake, and answers what the region process answers everyone,
//! the application's commands, and those of [`commands`], which nobody else can ask for. A command
//! for a cluster is relayed as it stands, in encoded fields: the program that asks has the
//! cluster's description and does the translation.
//!
//! Several region processes may share a data directory: [`find`] chooses the one to ask, and tells
//! those that hang.

mod ask;
mod client;
mod commands;
mod desk;
mod details;
mod directory;
mod encoded;
mod ending;
mod find;
mod keys;
mod places;
mod problem;
mod relay;
mod server;
mod socket;

pub(crate) use self::ask::Target;
pub(crate) use self::client::{Operator, OperatorError};
pub(crate) use self::details::{Proof, ReportedAgreement, ReportedDetails, Untold, details_of_all};
#[cfg(test)]
pub(crate) use self::directory::Unasked;
pub(crate) use self::directory::{
    Connection, Directory, KnownCluster, KnownRegion, Presence, Unregistered,
};
pub(crate) use self::encoded::{EncodedFields, with_fields};
pub(crate) use self::find::{ANSWER_MAX, ask_all, connect_all};
pub(crate) use self::keys::ReportedKey;
pub(crate) use self::problem::{Problem, ProblemKind};
pub(crate) use self::server::{OperatorSocket, ServeError};
