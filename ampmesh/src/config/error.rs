//! What can be wrong with the settings. All of it is to be put right by who started the program.

use std::path::PathBuf;

use uuid::Uuid;

use super::FileError;

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConfigError {
    /// The configuration file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Neither a data directory nor a home to put it into is known.
    #[error("no data directory: give --data-dir, or set HOME or XDG_STATE_HOME")]
    NoDataDirectory,
    /// A cluster process was not told where any region process is.
    #[error("no region to connect to: give --region HOST:PORT, or `regions` in [cluster]")]
    NoRegion,
    /// A cluster process that is to be known by its key has not joined.
    #[error(
        "this cluster has not joined: `ampmesh join TOKEN`, with a token that `ampmesh invite` \
         writes at a region; or give --plain, to speak plain AMP with a shared secret"
    )]
    NotJoined,
    /// The key of the cluster stands for another uuid than the one that it is to run with.
    #[error(
        "this cluster has joined with the uuid {joined}, for which its key stands, and cannot run \
         with {claimed}: leave out --uuid, AMPMESH_UUID and `uuid` in [cluster]; or, to have it be \
         another cluster, remove cluster.key and regions.json from its data directory, and \
         `ampmesh join` with a new token"
    )]
    JoinedAs {
        /// The one that it has joined with.
        joined: Uuid,
        /// The one that it is to run with.
        claimed: Uuid,
    },
    /// What is said of the registry's database cannot be used.
    #[error("{whence}")]
    Registry {
        /// Where it is said.
        whence: &'static str,
        /// What is wrong with it. It never tells the URL.
        #[source]
        error: region::registry::postgres::PostgresSettingsError,
    },
    /// One place names two registries.
    #[error("{whence}: name a registry, or a file with its URL, and not both")]
    TwoRegistries {
        /// The place.
        whence: &'static str,
    },
    /// Somebody meant a database, and did not write a URL. It is not shown.
    #[error(
        "{whence}: this is not the URL of a database, which looks like \
         postgres://USER:PASSWORD@HOST:PORT/DATABASE; a file whose name begins with `postgres` is \
         named with its directory, as in ./postgres.sqlite"
    )]
    RegistryMistaken {
        /// The place.
        whence: &'static str,
    },
    /// A URL stands where the file with it should be named. It is not shown.
    #[error("the file with the registry's URL: this is a URL; write it into a file, and name that")]
    UrlForFile,
    /// Whoever lists processes can read their flags.
    #[error(
        "everybody on this machine can read a password in a flag: put the URL into \
         AMPMESH_REGISTRY or a file for --registry-url-file, or the password into ~/.pgpass"
    )]
    PasswordInFlag,
    /// The keys beside the registry's file were brought along to a database, and a registry in a
    /// file would bring them back as they were then.
    #[error(
        "the keys of this machine are in a database, says {}: name it with --registry-url-file, \
         AMPMESH_REGISTRY_URL_FILE or `registry-url-file` in [region]; or, to have the keys as \
         they were before, with those that were revoked since then, remove that file",
        .moved.display()
    )]
    KeysMoved {
        /// The file that says so.
        moved: PathBuf,
    },
    /// There is no secret to join the mesh with.
    #[error(
        "no secret at {}: copy the file `secret` from a region's data directory there, or name \
         one with --secret-file",
        .path.display()
    )]
    NoSecret {
        /// Where one was looked for.
        path: PathBuf,
    },
    /// What is in the file of the secret is no secret. The source never tells its content.
    #[error("the secret file {} cannot be used", .path.display())]
    BadSecret {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: mesh::SecretError,
    },
    /// For StartTLS three files are needed, and not all of them are named.
    #[error(
        "`{missing}` is missing: StartTLS needs the certificate, its private key, and the \
         authorities to believe"
    )]
    StartTlsIncomplete {
        /// The key of the one that is missing.
        missing: &'static str,
    },
    /// A file that the program keeps in its data directory is not what it wrote there.
    #[error("{} does not hold a uuid; correct or remove it", .path.display())]
    NotAUuid {
        /// The file.
        path: PathBuf,
    },
}
