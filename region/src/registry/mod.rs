//! Where region processes find each other, and write down which cluster is connected to whom.

pub mod keys;
mod memory;
pub mod postgres;
mod sqlite;
mod sqlite_file;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use mesh::{ClusterId, RegionId};
use tokio::sync::watch;

pub use memory::MemoryRegistry;
pub use postgres::PostgresRegistry;
pub use sqlite::SqliteRegistry;

/// How often a region process announces itself. Fixed: all processes of a region have to agree.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long after its last announcement a region process counts as gone. Fixed like [`HEARTBEAT`]:
/// four may be missed.
pub const EXPIRY: Duration = Duration::from_secs(5);

/// A region process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionEntry {
    /// Its identity.
    pub id: RegionId,
    /// A name for people.
    pub name: String,
    /// Where it listens, the best address first.
    pub addresses: Vec<String>,
    /// The version of its program.
    pub version: String,
    /// When it started, by its wall clock, to the millisecond.
    pub started: SystemTime,
}

/// A cluster's connection to a region process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkEntry {
    /// The region process.
    pub region: RegionId,
    /// The cluster.
    pub cluster: ClusterId,
    /// The cluster's name for people.
    pub cluster_name: String,
    /// The version of the cluster's program, if it told.
    pub cluster_version: Option<String>,
    /// Where the region process sees it.
    pub address: String,
    /// The time that the last `Ping` took, to the microsecond.
    pub round_trip: Option<Duration>,
    /// When the connection was opened, by the region's wall clock, to the millisecond.
    pub since: SystemTime,
}

/// A cause that several callers are told.
pub type SharedError = std::sync::Arc<dyn std::error::Error + Send + Sync>;

/// Why the registry could not be asked. Connections and calls go on without it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The database failed. Its own error is the source, whatever the database is.
    #[error("the registry's database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database was brought up to date by a newer version of this program. Nothing in it was
    /// touched. Upgrade this program.
    #[error(
        "the registry's database has version {found} and this program knows {known} at most: \
         upgrade it"
    )]
    TooNew {
        /// Its version.
        found: i64,
        /// The newest version that this program can read.
        known: i64,
    },
    /// The directory of the database cannot be made.
    #[error("cannot make the directory {}", .path.display())]
    Directory {
        /// The directory.
        path: std::path::PathBuf,
        /// The operating system's reason.
        #[source]
        error: std::io::Error,
    },
    /// The file of the database cannot be made or opened.
    #[error("cannot open the file {}", .path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// The operating system's reason.
        #[source]
        error: std::io::Error,
    },
    /// What was said of the database cannot be used. The fault is in the settings.
    #[error("the settings of the registry's database cannot be used")]
    Settings(#[from] postgres::PostgresSettingsError),
    /// Nobody answers there, or the connection broke. The server is down, restarts, or cannot be
    /// reached from this machine. It is tried again without end.
    #[error("no connection to the registry's database at {place}")]
    Unreachable {
        /// Server and database.
        place: String,
        /// How it went wrong. Shared by all whom it concerns.
        #[source]
        error: SharedError,
    },
    /// The server refuses to let this program in: a wrong password, or no such user or database, or
    /// its `pg_hba.conf` has no line for this machine. Mend the settings, here or there.
    #[error("the registry's database at {place} does not let us in")]
    Refused {
        /// Server and database.
        place: String,
        /// What the server said.
        #[source]
        error: SharedError,
    },
    /// The connection cannot be encrypted as `sslmode` wants it: the server does not offer TLS, or
    /// its certificate is not good. Mend the settings, here or there.
    #[error("no encrypted connection to the registry's database at {place}")]
    Unencrypted {
        /// Server and database.
        place: String,
        /// What is the matter.
        #[source]
        error: SharedError,
    },
    /// The user may not do what has to be done. Grant it in the database.
    #[error(
        "the user may not do this in the registry's database at {place}: grant what the book's \
         page on many machines lists"
    )]
    Forbidden {
        /// Server and database.
        place: String,
        /// What the server said.
        #[source]
        error: SharedError,
    },
    /// No answer came in time. The server hangs, or has too much to do. Try again.
    #[error("the registry's database at {place} did not answer within {} ms", .limit.as_millis())]
    TooSlow {
        /// Server and database.
        place: String,
        /// How long was waited.
        limit: Duration,
    },
    /// There is more in the registry than anybody can use.
    #[error("the registry has more than {max} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// The work was cut short because the program ends.
    #[error("the registry is closing")]
    Closing,
}

/// What region processes share.
///
/// Entries live as long as they are announced: a region process that says nothing for [`EXPIRY`]
/// is gone, and its links with it.
#[async_trait]
pub trait Registry: fmt::Debug + Send + Sync + 'static {
    /// Says that a region process is there. To be repeated every [`HEARTBEAT`]. Tells whether its
    /// entry is new: then the registry knows of none of its links, whatever was written before.
    ///
    /// # Errors
    /// [`RegistryError`]; try again at the next heartbeat.
    ///
    /// # Cancellation
    /// Dropping the future does not take the announcement back: it may still be written, even after
    /// what is asked later. Wait for it before [`Registry::withdraw`].
    async fn announce(&self, region: &RegionEntry) -> Result<bool, RegistryError>;

    /// Takes a region process out, and its links.
    ///
    /// # Errors
    /// [`RegistryError`]; the entry then expires by itself.
    ///
    /// # Cancellation
    /// Dropping the future does not bring the entry back: it may still be taken out, or not.
    async fn withdraw(&self, region: &RegionId) -> Result<(), RegistryError>;

    /// Writes down links of one region process that were opened or have changed, and strikes those
    /// of clusters whose last link to it was lost. Tells whether the region process is known: if
    /// not, nothing was written.
    ///
    /// # Errors
    /// [`RegistryError`]; nothing was written, or all of it.
    ///
    /// # Cancellation
    /// Dropping the future leaves open whether it is written, all of it or nothing. Write
    /// everything again.
    async fn record_links(
        &self,
        region: &RegionId,
        opened: &[LinkEntry],
        lost: &[ClusterId],
    ) -> Result<bool, RegistryError>;

    /// The region processes that are up, sorted by name.
    ///
    /// # Errors
    /// [`RegistryError`].
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    async fn regions(&self) -> Result<Vec<RegionEntry>, RegistryError>;

    /// The links of the region processes that are up, sorted by cluster name.
    ///
    /// # Errors
    /// [`RegistryError`].
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    async fn links(&self) -> Result<Vec<LinkEntry>, RegistryError>;

    /// Changes whenever [`Registry::regions`] may give another answer than before.
    fn changes(&self) -> watch::Receiver<u64>;
}

fn to_ms(time: SystemTime) -> i64 {
    let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

fn from_ms(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

/// As databases keep it, in microseconds.
fn to_us(time: Option<Duration>) -> Option<i64> {
    time.and_then(|time| i64::try_from(time.as_micros()).ok())
}

fn from_us(us: Option<i64>) -> Option<Duration> {
    us.and_then(|us| u64::try_from(us).ok()).map(Duration::from_micros)
}

/// Sorts as [`Registry::regions`] gives them: by their bytes, whatever a database thinks of its
/// language.
fn sort_regions(regions: &mut [RegionEntry]) {
    regions.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
}

/// Sorts as [`Registry::links`] gives them.
fn sort_links(links: &mut [LinkEntry]) {
    links.sort_by(|a, b| (&a.cluster_name, &a.region).cmp(&(&b.cluster_name, &b.region)));
}
