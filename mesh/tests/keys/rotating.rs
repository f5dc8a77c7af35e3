//! How a key is followed by the next.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amp_proto::CallError;
use bytes::Bytes;
use cluster::{KeyStep, RotateError};
use mesh::KeyPair;
use mesh::commands::{AnnounceKey, CannotAnnounceKey, CannotRotateKey, RotateKey};
use tokio::time::timeout;

use crate::world::{WhoAmI, World, client_for, dial, member};

const SOON: Duration = Duration::from_secs(5);

/// A place for key pairs that outlives the cluster.
type Kept = Arc<Mutex<Vec<(KeyStep, KeyPair)>>>;

fn keep_in(kept: &Kept) -> impl Fn(KeyStep, &KeyPair) -> io::Result<()> + Send + Sync + 'static {
    let kept = Arc::clone(kept);
    move |step, pair| {
        kept.lock().unwrap().push((step, pair.clone()));
        Ok(())
    }
}

#[tokio::test]
async fn a_cluster_changes_its_key_and_stays_the_same_cluster() {
    let world = World::new();
    let region = world.region().await;
    let me = member(&region).await;
    let kept = Kept::default();
    let cluster = world.cluster_builder(&me).keep_keys(keep_in(&kept)).start().await.unwrap();
    client_for(&region, me.uuid).await;

    // The region asks for it; the answer comes over the old connection.
    let rotated = client_for(&region, me.uuid).await.call(RotateKey).await.unwrap();
    assert_eq!(cluster.key(), Some(rotated.key));
    assert_ne!(rotated.key, me.pair.public());
    let steps: Vec<_> =
        kept.lock().unwrap().iter().map(|(step, pair)| (*step, pair.public())).collect();
    assert_eq!(
        steps,
        [(KeyStep::Announcing, rotated.key), (KeyStep::Announced, rotated.key)],
        "it is kept before anybody hears of it"
    );

    let shown = region.pool().wait_until(|pool| {
        let link = pool.get(&me.uuid)?;
        let key = link.peer().key.as_ref()?.key;
        (key == rotated.key).then_some(())
    });
    timeout(SOON, shown).await.expect("the connection is made anew with the new key");
    client_for(&region, me.uuid).await.call(WhoAmI).await.unwrap();
    let old = dial(&region, &me.pair).await.unwrap();
    old.call(WhoAmI).await.expect("the old key is good for a while");
    cluster.shutdown().await;
}

#[tokio::test]
async fn the_old_key_is_of_no_use_when_the_overlap_is_over() {
    let world = World::new();
    let region =
        world.region_builder().key_overlap(Duration::from_millis(100)).start().await.unwrap();
    let me = member(&region).await;
    let cluster = world.cluster_builder(&me).keep_keys(|_, _| Ok(())).start().await.unwrap();
    let old = dial(&region, &me.pair).await.unwrap();
    let waiting = old.call(crate::world::Wait);
    let rotated = cluster.rotate_key();
    let (ended, rotated) = timeout(SOON, async { tokio::join!(waiting, rotated) }).await.unwrap();
    let next = rotated.unwrap();
    assert!(matches!(ended, Err(CallError::Lost { .. })), "{ended:?}");
    let refused = dial(&region, &me.pair).await.unwrap().call(WhoAmI).await.unwrap_err();
    assert!(matches!(&refused, CallError::Undeclared { code, .. } if code == "KEY_REVOKED"));
    let shown = region
        .pool()
        .wait_until(|pool| (pool.get(&me.uuid)?.peer().key.as_ref()?.key == next).then_some(()));
    timeout(SOON, shown).await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_cluster_that_died_while_it_changed_its_key_goes_on_with_the_next() {
    let world = World::new();
    let region = world.region_builder().key_overlap(Duration::ZERO).start().await.unwrap();
    let me = member(&region).await;
    // A region took the next key, and the cluster never heard of it.
    let next = KeyPair::generate();
    let signature = next.sign(AnnounceKey::PURPOSE, me.pair.public().as_bytes());
    let announce = AnnounceKey { next: next.public(), signature: Bytes::from(signature) };
    dial(&region, &me.pair).await.unwrap().call(announce).await.unwrap();

    let kept = Kept::default();
    let cluster = world.cluster_builder(&me).keep_keys(keep_in(&kept)).next_key_pair(next.clone());
    let cluster = cluster.start().await.unwrap();
    client_for(&region, me.uuid).await.call(WhoAmI).await.unwrap();
    assert_eq!(cluster.key(), Some(next.public()));
    assert_eq!(kept.lock().unwrap().len(), 1);
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_next_key_that_cannot_be_kept_is_not_announced() {
    let world = World::new();
    let region = world.region().await;
    let me = member(&region).await;
    let full = |_, _: &KeyPair| Err(io::ErrorKind::StorageFull.into());
    let cluster = world.cluster_builder(&me).keep_keys(full).start().await.unwrap();
    let client = client_for(&region, me.uuid).await;
    assert!(matches!(cluster.rotate_key().await, Err(RotateError::Keep(_))));
    let refused = client.call(RotateKey).await;
    assert!(matches!(refused, Err(CallError::Declared(CannotRotateKey::Failed(_)))));
    assert_eq!(region.keys().await.unwrap().len(), 2, "the region and the cluster");
    assert_eq!(cluster.key(), Some(me.pair.public()));
    cluster.shutdown().await;
}

#[tokio::test]
async fn nobody_announces_a_key_that_is_another_s() {
    let world = World::new();
    let region = world.region().await;
    let (me, victim) = (member(&region).await, KeyPair::generate());
    let client = dial(&region, &me.pair).await.unwrap();
    let forged = me.pair.sign(AnnounceKey::PURPOSE, me.pair.public().as_bytes());
    let announce = AnnounceKey { next: victim.public(), signature: Bytes::from(forged) };
    let refused = client.call(announce).await.unwrap_err();
    assert_eq!(refused, CallError::Declared(CannotAnnounceKey::BadSignature));

    // A signature that was made to follow another key is of no use here.
    let other = member(&region).await;
    let overheard = victim.sign(AnnounceKey::PURPOSE, other.pair.public().as_bytes());
    let announce = AnnounceKey { next: victim.public(), signature: Bytes::from(overheard) };
    let refused = client.call(announce).await.unwrap_err();
    assert_eq!(refused, CallError::Declared(CannotAnnounceKey::BadSignature));
}

#[tokio::test]
async fn a_region_changes_its_key_and_its_clusters_follow() {
    let world = World::new();
    let region = world.region().await;
    let me = member(&region).await;
    let pins = mesh::Pins::new(me.membership.keys.iter().copied());
    let cluster = world.cluster_builder(&me).region_keys(pins.clone()).start().await.unwrap();
    client_for(&region, me.uuid).await;
    let (present, next) = (region.key().unwrap(), KeyPair::generate());
    region.rotate_key(next.clone(), Duration::from_millis(1500)).await.unwrap();
    let believed = async {
        let mut changes = pins.changes();
        changes.wait_for(|keys| keys.contains(&next.public())).await.unwrap();
    };
    timeout(SOON, believed).await.expect("clusters are told");
    let shown = region.pool().wait_until(|pool| {
        (pool.get(&me.uuid)?.peer().key.as_ref()?.own == next.public()).then_some(())
    });
    timeout(SOON, shown).await.expect("connections are made anew with the next key");
    let forgotten = async {
        let mut changes = pins.changes();
        changes.wait_for(|keys| !keys.contains(&present)).await.unwrap();
    };
    timeout(SOON, forgotten).await.expect("the old key is not believed when the overlap is over");
    client_for(&region, me.uuid).await.call(WhoAmI).await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test]
async fn calls_go_on_while_a_cluster_changes_its_key() {
    let world = World::new();
    let (first, second) = (world.region().await, world.region().await);
    let me = member(&first).await;
    let cluster = world.cluster_builder(&me).keep_keys(|_, _| Ok(())).start().await.unwrap();
    for region in [&first, &second] {
        client_for(region, me.uuid).await;
    }
    let rotating = async {
        let next = cluster.rotate_key().await.unwrap();
        for region in [&first, &second] {
            let shown = region.pool().wait_until(|pool| {
                (pool.get(&me.uuid)?.peer().key.as_ref()?.key == next).then_some(())
            });
            timeout(SOON, shown).await.expect("every connection is made anew");
        }
    };
    let mut rotating = std::pin::pin!(rotating);
    let mut calls = 0;
    loop {
        let calling = async {
            let asked = cluster.get_client().await.unwrap().call(WhoAmI).await.unwrap();
            assert_eq!(asked.ident, Some(me.uuid.to_string()), "whichever key is shown");
        };
        tokio::select! {
            () = &mut rotating => break,
            () = calling => calls += 1,
        }
    }
    assert!(calls > 0);
    cluster.shutdown().await;
}
