//! Where region processes find each other, as settings say it.

use std::path::{Path, PathBuf};

use region::PostgresSettings;

use super::{ConfigError, File, RegistryText, Surroundings};
use crate::cli::RegionArgs;

/// The database of a region process.
#[derive(Clone, Debug)]
pub(crate) enum RegistryPlace {
    /// One in a file, of this machine.
    Sqlite(PathBuf),
    /// One that many machines share.
    Postgres(PostgresSettings),
}

impl RegistryPlace {
    /// Lays flags over the environment over the file over the default.
    ///
    /// # Errors
    /// [`ConfigError::TwoRegistries`], [`ConfigError::RegistryMistaken`],
    /// [`ConfigError::UrlForFile`],
    /// [`ConfigError::PasswordInFlag`], [`ConfigError::Registry`].
    pub(super) fn resolve(
        flags: &RegionArgs,
        file: &File,
        surroundings: &Surroundings,
        data_dir: &Path,
    ) -> Result<Self, ConfigError> {
        let (given, table) = (&surroundings.registry, &file.region);
        let layers = [
            ("--registry", &flags.registry, &flags.registry_url_file),
            ("AMPMESH_REGISTRY", &given.place, &given.url_file),
            ("`registry` in the configuration file", &table.registry, &table.registry_url_file),
        ];
        if flags.registry.as_ref().is_some_and(RegistryText::has_password) {
            return Err(ConfigError::PasswordInFlag);
        }
        for (whence, place, url_file) in layers {
            let settings = match (place, url_file) {
                (Some(_), Some(_)) => return Err(ConfigError::TwoRegistries { whence }),
                (Some(text), None) => match text.url() {
                    Some(url) => url.parse(),
                    None if text.is_mistaken() => {
                        return Err(ConfigError::RegistryMistaken { whence });
                    }
                    None => return Ok(Self::Sqlite(text.path().to_owned())),
                },
                (None, Some(path)) if path.to_string_lossy().contains("://") => {
                    return Err(ConfigError::UrlForFile);
                }
                (None, Some(path)) => PostgresSettings::from_file(path),
                (None, None) => continue,
            };
            let whence =
                if url_file.is_some() { "the file with the registry's URL" } else { whence };
            let settings = settings.map_err(|error| ConfigError::Registry { whence, error })?;
            return Ok(Self::Postgres(match &given.password_file {
                Some(path) => settings.password_file(path),
                None => settings,
            }));
        }
        Ok(Self::Sqlite(data_dir.join("registry.sqlite")))
    }
}

/// What the environment says of the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RegistryVariables {
    /// `AMPMESH_REGISTRY`.
    pub(crate) place: Option<RegistryText>,
    /// `AMPMESH_REGISTRY_URL_FILE`.
    pub(crate) url_file: Option<PathBuf>,
    /// `PGPASSFILE`, or `.pgpass` in the home.
    pub(crate) password_file: Option<PathBuf>,
}
