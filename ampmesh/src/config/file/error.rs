//! What can be wrong with the configuration file. All of it is to be put right by who wrote it.

use std::path::PathBuf;

/// The configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FileError {
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        error: std::io::Error,
    },
    /// Something in the configuration file is not as it should be.
    #[error("{}:{line}:{column}: {message}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The column in characters, counted from 1.
        column: usize,
        /// What is the matter, and what was perhaps meant.
        message: String,
    },
    /// With one of the limits nothing could work.
    #[error("`{key}` in [limits] has to be {needs}")]
    Limit {
        /// The key.
        key: String,
        /// What it has to be.
        needs: String,
    },
    /// Others can read the configuration file, and there is a password in it.
    #[error("there is a password in {} and others can read it: `chmod 600` it", .path.display())]
    PasswordForAll {
        /// The configuration file.
        path: PathBuf,
    },
}
