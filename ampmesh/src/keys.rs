//! Key pairs as files.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use amp_proto::RoleName;
use anyhow::Context as _;
use mesh::{KeyError, KeyPair};
use region::{KeyEntry, Keys};

use crate::private::{self, PrivateError};

/// A file with a key pair, and one beside it for the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyFile(PathBuf);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum KeyFileError {
    /// The file cannot be written.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// The file cannot be used. It never tells its content.
    #[error("the key file {} cannot be used", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: KeyError,
    },
}

impl KeyFile {
    /// The key of the region process of this name.
    pub(crate) fn of_region(data_dir: &Path, name: &str) -> Self {
        Self(data_dir.join(format!("region-{name}.key")))
    }

    /// The key of the cluster of this data directory.
    pub(crate) fn of_cluster(data_dir: &Path) -> Self {
        Self(data_dir.join("cluster.key"))
    }

    /// The key pair of the file, or a new one where there is none. Gives whether it is new.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub(crate) fn read_or_make(&self) -> Result<(KeyPair, bool), KeyFileError> {
        let made = private::write_new_file(&self.0, || content(&KeyPair::generate()))?;
        Ok((read(&self.0)?, made))
    }

    /// Where the present key pair is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The next key pair, if there is one.
    ///
    /// # Errors
    /// [`KeyFileError::Key`].
    pub(crate) fn next(&self) -> Result<Option<KeyPair>, KeyFileError> {
        let path = self.next_path();
        if path.exists() { read(&path).map(Some) } else { Ok(None) }
    }

    /// Writes the next key pair down, beside the present one.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn keep_next(&self, pair: &KeyPair) -> io::Result<()> {
        private::replace_file(&self.next_path(), &content(pair))
    }

    /// Forgets the next key pair, of which nobody has heard.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn forget_next(&self) -> io::Result<()> {
        std::fs::remove_file(self.next_path())
    }

    /// Goes on with what a region process before this one has left: if the next key is enrolled, it
    /// is the present one from now on. If not, nobody has heard of it, and it is of no account.
    ///
    /// # Errors
    /// [`KeyFileError`], and [`region::RegistryError`] if the keys cannot be looked up.
    ///
    /// # Cancellation
    /// Either is done whole, or not at all.
    pub(crate) async fn settle(&self, keys: &dyn Keys) -> anyhow::Result<()> {
        if let Some(next) = self.next()? {
            let found = keys.find(&next.public()).await;
            self.change_if_enrolled(found.context("cannot look the next key up")?.as_ref())?;
        }
        Ok(())
    }

    /// Makes the next key pair the present one if this, what is known of it, says that it is a good
    /// key of a region process.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn change_if_enrolled(&self, found: Option<&KeyEntry>) -> io::Result<()> {
        let now = SystemTime::now();
        let is_enrolled = found.is_some_and(|it| it.role == RoleName::Region && it.is_good(now));
        if is_enrolled { self.change() } else { Ok(()) }
    }

    /// Makes the next key pair the present one.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn change(&self) -> io::Result<()> {
        private::rename(&self.next_path(), &self.0)
    }

    fn next_path(&self) -> PathBuf {
        self.0.with_extension("key.next")
    }
}

fn content(pair: &KeyPair) -> String {
    format!("{}\n", *pair.to_text())
}

fn read(path: &Path) -> Result<KeyPair, KeyFileError> {
    KeyPair::from_file(path).map_err(|error| KeyFileError::Key { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_key_is_made_once_for_us_alone_and_followed_by_the_next() {
        let scratch = Scratch::new().unwrap();
        let file = KeyFile::of_cluster(scratch.path());
        let (first, made) = file.read_or_make().unwrap();
        assert!(made && file.next().unwrap().is_none());
        let mode = std::fs::metadata(&file.0).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let next = KeyPair::generate();
        file.keep_next(&next).unwrap();
        assert_eq!(file.next().unwrap().unwrap().public(), next.public());
        assert_eq!(file.read_or_make().unwrap().0.public(), first.public());
        file.change().unwrap();
        let (present, made) = file.read_or_make().unwrap();
        assert!(!made && present.public() == next.public());
        assert!(file.next().unwrap().is_none());
        let mode = std::fs::metadata(&file.0).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let scratch = Scratch::new().unwrap();
        let file = KeyFile::of_cluster(scratch.path());
        file.read_or_make().unwrap();
        set_permissions(&file.0, Permissions::from_mode(0o644)).unwrap();
        let refused = file.read_or_make().unwrap_err();
        assert!(matches!(refused, KeyFileError::Key { error: KeyError::Exposed { .. }, .. }));
    }
}
