//! A directory that is thrown away with the mesh inside it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::private::{self, PrivateError};

/// What the names of all scratch directories begin with.
const PREFIX: &str = "ampmesh-dev-";

/// A private directory below the system's temporary directory, removed with this value.
///
/// It holds a file `lock`, locked while its owner lives, so that [`Scratch::sweep`] knows the
/// directories of owners that were killed.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// Held, not read: the lock goes with it.
    _lock: File,
}

impl Scratch {
    /// Makes one.
    ///
    /// # Errors
    /// [`PrivateError`] when the temporary directory is not to be written to.
    pub(crate) fn new() -> Result<Self, PrivateError> {
        // UNIX socket paths have about a hundred bytes, so the name is a short one.
        let unique = Uuid::new_v4().simple().to_string();
        let short = unique.get(..8).unwrap_or(&unique);
        let path = std::env::temp_dir().join(format!("{PREFIX}{short}"));
        private::make_closed_directory(&path)?;
        match lock(&path) {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) => Err(PrivateError::File { path, error }),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes scratch directories of ours whose owners are gone. What cannot be removed stays.
    pub(crate) fn sweep() {
        let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
        for entry in entries.flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
            if ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = entry.path();
                let removed = is_abandoned(&path) && fs::remove_dir_all(&path).is_ok();
                tracing::debug!(path = %path.display(), removed, "found a scratch directory");
            }
        }
    }
}

/// The lock file appears locked: a sweep at the same time takes none for abandoned that is not.
fn lock(folder: &Path) -> io::Result<File> {
    let draft = folder.join("lock.draft");
    let file = File::create_new(&draft)?;
    file.lock()?;
    fs::rename(draft, folder.join("lock"))?;
    Ok(file)
}

fn is_abandoned(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.join("lock")) else { return false };
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock | TryLockError::Error(_)))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_goes_with_its_owner() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_owned();
        Scratch::sweep();
        assert!(path.join("lock").exists(), "a sweep leaves what has an owner");
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn a_sweep_removes_what_a_killed_owner_left() {
        let left = std::env::temp_dir().join(format!("{PREFIX}left-{}", Uuid::new_v4().simple()));
        fs::create_dir(&left).unwrap();
        fs::write(left.join("lock"), "").unwrap();
        Scratch::sweep();
        assert!(!left.exists());
    }
}
