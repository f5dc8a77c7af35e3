//! A PostgreSQL server for tests.
//!
//! [`Postgres::shared`] is one for all the tests of a run, each of which takes a [`Database`] of
//! its own from it; [`Postgres::own`] is for tests that stop their server. Either ends by itself
//! with those who use it. Where PostgreSQL is missing these tests fail, and the error says what to
//! run: nothing is left out silently.

use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, getppid, kill_process};
use tokio::process::Command;
use tokio_postgres::{Client, Config, NoTls};

/// How long a server may take to be made, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);
/// What makes and stops servers.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/server");

/// Why there is no server, or no database on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The server was not made. PostgreSQL is missing, usually.
    #[error("no PostgreSQL server for the tests; tests/setup installs it. It said:\n{log}")]
    Failed {
        /// What it said.
        log: String,
    },
    /// It is not there after a long time.
    #[error("the PostgreSQL server in {} was not ready in time", .0.display())]
    TooSlow(PathBuf),
    /// The operating system refused something.
    #[error("cannot run a PostgreSQL server")]
    System(#[from] io::Error),
    /// The server refused something.
    #[error("the PostgreSQL server refused")]
    Server(#[from] tokio_postgres::Error),
}

/// A server that runs.
#[derive(Debug)]
pub struct Postgres {
    directory: PathBuf,
    port: u16,
}

/// A database for one test, and a user who owns it.
#[derive(Clone, Debug)]
pub struct Database {
    directory: PathBuf,
    port: u16,
    /// The name of the database, and of its user.
    pub name: String,
    /// The user's password.
    pub password: String,
}

impl Postgres {
    /// The server of this run: made by the first who asks, gone soon after the end of the run.
    ///
    /// # Errors
    /// [`PostgresError`].
    ///
    /// # Cancellation
    /// The server may have been made all the same, for the next who asks.
    pub async fn shared() -> Result<Self, PostgresError> {
        // With nextest each test is a process, and its parent is the run.
        let is_nextest = std::env::var_os("NEXTEST_RUN_ID").is_some();
        let parent = getppid().filter(|_| is_nextest).map(Pid::as_raw_nonzero);
        let owner = parent.map_or_else(std::process::id, |pid| pid.get().unsigned_abs());
        let directory = std::env::temp_dir().join(format!("ampmesh-postgres-{owner}"));
        Self::in_directory(directory, owner).await
    }

    /// A server for one test, which may stop it. It is gone soon after this process.
    ///
    /// # Errors
    /// [`PostgresError`].
    ///
    /// # Cancellation
    /// The server may have been made all the same.
    pub async fn own() -> Result<Self, PostgresError> {
        let number = number();
        let directory =
            std::env::temp_dir().join(format!("ampmesh-postgres-{}-{number}", std::process::id()));
        Self::in_directory(directory, std::process::id()).await
    }

    async fn in_directory(directory: PathBuf, owner: u32) -> Result<Self, PostgresError> {
        let making = directory.clone();
        let made = tokio::task::spawn_blocking(move || make(&making, owner)).await;
        made.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        let ready = async {
            loop {
                if directory.join("ready").exists() {
                    let port = std::fs::read_to_string(directory.join("port"))?;
                    return port.trim().parse().map_err(io::Error::other);
                }
                if directory.join("failed").exists() {
                    return Ok(0);
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let ready = tokio::time::timeout(PATIENCE, ready).await;
        match ready.map_err(|_| PostgresError::TooSlow(directory.clone()))?? {
            0 => Err(PostgresError::Failed {
                log: std::fs::read_to_string(directory.join("failed"))?,
            }),
            port => Ok(Self { directory, port }),
        }
    }

    /// A new database, and a user with a password who owns it.
    ///
    /// # Errors
    /// [`PostgresError::Server`].
    ///
    /// # Cancellation
    /// The database may have been made.
    pub async fn database(&self) -> Result<Database, PostgresError> {
        let name = format!("test_{}_{}", std::process::id(), number());
        let database = Database {
            directory: self.directory.clone(),
            port: self.port,
            password: format!("geheim-{name}"),
            name,
        };
        let Database { name, password, .. } = &database;
        let client = administrator(&self.directory, self.port, "postgres").await?;
        client.batch_execute(&format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'")).await?;
        client
            .batch_execute(&format!("CREATE DATABASE {name} OWNER {name} STRATEGY file_copy"))
            .await?;
        Ok(database)
    }

    /// Stops the server as an administrator would: whoever is connected is told, and thrown out.
    ///
    /// # Errors
    /// [`PostgresError`].
    ///
    /// # Cancellation
    /// It may be stopped all the same.
    pub async fn stop(&self) -> Result<(), PostgresError> {
        self.have("stop").await
    }

    /// Starts it again, where it was.
    ///
    /// # Errors
    /// [`PostgresError`].
    ///
    /// # Cancellation
    /// It may be started all the same.
    pub async fn start(&self) -> Result<(), PostgresError> {
        self.have("start").await
    }

    async fn have(&self, done: &str) -> Result<(), PostgresError> {
        let mut command = Command::new(SCRIPT);
        // The server would keep a pipe open.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.arg(done).arg(&self.directory).status().await?;
        if status.success() {
            return Ok(());
        }
        Err(PostgresError::Failed {
            log: std::fs::read_to_string(self.directory.join("server.log"))?,
        })
    }

    /// Stops all its processes where they stand: connections stay open, and nobody answers.
    ///
    /// # Errors
    /// [`PostgresError::System`].
    pub fn freeze(&self) -> Result<(), PostgresError> {
        self.signal(Signal::STOP)
    }

    /// Ends [`Postgres::freeze`].
    ///
    /// # Errors
    /// [`PostgresError::System`].
    pub fn thaw(&self) -> Result<(), PostgresError> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), PostgresError> {
        let first = std::fs::read_to_string(self.directory.join("data/postmaster.pid"))?;
        let first: i32 =
            first.lines().next().unwrap_or_default().parse().map_err(io::Error::other)?;
        for pid in [vec![first], children_of(first)?].concat() {
            if let Some(pid) = Pid::from_raw(pid) {
                // One that has just ended is no loss.
                let _sent = kill_process(pid, signal);
            }
        }
        Ok(())
    }
}

impl Database {
    /// Its URL, over the server's UNIX socket.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_with(&self.password)
    }

    /// As [`Database::url`], with another password.
    #[must_use]
    pub fn url_with(&self, password: &str) -> String {
        let Self { directory, port, name, .. } = self;
        let place = format!("host={}&port={port}", directory.display());
        format!("postgres:///{name}?{place}&user={name}&password={password}")
    }

    /// Its URL over TCP, without parameters.
    #[must_use]
    pub fn url_over_tcp(&self) -> String {
        let Self { port, name, password, .. } = self;
        format!("postgres://{name}:{password}@localhost:{port}/{name}")
    }

    /// The directory of the server's socket, and its port.
    #[must_use]
    pub fn socket(&self) -> (&Path, u16) {
        (&self.directory, self.port)
    }

    /// Who vouches for the server's certificate, in PEM.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.directory.join("authority.pem")
    }

    /// Does something in the database with all rights.
    ///
    /// # Errors
    /// [`PostgresError::Server`].
    ///
    /// # Cancellation
    /// It may be done all the same.
    pub async fn execute(&self, statements: &str) -> Result<(), PostgresError> {
        let client = administrator(&self.directory, self.port, &self.name).await?;
        Ok(client.batch_execute(statements).await?)
    }

    /// A number that the database knows.
    ///
    /// # Errors
    /// [`PostgresError::Server`].
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    pub async fn number(&self, question: &str) -> Result<i64, PostgresError> {
        let client = administrator(&self.directory, self.port, &self.name).await?;
        Ok(client.query_one(question, &[]).await?.try_get(0)?)
    }
}

async fn administrator(
    directory: &Path,
    port: u16,
    database: &str,
) -> Result<Client, PostgresError> {
    let mut config = Config::new();
    config.host_path(directory).port(port).user("postgres").dbname(database);
    let (client, connection) = config.connect(NoTls).await?;
    let mut driving = tokio::task::JoinSet::new();
    driving.spawn(connection);
    // It ends with its client.
    driving.detach_all();
    Ok(client)
}

/// Makes the directory and begins to make the server in it, unless somebody has.
fn make(directory: &Path, owner: u32) -> io::Result<()> {
    let lock = File::create(format!("{}.lock", directory.display()))?;
    lock.lock()?;
    match std::fs::DirBuilder::new().mode(0o711).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    let mut keeper = std::process::Command::new("setsid");
    keeper.arg(SCRIPT).arg("run").arg(directory).arg(owner.to_string());
    keeper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // It outlives this process, and ends by itself.
    keeper.spawn().map(drop)
}

fn children_of(parent: i32) -> io::Result<Vec<i32>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The parent is the second field after the name, which stands in parentheses.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        if after_name.split_whitespace().nth(1) == Some(parent.to_string().as_str()) {
            children.extend(entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
        }
    }
    Ok(children)
}

fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
