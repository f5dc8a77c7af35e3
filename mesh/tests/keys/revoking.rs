//! How a key ceases to be good.

use std::time::Duration;

use amp_proto::{CallError, Lost};
use cluster::JoinError;
use mesh::KeyPair;
use mesh::commands::CannotJoin;
use region::{RegionController, StartError};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::world::{HOUR, Wait, WhoAmI, World, client_for, dial, join, member};

const SOON: Duration = Duration::from_secs(1);

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn revoking_a_key_ends_its_connections_at_once_at_every_region_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.sqlite");
    // Two processes that share a file and nothing else.
    let mut world = World::new();
    world.keys = std::sync::Arc::new(region::SqliteKeys::open(&path).await.unwrap());
    let first = world.region().await;
    let mut elsewhere = world.clone();
    elsewhere.keys = std::sync::Arc::new(region::SqliteKeys::open(&path).await.unwrap());
    let second = elsewhere.region().await;

    let (me, other) = (member(&first).await, member(&second).await);
    let mine = [dial(&first, &me.pair).await.unwrap(), dial(&second, &me.pair).await.unwrap()];
    let others = dial(&second, &other.pair).await.unwrap();
    for client in mine.iter().chain([&others]) {
        client.call(WhoAmI).await.unwrap();
    }
    let waiting = mine.each_ref().map(|client| client.call(Wait));
    let ended = async {
        let ended = futures_util::future::join_all(waiting).await;
        assert!(ended.iter().all(|it| matches!(it, Err(CallError::Lost { .. }))), "{ended:?}");
        Instant::now()
    };
    let revoking = async {
        // The asks are on their way when the key is revoked.
        tokio::task::yield_now().await;
        assert_eq!(first.revoke(&me.pair.public()).await.unwrap().len(), 1);
        // How long the disk takes to keep it is not what is measured.
        Instant::now()
    };
    let (ended, revoked) = timeout(PATIENCE, async { tokio::join!(ended, revoking) })
        .await
        .expect("connections end, wherever they are");
    let took = ended.saturating_duration_since(revoked);
    assert!(took < SOON, "connections end within a second: {took:?}");
    others.call(WhoAmI).await.expect("nobody else is concerned");

    for region in [&first, &second] {
        let refused = dial(region, &me.pair).await.unwrap().call(WhoAmI).await.unwrap_err();
        assert!(
            matches!(&refused, CallError::Undeclared { code, .. } if code == "KEY_REVOKED"),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_key_that_was_revoked_by_a_clock_that_is_ahead_is_refused_at_once() {
    let world = World::new();
    let region = world.region().await;
    let (me, other) = (member(&region).await, member(&region).await);
    let mine = dial(&region, &me.pair).await.unwrap();
    let others = dial(&region, &other.pair).await.unwrap();
    for client in [&mine, &others] {
        client.call(WhoAmI).await.unwrap();
    }
    // As another region process writes it down, whose clock is an hour ahead.
    let ahead = std::time::SystemTime::now() + HOUR;
    assert_eq!(world.keys.revoke(&me.pair.public(), ahead).await.unwrap().len(), 1);
    timeout(PATIENCE, mine.link().closed()).await.expect("it does not wait for that hour");
    let refused = dial(&region, &me.pair).await.unwrap().call(WhoAmI).await.unwrap_err();
    let is_told = matches!(&refused, CallError::Undeclared { code, .. } if code == "KEY_REVOKED");
    assert!(is_told, "{refused:?}");
    others.call(WhoAmI).await.expect("nobody else is concerned");
}

#[tokio::test]
async fn a_cluster_whose_key_was_revoked_is_gone_and_does_not_come_back() {
    let world = World::new();
    let region = world.region().await;
    let me = member(&region).await;
    let cluster = world.cluster(&me).await;
    let client = client_for(&region, me.uuid).await;
    region.revoke(&me.pair.public()).await.unwrap();
    let gone =
        timeout(SOON, region.pool().wait_until(|pool| pool.get(&me.uuid).is_none().then_some(())));
    gone.await.expect("the pool is empty");
    assert!(matches!(client.call(WhoAmI).await, Err(CallError::Lost { .. })));
    let back = region.get_client_for_within(me.uuid, Duration::from_millis(300)).await;
    assert!(back.is_err(), "it tries, and is refused");
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_region_process_whose_key_was_revoked_is_left_and_not_believed_any_more() {
    let world = World::new();
    let (first, second) = (world.region().await, world.region().await);
    let me = member(&first).await;
    let cluster = world.cluster(&me).await;
    for region in [&first, &second] {
        client_for(region, me.uuid).await;
    }
    first.revoke(&second.key().unwrap()).await.unwrap();
    let gone = second.pool().wait_until(|pool| pool.get(&me.uuid).is_none().then_some(()));
    timeout(SOON, gone).await.expect("it is left");
    client_for(&first, me.uuid).await.call(WhoAmI).await.unwrap();
    let back = second.get_client_for_within(me.uuid, Duration::from_millis(300)).await;
    assert!(back.is_err(), "nobody comes back to it");
    let key = second.key().unwrap();
    let refused = second.invite(HOUR).await.map(drop);
    assert!(
        matches!(&refused, Err(region::KeysError::Revoked { key: own }) if *own == key),
        "{refused:?}"
    );
    cluster.shutdown().await;
}

#[tokio::test]
async fn nobody_joins_through_a_region_process_whose_key_was_revoked() {
    let world = World::new();
    let region = world.region().await;
    let token = region.invite(HOUR).await.unwrap();
    region.revoke(&region.key().unwrap()).await.unwrap();
    let refused = join(&token).await.unwrap_err();
    assert!(
        matches!(
            &refused,
            JoinError::Refused { error: CallError::Declared(CannotJoin::Unavailable), .. }
        ),
        "{refused:?}"
    );
    // The invite is as good as it was, with whoever is believed.
    let other = world.region().await;
    let mut elsewhere = token;
    elsewhere.keys = vec![other.key().unwrap()];
    elsewhere.addresses = vec![other.address().to_owned()];
    join(&elsewhere).await.unwrap();
}

#[tokio::test]
async fn whoever_has_the_key_of_a_region_and_is_leaving_is_left_at_once_when_it_is_revoked() {
    let (world, pair) = (World::new(), KeyPair::generate());
    let first = world.region().await;
    let owner = world.region_builder().key_pair(pair.clone()).start().await.unwrap();
    let me = member(&first).await;
    owner.shutdown().await;
    // The thief knows what there is to know, and hears of nothing that becomes of it.
    let elsewhere = World::new();
    for known in world.keys.list().await.unwrap() {
        elsewhere.keys.enrol(&known).await.unwrap();
    }
    let thief = elsewhere.region_builder().key_pair(pair.clone()).start().await.unwrap();
    let cluster = world.cluster_builder(&me).region(thief.address()).start().await.unwrap();
    client_for(&first, me.uuid).await;
    let client = client_for(&thief, me.uuid).await;
    let mut waiting = JoinSet::new();
    let waiter = client.clone().within(Duration::from_secs(60));
    waiting.spawn(async move { waiter.call(Wait).await });
    timeout(PATIENCE, async {
        while world.desk.asked.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is being waited");
    client.leave().await;
    // The cluster has heard of it, and goes on with what it was asked.
    let left = cluster.pool().wait_until(|pool| (pool.all().len() == 1).then_some(()));
    timeout(PATIENCE, left).await.expect("nobody asks it any more");
    assert!(waiting.try_join_next().is_none());

    first.revoke(&pair.public()).await.unwrap();
    let ended = timeout(PATIENCE, waiting.join_next()).await.expect("nothing goes on");
    let ended = ended.unwrap().unwrap();
    assert!(matches!(ended, Err(CallError::Lost { .. })), "{ended:?}");
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_region_process_does_not_start_with_a_key_that_was_revoked() {
    let world = World::new();
    let pair = KeyPair::generate();
    let region = world.region_builder().key_pair(pair.clone()).start().await.unwrap();
    region.shutdown().await;
    let again = world.region_builder().key_pair(pair.clone()).start().await.unwrap();
    again.revoke(&pair.public()).await.unwrap();
    again.shutdown().await;
    let refused = world.region_builder().key_pair(pair.clone()).start().await;
    assert!(
        matches!(refused, Err(StartError::KeyRefused { key }) if key == pair.public()),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_region_does_not_start_with_the_key_of_a_cluster() {
    let world = World::new();
    let region: RegionController = world.region().await;
    let me = member(&region).await;
    let refused = world.region_builder().key_pair(me.pair).start().await;
    assert!(matches!(refused, Err(StartError::KeyRefused { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_cluster_does_not_get_in_with_the_key_of_a_region() {
    let world = World::new();
    let pair = KeyPair::generate();
    let _other = world.region_builder().key_pair(pair.clone()).start().await.unwrap();
    let region = world.region().await;
    let refused = dial(&region, &pair).await.unwrap().call(WhoAmI).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(!matches!(refused, Err(CallError::Lost { lost: Lost::ClosedHere, .. })));
}
