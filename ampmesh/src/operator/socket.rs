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

/// Connects to a socket.
///
/// One at which nobody listens is left alone: its process may be dead, or about to listen.
///
/// # Errors
/// The operating system's; [`io::ErrorKind::NotFound`] if nobody listens.
///
/// # Cancellation
/// Nothing is left behind.
pub(super) async fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => io::ErrorKind::NotFound.into(),
        _ => error,
    })
}

/// Removes the sockets of dead processes. Only for whoever holds the lock under which sockets are
/// made: any other may take one for dead that has been made this moment.
///
/// # Errors
/// The operating system's.
///
/// # Cancellation
/// Some of them may be left.
pub(super) async fn remove_dead(data_dir: &Path) -> io::Result<()> {
    for path in all(data_dir)? {
        let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if UnixStream::connect(&path).await.is_err_and(refused) {
            tracing::debug!(path = %path.display(), "removing the socket of a dead process");
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use tokio::net::UnixSocket;

    use super::*;
    use crate::scratch::Scratch;

    #[tokio::test]
    async fn a_socket_that_is_asked_before_it_listens_is_still_there_when_it_does() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("north.sock");
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let error = connect(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let _listener = socket.listen(1).unwrap();
        connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn the_sockets_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let scratch = Scratch::new().unwrap();
        let folder = folder(scratch.path());
        std::fs::create_dir(&folder).unwrap();
        let _listener = UnixListener::bind(folder.join("north.sock")).unwrap();
        drop(UnixListener::bind(folder.join("south.sock")).unwrap());
        remove_dead(scratch.path()).await.unwrap();
        assert_eq!(all(scratch.path()).unwrap(), [folder.join("north.sock")]);
    }
}
