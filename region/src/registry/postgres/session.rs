//! One connection to the database, and what keeps there being one.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use mesh::{Backoff, BackoffSettings, chain};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};

use super::failure::Failure;
use super::schema::{self, CHANNEL};
use super::settings::{CONNECT_TIMEOUT, PostgresSettings, Server};
use super::sightings::Sightings;
use crate::registry::HEARTBEAT;

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

/// A connection that is good.
#[derive(Debug)]
pub(super) struct Session {
    place: String,
    /// One question after the other: those that need a transaction must not be mixed.
    client: Mutex<Client>,
    /// Why the connection is to be given up.
    condemned: watch::Sender<Option<Failure>>,
}

impl Session {
    /// Has `work` done, within [`OPERATION_TIMEOUT`].
    pub(super) async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, Trouble>,
    ) -> Result<T, Failure> {
        let working = async { work(&mut *self.client.lock().await).await };
        let failure = match timeout(OPERATION_TIMEOUT, working).await {
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
pub(super) enum State {
    Up(Arc<Session>),
    Down(Failure),
}

/// What the tasks of a registry share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: PostgresSettings,
    pub(super) state: watch::Sender<State>,
    pub(super) sightings: std::sync::Mutex<Sightings>,
    /// The region processes may have changed.
    pub(super) news: Notify,
    /// Another number whenever they have.
    pub(super) changes: watch::Sender<u64>,
}

/// A connection that nobody drives yet. Its driver ends with the connection.
pub(super) struct Opened {
    session: Arc<Session>,
    driver: JoinSet<Failure>,
}

/// Connects to the first server that can be written to, and brings its tables up to date.
pub(super) async fn open(shared: &Arc<Shared>) -> Result<Opened, Failure> {
    let settings = &shared.settings;
    let servers = settings
        .servers()
        .map_err(|error| Failure::refused(&format!("{settings:?}"), Arc::new(error)))?;
    let mut failure = Failure::ended("");
    for server in servers {
        match open_at(shared, &server).await {
            Ok(opened) => return Ok(opened),
            Err(failed) => failure = failed,
        }
    }
    Err(failure)
}

async fn open_at(shared: &Arc<Shared>, server: &Server) -> Result<Opened, Failure> {
    let place = &server.place;
    let connected = timeout(CONNECT_TIMEOUT, connect(shared, server)).await;
    let (mut client, driver) = match connected {
        Ok(connected) => connected.map_err(|error| Failure::of(error, place))?,
        Err(_) => return Err(Failure::too_slow(place, CONNECT_TIMEOUT)),
    };
    let found = match timeout(MIGRATION_TIMEOUT, prepare(&mut client)).await {
        Ok(found) => found.map_err(|error| Failure::of(error, place))?,
        Err(_) => return Err(Failure::too_slow(place, MIGRATION_TIMEOUT)),
    };
    if found > schema::known() {
        return Err(Failure::too_new(place, found, schema::known()));
    }
    let client = Mutex::new(client);
    let session = Session { place: place.clone(), client, condemned: watch::Sender::new(None) };
    Ok(Opened { session: Arc::new(session), driver })
}

async fn connect(
    shared: &Arc<Shared>,
    Server { config, place }: &Server,
) -> Result<(Client, JoinSet<Failure>), tokio_postgres::Error> {
    let mut driver = JoinSet::new();
    let client = match shared.settings.tls() {
        Some(tls) => {
            let (client, connection) = config.connect(tls.clone()).await?;
            driver.spawn(drive(connection, Arc::clone(shared), place.clone()));
            client
        }
        None => {
            let (client, connection) = config.connect(NoTls).await?;
            driver.spawn(drive(connection, Arc::clone(shared), place.clone()));
            client
        }
    };
    // A server that hangs is found out here, before there is more patience.
    client.batch_execute(BEGIN).await?;
    Ok((client, driver))
}

/// Gives the version that the tables had. Those of a newer one are left alone.
async fn prepare(client: &mut Client) -> Result<i64, tokio_postgres::Error> {
    let found = schema::migrate(client).await?;
    client.batch_execute(&format!("LISTEN {CHANNEL}; {GO_ON}")).await?;
    Ok(found)
}

/// Moves the bytes of a connection until it ends, and tells of news.
async fn drive<S, T>(
    mut connection: Connection<S, T>,
    shared: Arc<Shared>,
    place: String,
) -> Failure
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(_))) => shared.news.notify_one(),
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
pub(super) async fn keep(shared: Arc<Shared>, mut opened: Opened) {
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
            shared.state.send_replace(State::Down(failure));
            tokio::time::sleep(wait).await;
            match open(&shared).await {
                Ok(opened) => break opened,
                Err(failed) => failure = failed,
            }
        };
        backoff.reset();
        shared.enter(&opened);
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

impl Shared {
    /// Uses the connection from here on.
    fn enter(&self, opened: &Opened) {
        self.sightings().reconnected();
        self.state.send_replace(State::Up(Arc::clone(&opened.session)));
        self.news.notify_one();
    }

    pub(super) fn sightings(&self) -> std::sync::MutexGuard<'_, Sightings> {
        self.sightings.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Opened {
    pub(super) fn session(&self) -> Arc<Session> {
        Arc::clone(&self.session)
    }
}
