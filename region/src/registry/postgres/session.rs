//! One connection to the database, and what keeps there being one. The registry has one, and so
//! have the keys: a crowd whose keys are looked up must not keep a region process from announcing
//! itself.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh::{Backoff, BackoffSettings, chain};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, RwLock, watch};
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, Interval, timeout, timeout_at};
use tokio_postgres::{AsyncMessage, Client, Connection, IsolationLevel, NoTls, Transaction};

use super::failure::Failure;
use super::schema;
use super::settings::{CONNECT_TIMEOUT, PostgresSettings, Server};
use crate::registry::{HEARTBEAT, RegistryError};

/// How long one operation may take, with its wait for the one before. Fixed: less than it takes an
/// entry to expire, for an announcement that comes later is no use.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a new connection may take to find the tables up to date, or to bring them there. Fixed:
/// long enough for the migration that another process is at work on.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(20);

/// What every session begins with. A heartbeat that a crash of the server forgets is followed by
/// another one: nothing has to wait for a disk.
const BEGIN: &str = "
    SET statement_timeout = '20s';
    SET idle_in_transaction_session_timeout = '5s';
    SET synchronous_commit = off;
";

/// What holds once the tables are up to date. The server gives up before we do, so that it is not
/// still at work on what nobody waits for.
const GO_ON: &str = "SET statement_timeout = '2s'";

/// Begins a transaction each of whose statements sees what was done before it, whatever the
/// server's default is: what others did before a lock was ours is to be seen.
pub(super) async fn begin(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    client.build_transaction().isolation_level(IsolationLevel::ReadCommitted).start().await
}

/// A connection that is good.
#[derive(Debug)]
struct Session {
    place: String,
    /// Single questions may be asked at once; whoever needs a transaction is alone.
    client: RwLock<Client>,
    /// Why the connection is to be given up.
    condemned: watch::Sender<Option<Failure>>,
}

impl Session {
    /// Has `work` done alone, within [`OPERATION_TIMEOUT`].
    async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, Trouble>,
    ) -> Result<T, Failure> {
        let until = Instant::now() + OPERATION_TIMEOUT;
        let client = timeout_at(until, self.client.write()).await;
        let mut client = client.map_err(|_| Failure::too_busy(&self.place, OPERATION_TIMEOUT))?;
        self.judge(timeout_at(until, work(&mut client)).await)
    }

    /// Has a question asked beside others, within [`OPERATION_TIMEOUT`].
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Client) -> Result<T, Trouble>,
    ) -> Result<T, Failure> {
        let until = Instant::now() + OPERATION_TIMEOUT;
        let client = timeout_at(until, self.client.read()).await;
        let client = client.map_err(|_| Failure::too_busy(&self.place, OPERATION_TIMEOUT))?;
        self.judge(timeout_at(until, question(&client)).await)
    }

    /// Finds out whether the connection is still good.
    fn judge<T>(&self, done: Result<Result<T, Trouble>, Elapsed>) -> Result<T, Failure> {
        let failure = match done {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(Trouble::Client(error))) => Failure::of(error, &self.place),
            Ok(Err(Trouble::TooMany { what, max })) => Failure::too_many(&self.place, what, max),
            Err(_) => Failure::too_slow(&self.place, OPERATION_TIMEOUT),
        };
        if !failure.spares_connection {
            // Also when the tables are not what they should be: the next session looks after them.
            self.condemned.send_replace(Some(failure.clone()));
        }
        Err(failure)
    }
}

/// Why an operation failed.
pub(super) enum Trouble {
    /// What the client says.
    Client(tokio_postgres::Error),
    /// There is more than anybody can use.
    TooMany { what: &'static str, max: usize },
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Client(error)
    }
}

/// How it stands with the database.
#[derive(Clone, Debug)]
enum State {
    Up(Arc<Session>),
    Down(Failure),
}

/// A way to the database, for as long as its tasks run.
#[derive(Debug)]
pub(super) struct Line {
    settings: PostgresSettings,
    /// What is listened for.
    channel: &'static str,
    state: watch::Sender<State>,
    /// Something may have changed.
    news: Notify,
    /// How many times a lost connection was made again.
    reconnected: AtomicU64,
}

impl Line {
    /// Connects, and keeps there being a connection until the tasks are dropped.
    ///
    /// # Errors
    /// [`RegistryError`] if there is no connection to begin with.
    ///
    /// # Cancellation
    /// Dropping the future leaves no connection. The tables may have been made.
    pub(super) async fn open(
        settings: PostgresSettings,
        channel: &'static str,
    ) -> Result<(Arc<Self>, JoinSet<()>), RegistryError> {
        let line = Arc::new(Self {
            settings,
            channel,
            state: watch::Sender::new(State::Down(Failure::ended(""))),
            news: Notify::new(),
            reconnected: AtomicU64::new(0),
        });
        let opened = open(&line).await.map_err(|failure| failure.tell())?;
        line.state.send_replace(State::Up(Arc::clone(&opened.session)));
        let mut tasks = JoinSet::new();
        tasks.spawn(keep(Arc::clone(&line), opened));
        Ok((line, tasks))
    }

    /// Has `work` done, which may need a transaction.
    ///
    /// # Cancellation
    /// Dropping the future leaves open whether it is done.
    pub(super) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, Trouble>,
    ) -> Result<T, RegistryError> {
        self.session()?.run(work).await.map_err(|failure| failure.tell())
    }

    /// Has a question asked, for which one statement is enough.
    ///
    /// # Cancellation
    /// Dropping the future changes nothing.
    pub(super) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Client) -> Result<T, Trouble>,
    ) -> Result<T, RegistryError> {
        self.session()?.ask(question).await.map_err(|failure| failure.tell())
    }

    fn session(&self) -> Result<Arc<Session>, RegistryError> {
        match &*self.state.borrow() {
            State::Up(session) => Ok(Arc::clone(session)),
            State::Down(failure) => Err(failure.tell()),
        }
    }

    /// Waits until something may have changed, or it is time to look.
    pub(super) async fn news(&self, every: &mut Interval) {
        tokio::select! {
            _ = every.tick() => {}
            () = self.news.notified() => {}
        }
    }

    /// How many times a lost connection was made again. What was said meanwhile was not heard.
    pub(super) fn reconnected(&self) -> u64 {
        self.reconnected.load(Ordering::SeqCst)
    }

    /// Uses the connection from here on.
    fn enter(&self, opened: &Opened) {
        self.reconnected.fetch_add(1, Ordering::SeqCst);
        self.state.send_replace(State::Up(Arc::clone(&opened.session)));
        self.news.notify_one();
    }
}

/// A connection that nobody drives yet. Its driver ends with the connection.
struct Opened {
    session: Arc<Session>,
    driver: JoinSet<Failure>,
}

/// Connects to the first server that can be written to, and brings its tables up to date.
async fn open(line: &Arc<Line>) -> Result<Opened, Failure> {
    let settings = &line.settings;
    let servers = settings
        .servers()
        .map_err(|error| Failure::refused(&settings.places(), Arc::new(error)))?;
    let mut failure = Failure::ended("");
    for server in servers {
        match open_at(line, &server).await {
            Ok(opened) => return Ok(opened),
            Err(failed) => failure = failed,
        }
    }
    Err(failure)
}

async fn open_at(line: &Arc<Line>, server: &Server) -> Result<Opened, Failure> {
    let place = &server.place;
    let connected = timeout(CONNECT_TIMEOUT, connect(line, server)).await;
    let (mut client, driver) = match connected {
        Ok(connected) => connected.map_err(|error| Failure::of(error, place))?,
        Err(_) => return Err(Failure::too_slow(place, CONNECT_TIMEOUT)),
    };
    let found = match timeout(MIGRATION_TIMEOUT, prepare(&mut client, line.channel)).await {
        Ok(found) => found.map_err(|error| Failure::of(error, place))?,
        Err(_) => return Err(Failure::too_slow(place, MIGRATION_TIMEOUT)),
    };
    if found > schema::known() {
        return Err(Failure::too_new(place, found, schema::known()));
    }
    let client = RwLock::new(client);
    let session = Session { place: place.clone(), client, condemned: watch::Sender::new(None) };
    Ok(Opened { session: Arc::new(session), driver })
}

async fn connect(
    line: &Arc<Line>,
    Server { config, place }: &Server,
) -> Result<(Client, JoinSet<Failure>), tokio_postgres::Error> {
    let mut driver = JoinSet::new();
    let client = match line.settings.tls() {
        Some(tls) => {
            let (client, connection) = config.connect(tls.clone()).await?;
            driver.spawn(drive(connection, Arc::clone(line), place.clone()));
            client
        }
        None => {
            let (client, connection) = config.connect(NoTls).await?;
            driver.spawn(drive(connection, Arc::clone(line), place.clone()));
            client
        }
    };
    // A server that hangs is found out here, before there is more patience.
    client.batch_execute(BEGIN).await?;
    Ok((client, driver))
}

/// Gives the version that the tables had. Those of a newer one are left alone.
async fn prepare(client: &mut Client, channel: &str) -> Result<i64, tokio_postgres::Error> {
    let found = schema::migrate(client).await?;
    client.batch_execute(&format!("LISTEN {channel}; {GO_ON}")).await?;
    Ok(found)
}

/// Moves the bytes of a connection until it ends, and tells of news.
async fn drive<S, T>(mut connection: Connection<S, T>, line: Arc<Line>, place: String) -> Failure
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(_))) => line.news.notify_one(),
            Some(Ok(AsyncMessage::Notice(notice))) => {
                tracing::debug!(place, %notice, "the registry's database says");
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Failure::of(error, &place),
            None => return Failure::ended(&place),
        }
    }
}

/// Keeps there being a connection, from the first one on.
async fn keep(line: Arc<Line>, mut opened: Opened) {
    let mut backoff = Backoff::new(BackoffSettings {
        // As often as it announces itself.
        max: HEARTBEAT,
        refused_min: Duration::from_secs(1),
        refused_max: Duration::from_secs(10),
        ..BackoffSettings::default()
    });
    loop {
        let mut failure = until_lost(opened).await;
        opened = loop {
            tracing::debug!(error = %chain(&failure.tell()), "no connection to the registry");
            let wait = if failure.is_refusal() {
                backoff.after_refusal()
            } else {
                backoff.after_failure()
            };
            line.state.send_replace(State::Down(failure));
            tokio::time::sleep(wait).await;
            match open(&line).await {
                Ok(opened) => break opened,
                Err(failed) => failure = failed,
            }
        };
        backoff.reset();
        line.enter(&opened);
    }
}

async fn until_lost(opened: Opened) -> Failure {
    let Opened { session, mut driver } = opened;
    let mut condemned = session.condemned.subscribe();
    tokio::select! {
        Some(ended) = driver.join_next() => {
            ended.unwrap_or_else(|_| Failure::ended(&session.place))
        }
        Ok(failure) = condemned.wait_for(Option::is_some) => {
            failure.clone().unwrap_or_else(|| Failure::ended(&session.place))
        }
    }
}
