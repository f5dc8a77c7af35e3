//! Region processes that share their keys through PostgreSQL, each with connections of its own to
//! it. Over loopback TCP and TLS, in real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use amp_proto::{CallError, Limits, Never, PublicKey, Region, Responders};
use cluster::{ClusterController, JoinError, Joining, Membership};
use mesh::commands::{CannotJoin, RotateKey};
use mesh::{
    BackoffSettings, Client, ClusterId, InviteToken, KeyPair, Listen, Pins, TcpTransport,
    Transport as _, connect_by_key,
};
use mesh_harness::TestResult;
use postgres_harness::{Database, Postgres};
use region::{KeysError, PostgresKeys, PostgresRegistry, RegionController, RegistryError};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::desk::{Desk, Sum, Total};

const HOUR: Duration = Duration::from_secs(3600);
/// How long anything may take before a test fails: a server that stood still has to come to itself,
/// on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(40);
/// How soon the connections of a revoked key have to end everywhere.
const MESH_WIDE: Duration = Duration::from_secs(5);

/// A region process, as if it had a machine of its own.
async fn region(url: &str) -> TestResult<RegionController> {
    let (keys, registry) = (url.parse()?, url.parse()?);
    let region = RegionController::builder()
        .listen(Listen::loopback())
        .key_pair(KeyPair::generate())
        .keys(Arc::new(PostgresKeys::open(keys).await?))
        .registry(Arc::new(PostgresRegistry::open(registry).await?))
        .client_wait(PATIENCE)
        // Longer than a busy machine needs to make connections anew.
        .key_overlap(Duration::from_secs(3))
        .responders(Desk::default());
    Ok(region.start().await?)
}

/// A cluster that has joined, and does not run yet.
struct Member {
    uuid: ClusterId,
    pair: KeyPair,
    membership: Membership,
}

impl Member {
    fn new() -> Self {
        let membership = Membership { keys: Vec::new(), addresses: Vec::new() };
        Self { uuid: ClusterId::random(), pair: KeyPair::generate(), membership }
    }

    /// Joins by this region process and no other.
    async fn join(&mut self, token: &InviteToken, by: &RegionController) -> Result<(), JoinError> {
        let token = InviteToken { addresses: vec![by.address().to_owned()], ..token.clone() };
        let joining = Joining::new(token, self.pair.clone(), self.uuid, "rack");
        self.membership = joining.join().await?;
        Ok(())
    }

    async fn start(&self) -> TestResult<ClusterController> {
        let (first, max) = (Duration::from_millis(10), Duration::from_millis(50));
        let cluster = ClusterController::builder()
            .uuid(self.uuid)
            .name("rack")
            .key_pair(self.pair.clone())
            .keep_keys(|_, _| Ok(()))
            .region_keys(Pins::new(self.membership.keys.iter().copied()))
            .regions(self.membership.addresses.iter().cloned())
            .backoff(BackoffSettings { first, max, ..BackoffSettings::default() })
            .responders(Desk::default());
        Ok(cluster.start().await?)
    }
}

/// A cluster that was invited by one region process and has joined by another.
async fn member(invited_by: &RegionController, joins_by: &RegionController) -> TestResult<Member> {
    let mut member = Member::new();
    member.join(&invited_by.invite(HOUR).await?, joins_by).await?;
    Ok(member)
}

/// A bare connection, which is driven for as long as this is held.
struct Dialled {
    client: Client<Region>,
    _driving: JoinSet<()>,
}

async fn dial(region: &RegionController, pair: &KeyPair) -> TestResult<Dialled> {
    let address = region.address().to_owned();
    let stream = TcpTransport::new().connect(&address).await?;
    let pins = Pins::new(region.key());
    let limits = Arc::new(Limits::default());
    let (link, driving) = connect_by_key(stream, address, pair, pins, limits)
        .await?
        .drive(Arc::new(Responders::new()));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(driving.await) });
    Ok(Dialled { client: Client::new(link).within(PATIENCE), _driving: tasks })
}

impl Dialled {
    async fn ask(&self) -> Result<Total, CallError<Never>> {
        self.client.call(Sum { a: 1, b: 1 }).await
    }

    async fn is_refused_with(&self, expected: &str) {
        let refused = self.ask().await.unwrap_err();
        let is_told = matches!(&refused, CallError::Undeclared { code, .. } if code == expected);
        assert!(is_told, "{refused:?}");
    }

    async fn until_closed(&self) {
        self.client.link().closed().await;
    }
}

async fn call(region: &RegionController, uuid: ClusterId) -> TestResult {
    let client = region.get_client_for(uuid).await?;
    assert_eq!(client.call(Sum { a: 1, b: 1 }).await?, Total { total: 2 });
    Ok(())
}

/// Waits until a region process has noticed that it has a way to its keys, or none.
async fn until_it_can_look_up(region: &RegionController, can: bool) -> TestResult {
    let noticed = async {
        while region.keys().await.is_ok() != can {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    Ok(timeout(PATIENCE, noticed).await?)
}

/// Waits until the newest connection of a cluster was proved with these keys, of whichever side.
async fn until_shown(
    region: &RegionController,
    uuid: ClusterId,
    is_shown: impl Fn([PublicKey; 2]) -> bool + Send + Sync,
) -> TestResult {
    let shown = region.pool().wait_until(|pool| {
        let link = pool.get(&uuid)?;
        let keys = link.peer().key.as_ref()?;
        is_shown([keys.key, keys.own]).then_some(())
    });
    Ok(timeout(PATIENCE, shown).await?)
}

#[tokio::test]
async fn of_two_who_come_with_one_invite_at_two_region_processes_one_is_let_in() -> TestResult {
    let database = Postgres::shared().await?.database().await?;
    let regions = [region(&database.url()).await?, region(&database.url()).await?];
    for round in 0..5 {
        let token = regions[round % 2].invite(HOUR).await?;
        let (mut one, mut other) = (Member::new(), Member::new());
        let both = tokio::join!(one.join(&token, &regions[0]), other.join(&token, &regions[1]));
        let (joined, refused) = match both {
            (Ok(()), Err(refused)) => (one, refused),
            (Err(refused), Ok(())) => (other, refused),
            both => panic!("{both:?}"),
        };
        let is_told = matches!(
            &refused,
            JoinError::Refused { error: CallError::Declared(CannotJoin::Used), .. }
        );
        assert!(is_told, "{refused:?}");
        for region in &regions {
            dial(region, &joined.pair).await?.ask().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_region_process_that_lost_the_database_catches_up_with_what_was_revoked() -> TestResult {
    let database = Postgres::shared().await?.database().await?;
    let Database { name, password, .. } = &database;
    // The second process comes to the database as somebody else, who can be shut out.
    let other = format!("{name}_other");
    let made = format!("CREATE ROLE {other} LOGIN PASSWORD '{password}' IN ROLE {name}");
    database.execute(&made).await?;
    let url = database.url().replace(&format!("user={name}"), &format!("user={other}"));
    let (here, there) = (region(&database.url()).await?, region(&url).await?);
    let (me, bystander) = (member(&here, &there).await?, member(&there, &here).await?);
    let (near, far) = (dial(&here, &me.pair).await?, dial(&there, &me.pair).await?);
    let others = dial(&there, &bystander.pair).await?;
    for dialled in [&near, &far, &others] {
        dialled.ask().await?;
    }

    database
        .execute(&format!(
            "ALTER ROLE {other} CONNECTION LIMIT 0;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{other}'"
        ))
        .await?;
    until_it_can_look_up(&there, false).await?;
    assert_eq!(here.revoke(&me.pair.public()).await?.len(), 1);
    timeout(MESH_WIDE, near.until_closed()).await?;
    // Whoever cannot hear of it goes by what it knows, and says so in its log.
    far.ask().await?;
    dial(&there, &me.pair).await?.ask().await?;

    database.execute(&format!("ALTER ROLE {other} CONNECTION LIMIT -1")).await?;
    let began = Instant::now();
    timeout(MESH_WIDE, far.until_closed()).await?;
    println!("caught up after {} ms", began.elapsed().as_millis());
    for region in [&here, &there] {
        dial(region, &me.pair).await?.is_refused_with("KEY_REVOKED").await;
    }
    others.ask().await?;
    Ok(())
}

#[tokio::test]
async fn no_call_fails_while_a_cluster_and_a_region_process_change_their_keys() -> TestResult {
    let database = Postgres::shared().await?.database().await?;
    let regions = [region(&database.url()).await?, region(&database.url()).await?];
    let me = member(&regions[0], &regions[1]).await?;
    let cluster = me.start().await?;
    for region in &regions {
        call(region, me.uuid).await?;
    }
    let (is_over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for region in regions.clone() {
        let (is_over, calls, uuid) = (Arc::clone(&is_over), Arc::clone(&calls), me.uuid);
        callers.spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                call(&region, uuid).await?;
                calls.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
            TestResult::Ok(())
        });
    }

    let rotated = regions[0].get_client_for(me.uuid).await?.call(RotateKey).await?;
    for region in &regions {
        until_shown(region, me.uuid, |keys| keys.contains(&rotated.key)).await?;
    }
    let next = KeyPair::generate();
    let (following, overlap) = (next.public(), Duration::from_secs(2));
    regions[1].rotate_key(next, overlap).await?;
    until_shown(&regions[1], me.uuid, |keys| keys.contains(&following)).await?;
    // Until neither of the old keys is good.
    let old = dial(&regions[0], &me.pair).await?;
    timeout(PATIENCE, old.until_closed()).await?;
    is_over.store(true, Ordering::SeqCst);
    while let Some(called) = callers.join_next().await {
        called??;
    }
    let calls = calls.load(Ordering::SeqCst);
    println!("{calls} calls, and none has failed");
    assert!(calls > 0);
    cluster.shutdown().await;
    Ok(())
}

fn is_put_off(error: &JoinError) -> bool {
    matches!(error, JoinError::Refused { error: CallError::Declared(CannotJoin::Unavailable), .. })
}

fn is_told_why(error: &KeysError) -> bool {
    let KeysError::Registry(error) = error else { return false };
    matches!(error, RegistryError::Unreachable { .. } | RegistryError::TooSlow { .. })
}

/// What holds at region processes that have no way to their keys, for a cluster that is known and
/// connected, and one that comes with a token.
async fn lives_on(
    regions: &[RegionController],
    me: &Member,
    cluster: ClusterController,
    late: &mut Member,
    token: &InviteToken,
) -> TestResult<ClusterController> {
    for region in regions {
        until_it_can_look_up(region, false).await?;
        call(region, me.uuid).await?;
    }
    // Who was known is known, also when he comes back.
    cluster.shutdown().await;
    for region in regions {
        let is_gone = region.pool().wait_until(|pool| pool.get(&me.uuid).is_none().then_some(()));
        timeout(PATIENCE, is_gone).await?;
    }
    let cluster = me.start().await?;
    for region in regions {
        call(region, me.uuid).await?;
        let refused = late.join(token, region).await.unwrap_err();
        assert!(is_put_off(&refused), "{refused:?}");
        dial(region, &late.pair).await?.is_refused_with("KEYS_UNAVAILABLE").await;
        let unable = [
            region.invite(HOUR).await.map(drop).unwrap_err(),
            region.revoke(&me.pair.public()).await.map(drop).unwrap_err(),
        ];
        assert!(unable.iter().all(is_told_why), "{unable:?}");
    }
    let rotating = regions[0].get_client_for(me.uuid).await?.call(RotateKey).await;
    assert!(rotating.is_err(), "a key that nobody can write down is not taken");
    call(&regions[0], me.uuid).await?;
    Ok(cluster)
}

/// What holds once the database is back.
async fn is_as_before(
    regions: &[RegionController],
    me: &Member,
    late: &mut Member,
    token: &InviteToken,
) -> TestResult {
    let joined = async {
        while let Err(error) = late.join(token, &regions[0]).await {
            // Or it took too long: the region may have asked just before.
            let is_refused =
                matches!(&error, JoinError::Refused { error: CallError::Declared(_), .. });
            assert!(is_put_off(&error) || !is_refused, "{error:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, joined).await?;
    for region in regions {
        until_it_can_look_up(region, true).await?;
        dial(region, &late.pair).await?.ask().await?;
    }
    assert_eq!(regions[0].revoke(&me.pair.public()).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn while_the_database_is_stopped_the_known_go_on_and_others_are_put_off() -> TestResult {
    let server = Postgres::own().await?;
    let database = server.database().await?;
    let regions = [region(&database.url()).await?, region(&database.url()).await?];
    let (me, token) = (member(&regions[0], &regions[1]).await?, regions[0].invite(HOUR).await?);
    let (cluster, mut late) = (me.start().await?, Member::new());
    server.stop().await?;
    let cluster = lives_on(&regions, &me, cluster, &mut late, &token).await?;
    server.start().await?;
    is_as_before(&regions, &me, &mut late, &token).await?;
    cluster.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn while_the_database_stands_still_the_known_go_on_and_others_are_put_off() -> TestResult {
    let server = Postgres::own().await?;
    let database = server.database().await?;
    let regions = [region(&database.url()).await?];
    let (me, token) = (member(&regions[0], &regions[0]).await?, regions[0].invite(HOUR).await?);
    let (cluster, mut late) = (me.start().await?, Member::new());
    server.freeze()?;
    let cluster = lives_on(&regions, &me, cluster, &mut late, &token).await;
    server.thaw()?;
    let cluster = cluster?;
    is_as_before(&regions, &me, &mut late, &token).await?;
    cluster.shutdown().await;
    Ok(())
}
