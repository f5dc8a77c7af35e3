//! Where the settings of a process come from.
//!
//! Four layers, the later one wins: defaults, the configuration file, the environment
//! (`AMPMESH_…`), flags. Flags and environment arrive merged in [`crate::cli`]; [`mod@file`] reads
//! the file; [`settings`] lays them over each other. A mistake in the file is told with its file,
//! line and column.

mod error;
mod file;
mod registry;
mod settings;
mod start_tls;
mod surroundings;

pub(crate) use self::error::ConfigError;
pub(crate) use self::file::{
    Budget, File, FileError, Ip, LogFormat, Name, Ports, RegionAddress, RegistryText, Span, Threads,
};
pub(crate) use self::registry::{RegistryPlace, RegistryVariables};
pub(crate) use self::settings::{
    ClusterSettings, CommonSettings, JoinSettings, RegionSettings, SecretPlace,
};
pub(crate) use self::start_tls::StartTlsFiles;
pub(crate) use self::surroundings::Surroundings;
