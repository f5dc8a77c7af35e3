//! A registry as one names it: by a file, or by the URL of a database.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use region::PostgresSettings;
use serde::Deserialize;

/// A file, or the URL of a database, in which there may be a password: it is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct RegistryText(PathBuf);

impl RegistryText {
    /// The URL, if it is one.
    pub(super) fn url(&self) -> Option<&str> {
        self.0.to_str().filter(|text| PostgresSettings::is_url(text))
    }

    /// The file, if it is none.
    pub(super) fn path(&self) -> &Path {
        &self.0
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
