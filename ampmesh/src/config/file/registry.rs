//! A registry as one names it.

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
    /// The URL, if it is one. One of something else is not taken for a file, either: there may be
    /// a password in it as well.
    pub(crate) fn url(&self) -> Option<&str> {
        self.0.to_str().filter(|text| text.contains("://"))
    }

    /// Whether it is neither: a URL without its colon, or what PostgreSQL's own programs take in
    /// place of one. There may be a password in it.
    pub(crate) fn is_mistaken(&self) -> bool {
        let text = self.0.to_string_lossy().to_ascii_lowercase();
        let packed: String = text.split_whitespace().collect();
        self.url().is_none() && (text.starts_with("postgres") || packed.contains("password="))
    }

    /// The file, if it is none.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The same, with a relative path starting at `folder`.
    pub(crate) fn within(self, folder: &Path) -> Self {
        if self.url().is_some() || self.is_mistaken() { self } else { Self(folder.join(self.0)) }
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
            Some(_) => f.write_str("URL(withheld)"),
            None if self.is_mistaken() => f.write_str("withheld"),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_url_of_whatever_kind_is_shown_or_taken_for_a_file() {
        for url in ["postgres://ada:geheim@db/mesh", "Postgres://ada:geheim@db/mesh", "x://geheim"]
        {
            let text: RegistryText = url.parse().unwrap();
            assert_eq!(text.clone().within(Path::new("/etc")), text);
            assert!(!format!("{text:?}").contains("geheim"));
        }
        for text in ["host=db password=geheim", "password = geheim", "Postgres//ada:geheim@db/m"] {
            let text: RegistryText = text.parse().unwrap();
            assert!(text.is_mistaken() && text.clone().within(Path::new("/etc")) == text);
            assert!(!format!("{text:?}").contains("geheim"));
        }
        let text: RegistryText = "mesh.sqlite".parse().unwrap();
        assert!(!text.is_mistaken());
        assert_eq!(text.within(Path::new("/etc")).path(), Path::new("/etc/mesh.sqlite"));
    }
}
