//! Where the sockets are, and which of them somebody listens at.

use std::io;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

use crate::config::Name;

/// The directory of a data directory's sockets.
pub(super) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("operator")
}

/// The socket of the region process called `name`.
pub(super) fn path(data_dir: &Path, name: &Name) -> PathBuf {
    folder(data_dir).join(format!("{name}.sock"))
}

/// The name of the region process whose socket this is.
pub(super) fn name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The sockets of a data directory, sorted by name. None if there is no such directory.
///
/// # Errors
/// The operating system's.
pub(super) fn all(data_dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder(data_dir)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sock") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Connects to a socket, and removes it if its process is gone.
///
/// # Errors
/// The operating system's; [`io::ErrorKind::NotFound`] for one that was removed.
///
/// # Cancellation
/// Nothing is left behind.
pub(super) async fn connect(path: &Path) -> io::Result<UnixStream> {
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            tracing::debug!(path = %path.display(), "removing the socket of a dead process");
            match std::fs::remove_file(path) {
                Ok(()) => Err(io::ErrorKind::NotFound.into()),
                Err(error) => Err(error),
            }
        }
        connected => connected,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::scratch::Scratch;

    #[tokio::test]
    async fn the_socket_of_a_dead_process_is_removed() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("north.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the dead leave their sockets");
        let error = connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_live_process_stays() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("north.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        connect(&path).await.unwrap();
        assert!(path.exists());
    }
}
