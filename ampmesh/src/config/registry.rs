//! Where region processes find each other, as settings say it.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use region::PostgresSettings;
use serde::Deserialize;

use super::{ConfigError, File, Surroundings};
use crate::cli::RegionArgs;

/// A file, or the URL of a database, in which there may be a password: it is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct RegistryText(PathBuf);

impl RegistryText {
    /// The URL, if it is one.
    fn url(&self) -> Option<&str> {
        self.0.to_str().filter(|text| PostgresSettings::is_url(text))
    }

    /// The same, with a relative path starting at `folder`.
    pub(crate) fn within(self, folder: &Path) -> Self {
        if self.url().is_some() { self } else { Self(folder.join(self.0)) }
    }

    /// Whether there is a password in it.
    pub(crate) fn has_password(&self) -> bool {
        let settings = self.url().and_then(|url| url.parse::<PostgresSettings>().ok());
        settings.is_some_and(|settings| settings.has_password())
    }
}

impl From<OsString> for RegistryText {
    fn from(text: OsString) -> Self {
        Self(text.into())
    }
}

impl FromStr for RegistryText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for RegistryText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.url() {
            Some(_) => f.write_str("postgres://(withheld)"),
            None => self.0.fmt(f),
        }
    }
}

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
    /// [`ConfigError::TwoRegistries`], [`ConfigError::PasswordInFlag`], [`ConfigError::Registry`].
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
                    None => return Ok(Self::Sqlite(text.0.clone())),
                },
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
