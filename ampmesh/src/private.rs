//! Directories and files that are nobody else's business.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

/// A directory or file that is to be private is not to be had. The fault is this machine's set-up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PrivateError {
    /// A directory cannot be made or closed to others.
    #[error("cannot make the private directory {}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        error: io::Error,
    },
    /// A file cannot be written, read or locked.
    #[error("cannot use the private file {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        error: io::Error,
    },
}

/// Makes the directory and those above it, mode 0700. One that exists stays as it is.
///
/// # Errors
/// [`PrivateError::Directory`].
pub(crate) fn make_directory(path: &Path) -> Result<(), PrivateError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| PrivateError::Directory { path: path.to_owned(), error })
}

/// Warns of a directory that other users may write to: they could put files of their own in the
/// place of keys. It is used all the same, for some systems mount every volume like this.
pub(crate) fn warn_if_writable(path: &Path) {
    if is_writable_by_others(path) {
        let path = path.display();
        tracing::warn!(%path, "other users can write to the data directory: chmod go-w");
    }
}

fn is_writable_by_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o022 != 0)
}

/// As [`make_directory`], and closes one that exists to others.
///
/// # Errors
/// [`PrivateError::Directory`], also when the directory is somebody else's.
pub(crate) fn make_closed_directory(path: &Path) -> Result<(), PrivateError> {
    make_directory(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
        .map_err(|error| PrivateError::Directory { path: path.to_owned(), error })
}

/// Writes a new file with mode 0600, unless there is one. Gives whether it was written.
///
/// The file appears with all its content or not at all, so that two processes that start at the
/// same time agree on it, and is on the disk when this returns. Where there is one, nothing is made
/// or written: whoever has all its files starts on a disk that is full, too.
///
/// # Errors
/// [`PrivateError`].
pub(crate) fn write_new_file(
    path: &Path,
    content: impl FnOnce() -> String,
) -> Result<bool, PrivateError> {
    remove_stale_drafts(path);
    let is_there = path.try_exists();
    if is_there.map_err(|error| PrivateError::File { path: path.to_owned(), error })? {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        make_directory(folder)?;
    }
    let draft = draft_of(path);
    let written =
        write_draft(&draft, &content()).and_then(|()| match fs::hard_link(&draft, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        });
    let removed = fs::remove_file(&draft).and_then(|()| sync_folder(path));
    let outcome = written.and_then(|written| removed.map(|()| written));
    outcome.map_err(|error| PrivateError::File { path: path.to_owned(), error })
}

/// Writes a file with mode 0600 in place of the one that may be there. It has all its content or
/// that of before, at any moment, and is on the disk when this returns.
///
/// # Errors
/// The operating system's.
pub(crate) fn replace_file(path: &Path, content: &str) -> io::Result<()> {
    remove_stale_drafts(path);
    let draft = draft_of(path);
    let written = write_draft(&draft, content).and_then(|()| rename(&draft, path));
    if written.is_err() {
        // What went wrong first is what counts.
        let _removed = fs::remove_file(&draft);
    }
    written
}

/// Puts a file in the place of another, and has that on the disk when it returns: what was written
/// before would else be found in its old place after a loss of power.
///
/// # Errors
/// The operating system's.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(to)
}

/// Waits until no other process holds the lock of this name, and holds it for as long as the file
/// that is given is open.
///
/// # Errors
/// [`PrivateError`].
///
/// # Cancellation
/// The lock may be taken for a moment all the same.
pub(crate) async fn lock(path: PathBuf) -> Result<File, PrivateError> {
    if let Some(folder) = path.parent() {
        make_directory(folder)?;
    }
    let own = path.clone();
    let locking = tokio::task::spawn_blocking(move || {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(own)?;
        file.lock().map(|()| file)
    });
    let locked = locking.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    locked.map_err(|error| PrivateError::File { path, error })
}

/// Has the names in the folder of a file on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// What stands between the name of a file, without its extension, and a draft's own number.
const DRAFT: &str = ".draft-";
/// A draft lasts for a moment, unless whoever wrote it was killed.
const STALE_AFTER: Duration = Duration::from_secs(60);

fn draft_of(path: &Path) -> PathBuf {
    path.with_extension(format!("draft-{}", Uuid::new_v4().simple()))
}

/// Removes the drafts of this file that processes have left that were killed: there may be keys in
/// them. What cannot be removed stays, and is in nobody's way.
fn remove_stale_drafts(path: &Path) {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem()) else { return };
    let Ok(entries) = fs::read_dir(folder) else { return };
    let beginning = [stem.as_encoded_bytes(), DRAFT.as_bytes()].concat();
    for entry in entries.flatten() {
        let is_draft = entry.file_name().as_encoded_bytes().starts_with(&beginning);
        let modified = || entry.metadata().and_then(|it| it.modified());
        let is_stale = || {
            let age = modified().ok().and_then(|it| it.elapsed().ok());
            age.is_some_and(|age| age > STALE_AFTER)
        };
        if is_draft && is_stale() {
            let _removed = fs::remove_file(entry.path());
        }
    }
}

fn write_draft(draft: &Path, content: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_for_us_alone_and_stays_as_the_first_wrote_it() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("deep/er/secret");
        assert!(write_new_file(&path, || "one".to_owned()).unwrap());
        assert!(!write_new_file(&path, || panic!("made in vain")).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&scratch.path().join("deep")), 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn what_was_left_by_a_kill_goes_when_the_same_file_is_asked_for_again() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("region-north.key");
        let long_ago = std::time::SystemTime::now() - 2 * STALE_AFTER;
        let left = |name: &str, modified: Option<std::time::SystemTime>| {
            let file = File::create_new(scratch.path().join(name)).unwrap();
            modified.into_iter().for_each(|it| file.set_modified(it).unwrap());
        };
        left("region-north.draft-0123", Some(long_ago));
        left("region-north.draft-4567", None);
        left("region-north.b.draft-0123", Some(long_ago));
        left("secret.draft-0123", Some(long_ago));
        assert!(write_new_file(&path, || "one".to_owned()).unwrap());
        let names = || {
            let entries = fs::read_dir(scratch.path()).unwrap().flatten();
            let names = entries.map(|entry| entry.file_name().into_string().unwrap());
            names.filter(|name| name.contains("draft")).collect::<std::collections::BTreeSet<_>>()
        };
        let others = ["region-north.b.draft-0123", "region-north.draft-4567", "secret.draft-0123"];
        assert_eq!(names(), others.map(str::to_owned).into());
        left("region-north.draft-89ab", Some(long_ago));
        assert!(!write_new_file(&path, || panic!("made in vain")).unwrap());
        assert_eq!(names(), others.map(str::to_owned).into(), "also where the file is there");
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_noticed() {
        let scratch = Scratch::new().unwrap();
        for (mode, expected) in [(0o700, false), (0o755, false), (0o775, true), (0o777, true)] {
            fs::set_permissions(scratch.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_writable_by_others(scratch.path()), expected, "{mode:o}");
        }
    }

    #[test]
    fn a_directory_that_is_open_to_others_is_closed() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("operator");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        make_closed_directory(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }
}
