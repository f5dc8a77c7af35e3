//! How long connections live on when their key is revoked: real region processes, TLS over loopback
//! TCP, one key whose connections are spread over all of them, and another that nobody revokes.
//!
//! `tests/revocation` does the same with a thousand connections.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{CallError, Limits, Never, PublicKey, Region, Responders};
use cluster::{Joining, Membership};
use futures_util::{StreamExt as _, stream};
use mesh::commands::Ping;
use mesh::{Client, ClusterId, InviteToken, KeyPair, Pins, TcpTransport, Transport as _};
use postgres_harness::Postgres;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::{PATIENCE, Running, ampmesh};

/// How many region processes there are. The first is told to revoke the key.
const REGIONS: usize = 3;
/// How many connections there are, unless `REVOCATION_CONNECTIONS` says so.
const CONNECTIONS: usize = 10;
/// How many connections are made at a time.
const AT_ONCE: usize = 32;
/// How soon after the answer of `keys revoke` they have to be gone at the process that was told.
const SAME_PROCESS: Duration = Duration::from_secs(1);
/// How soon after the beginning of `keys revoke` they have to be gone everywhere.
const MESH_WIDE: Duration = Duration::from_secs(5);

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Region processes that share a store of keys, and nothing else.
struct Regions {
    homes: Vec<TempDir>,
    _processes: Vec<Running>,
    addresses: Vec<String>,
}

impl Regions {
    /// Starts them, each with this registry, as if each had a machine of its own.
    fn start(registry: &str) -> Self {
        let homes: Vec<_> = (0..REGIONS).map(|_| scratch()).collect();
        let start = |home: &TempDir| {
            let usual = ["region", "--listen", "127.0.0.1", "--ports", "0", "--json"];
            let mut command = ampmesh(&usual);
            command.arg("--data-dir").arg(home.path()).env("AMPMESH_REGISTRY", registry);
            Running::start(command)
        };
        let mut processes: Vec<_> = homes.iter().map(start).collect();
        let ready = |process: &mut Running| {
            let ready: Value = serde_json::from_str(&process.line_with("\"role\"")).unwrap();
            ready["address"].as_str().unwrap().to_owned()
        };
        let addresses = processes.iter_mut().map(ready).collect();
        Self { homes, _processes: processes, addresses }
    }

    /// A cluster that has joined, and knows every region process: the one that it joins through
    /// hears within a second of those that have just come.
    async fn member(&self) -> TestResult<Member> {
        let knows_all = async {
            loop {
                let member = self.join().await?;
                if member.membership.keys.len() == REGIONS {
                    return Ok(member);
                }
            }
        };
        timeout(PATIENCE, knows_all).await?
    }

    async fn join(&self) -> TestResult<Member> {
        let token = said(self.homes[1].path(), &["invite", "--json"]).await?;
        let token: Value = serde_json::from_slice(&token)?;
        let token = token["token"].as_str().unwrap().parse::<InviteToken>()?;
        let pair = KeyPair::generate();
        let joining = Joining::new(token, pair.clone(), ClusterId::random(), "rack");
        Ok(Member { pair, membership: joining.join().await? })
    }
}

fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("amp").tempdir().unwrap()
}

/// What a subcommand says that goes well.
async fn said(home: &Path, arguments: &[&str]) -> TestResult<Vec<u8>> {
    let mut command = Command::from(ampmesh(arguments));
    let output = command.arg("--data-dir").arg(home).output().await?;
    if output.status.success() { Ok(output.stdout) } else { Err(format!("{output:?}").into()) }
}

struct Member {
    pair: KeyPair,
    membership: Membership,
}

/// A connection that is driven for as long as this is held.
struct Live {
    client: Client<Region>,
    driving: JoinSet<()>,
}

impl Member {
    /// So many connections, spread over all region processes, each of which has been used.
    async fn connect(
        &self,
        regions: &Regions,
        connections: usize,
    ) -> Vec<(usize, Result<Live, CallError<Never>>)> {
        let dialled = (0..connections).map(|number| async move {
            let at = number % REGIONS;
            (at, self.dial(&regions.addresses[at]).await.unwrap())
        });
        let dialled = stream::iter(dialled).buffer_unordered(AT_ONCE);
        let used = dialled.then(async |(at, live)| {
            let used = live.client.call(Ping).await;
            (at, used.map(|_| live))
        });
        used.collect().await
    }

    async fn dial(&self, address: &str) -> TestResult<Live> {
        let stream = TcpTransport::new().connect(address).await?;
        let pins = Pins::new(self.membership.keys.iter().copied());
        let (limits, address) = (Arc::new(Limits::default()), address.to_owned());
        let open = mesh::connect_by_key(stream, address, &self.pair, pins, limits).await?;
        let (link, driven) = open.drive(Arc::new(Responders::new()));
        let mut driving = JoinSet::new();
        driving.spawn(async move { drop(driven.await) });
        Ok(Live { client: Client::new(link).within(PATIENCE), driving })
    }

    fn key(&self) -> PublicKey {
        self.pair.public()
    }
}

/// How long after the beginning of the command something was the case.
#[derive(Debug)]
struct Figures {
    answered: Duration,
    same_process: Vec<Duration>,
    elsewhere: Vec<Duration>,
}

/// Revokes the key of these connections, and waits until all have ended.
async fn revoke(
    regions: &Regions,
    key: PublicKey,
    live: Vec<(usize, Live)>,
) -> TestResult<Figures> {
    let mut ends = JoinSet::new();
    for (at, Live { client, driving }) in live {
        ends.spawn(async move {
            client.closed().await;
            drop(driving);
            (at, Instant::now())
        });
    }
    let (began, key) = (Instant::now(), key.to_string());
    let revoked = async {
        said(regions.homes[0].path(), &["keys", "revoke", &key]).await?;
        TestResult::Ok(began.elapsed())
    };
    let ended = timeout(MESH_WIDE * 2, ends.join_all());
    let (answered, ended) = tokio::join!(revoked, ended);
    let (mut same_process, mut elsewhere) = (Vec::new(), Vec::new());
    for (at, end) in ended.map_err(|_| "connections of the revoked key live on")? {
        if at == 0 { &mut same_process } else { &mut elsewhere }.push(end - began);
    }
    same_process.sort();
    elsewhere.sort();
    Ok(Figures { answered: answered?, same_process, elsewhere })
}

fn is_refused(error: &CallError<Never>) -> bool {
    matches!(error, CallError::Undeclared { code, .. } if code == "KEY_REVOKED")
}

async fn measure(store: &str, registry: &str) -> TestResult {
    let connections = match std::env::var("REVOCATION_CONNECTIONS") {
        Ok(connections) => connections.parse()?,
        Err(_) => CONNECTIONS,
    };
    let regions = tokio::task::block_in_place(|| Regions::start(registry));
    let (revoked, bystander) = (regions.member().await?, regions.member().await?);
    let mut live = Vec::new();
    for (at, connected) in revoked.connect(&regions, connections).await {
        live.push((at, connected?));
    }
    let others = bystander.connect(&regions, REGIONS).await;
    let Figures { answered, same_process, elsewhere } =
        revoke(&regions, revoked.key(), live).await?;

    let again = revoked.connect(&regions, connections).await;
    let accepted = again.iter().filter(|(_, again)| again.is_ok()).count();
    let refused = again.iter().filter(|(_, it)| it.as_ref().is_err_and(is_refused)).count();
    let mut others_lost = 0;
    for (_, other) in others {
        others_lost += usize::from(other?.client.call(Ping).await.is_err());
    }

    let ms = |ends: &[Duration], of_1000: usize| {
        let last = ends.len().saturating_sub(1);
        ends.get(last * of_1000 / 1000).map_or(0, Duration::as_millis)
    };
    println!(
        "R16 store={store} connections={connections} regions={REGIONS} \
         answered_ms={} same_process_median_ms={} same_process_max_ms={} \
         mesh_wide_median_ms={} mesh_wide_max_ms={} \
         reconnections={connections} refused={refused} accepted={accepted} \
         others_lost={others_lost}",
        answered.as_millis(),
        ms(&same_process, 500),
        ms(&same_process, 1000),
        ms(&elsewhere, 500),
        ms(&elsewhere, 1000),
    );
    let after_answer =
        same_process.iter().max().map(|end| end.saturating_sub(answered)).unwrap_or_default();
    assert!(after_answer <= SAME_PROCESS, "{after_answer:?} at the process that was told");
    assert!(elsewhere.iter().all(|end| *end <= MESH_WIDE), "{:?} elsewhere", elsewhere.last());
    assert_eq!(same_process.len() + elsewhere.len(), connections);
    assert_eq!((accepted, refused, others_lost), (0, connections, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn live_connections_of_a_revoked_key_end_everywhere_with_keys_in_sqlite() -> TestResult {
    let shared = scratch();
    let registry = shared.path().join("registry.sqlite");
    measure("sqlite", registry.to_str().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn live_connections_of_a_revoked_key_end_everywhere_with_keys_in_postgres() -> TestResult {
    let database = Postgres::shared().await?.database().await?;
    measure("postgres", &database.url()).await
}
