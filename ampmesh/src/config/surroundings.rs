//! What the machine and the user's account say.

use std::path::PathBuf;

use super::{Name, RegistryVariables};

/// The parts of the environment that defaults are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// `XDG_STATE_HOME`, if it is an absolute path: others are to be ignored, says its
    /// specification.
    pub(crate) state_home: Option<PathBuf>,
    /// `HOME`, likewise.
    pub(crate) home: Option<PathBuf>,
    /// The machine's name.
    pub(crate) hostname: String,
    /// What is said of the registry.
    pub(crate) registry: RegistryVariables,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_this_process() -> Self {
        let absolute = |variable| {
            std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        // An empty one is as good as none, as it is to clap.
        let said = |variable| std::env::var_os(variable).filter(|value| !value.is_empty());
        let home = absolute("HOME");
        let password_file = said("PGPASSFILE").map(PathBuf::from);
        Self {
            registry: RegistryVariables {
                place: said("AMPMESH_REGISTRY").map(Into::into),
                url_file: said("AMPMESH_REGISTRY_URL_FILE").map(PathBuf::from),
                password_file: password_file
                    .or_else(|| home.as_ref().map(|home| home.join(".pgpass"))),
            },
            state_home: absolute("XDG_STATE_HOME"),
            home,
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }

    /// Where the data directory is if nobody says.
    pub(crate) fn data_dir(&self) -> Option<PathBuf> {
        let home = || self.home.as_ref().map(|home| home.join(".local/state"));
        self.state_home.clone().or_else(home).map(|state| state.join("ampmesh"))
    }

    /// The name of a process if nobody says.
    pub(crate) fn name(&self) -> Name {
        Name::from_any(&self.hostname)
    }
}
