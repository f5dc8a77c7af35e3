//! How a cluster becomes known.

use std::time::Duration;

use amp_proto::CallError;
use bytes::Bytes;
use cluster::{JoinError, Joining};
use mesh::commands::{CannotJoin, Join, ListRegionKeys};
use mesh::{HandshakeError, InviteToken, KeyPair};

use crate::world::{HOUR, Member, WhoAmI, World, You, client_for, dial, join, member};

fn refusal(error: &JoinError) -> Option<&CannotJoin> {
    match error {
        JoinError::Refused { error: CallError::Declared(error), .. } => Some(error),
        _ => None,
    }
}

#[tokio::test]
async fn a_cluster_joins_with_an_invite_and_both_sides_know_whom_they_ask() {
    let world = World::new();
    let region = world.region().await;
    let me = member(&region).await;
    assert_eq!(me.membership.keys, [region.key().unwrap()]);
    let cluster = world.cluster(&me).await;

    let asked = client_for(&region, me.uuid).await.call(WhoAmI).await.unwrap();
    let expected = You {
        role: "region".to_owned(),
        ident: asked.ident.clone(),
        key: region.key(),
        by_key: true,
    };
    assert_eq!(asked, expected);
    let asked = cluster.get_client().await.unwrap().call(WhoAmI).await.unwrap();
    let expected = You {
        role: "cluster".to_owned(),
        ident: Some(me.uuid.to_string()),
        key: Some(me.pair.public()),
        by_key: true,
    };
    assert_eq!(asked, expected);
    cluster.shutdown().await;
    region.shutdown().await;
}

#[tokio::test]
async fn whoever_joined_at_one_region_process_is_known_to_all() {
    let world = World::new();
    let (first, second) = (world.region().await, world.region().await);
    let me = member(&first).await;
    let mut keys = [first.key().unwrap(), second.key().unwrap()];
    keys.sort_unstable();
    assert_eq!(me.membership.keys, keys);
    let cluster = world.cluster(&me).await;
    for region in [&first, &second] {
        client_for(region, me.uuid).await.call(WhoAmI).await.unwrap();
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_region_process_that_comes_later_is_believed_as_well() {
    let world = World::new();
    let first = world.region().await;
    let me = member(&first).await;
    let cluster = world.cluster(&me).await;
    client_for(&first, me.uuid).await;
    let second = world.region().await;
    client_for(&second, me.uuid).await.call(WhoAmI).await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test]
async fn an_invite_that_was_used_is_of_no_use() {
    let world = World::new();
    let region = world.region().await;
    let token = region.invite(HOUR).await.unwrap();
    join(&token).await.unwrap();
    let error = join(&token).await.unwrap_err();
    assert_eq!(refusal(&error), Some(&CannotJoin::Used), "{error:?}");
    assert_eq!(region.keys().await.unwrap().len(), 2, "the region and one cluster");
}

#[tokio::test]
async fn an_invite_that_has_expired_is_of_no_use() {
    let world = World::new();
    let region = world.region().await;
    let token = region.invite(Duration::ZERO).await.unwrap();
    let error = join(&token).await.unwrap_err();
    assert_eq!(refusal(&error), Some(&CannotJoin::Expired), "{error:?}");
}

#[tokio::test]
async fn of_two_who_come_with_one_invite_at_once_one_is_let_in() {
    let world = World::new();
    let (first, second) = (world.region().await, world.region().await);
    let token = first.invite(HOUR).await.unwrap();
    // At two processes, and several times at each.
    let at_second = InviteToken {
        keys: vec![second.key().unwrap()],
        addresses: vec![second.address().to_owned()],
        ..token.clone()
    };
    let joined = tokio::join!(join(&token), join(&at_second), join(&token), join(&at_second),);
    let outcomes: [Result<Member, JoinError>; 4] = joined.into();
    assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 1, "{outcomes:?}");
    let refusals = outcomes.iter().filter_map(|it| it.as_ref().err());
    assert!(refusals.into_iter().all(|it| refusal(it) == Some(&CannotJoin::Used)), "{outcomes:?}");
}

#[tokio::test]
async fn the_secret_of_an_invite_is_not_told_to_a_region_with_another_key() {
    let world = World::new();
    let region = world.region().await;
    let token = region.invite(HOUR).await.unwrap();
    // Somebody on the way answers in the region's place.
    let between = World::new().region().await;
    let misled = InviteToken { addresses: vec![between.address().to_owned()], ..token.clone() };
    let error = join(&misled).await.unwrap_err();
    let key = between.key().unwrap();
    assert!(
        matches!(
            &error,
            JoinError::Handshake { error: HandshakeError::UnknownRegion { key: shown }, .. }
                if *shown == key
        ),
        "{error:?}"
    );
    join(&token).await.expect("the invite is as good as new");
}

#[tokio::test]
async fn a_cluster_that_did_not_hear_the_answer_may_ask_again() {
    let world = World::new();
    let region = world.region().await;
    let token = region.invite(HOUR).await.unwrap();
    let me = join(&token).await.unwrap();
    let again = Joining::new(token, me.pair.clone(), me.uuid, "north").join().await.unwrap();
    assert_eq!(again.keys, me.membership.keys);
}

#[tokio::test]
async fn nobody_joins_under_the_uuid_of_another_key() {
    let world = World::new();
    let region = world.region().await;
    let me = member(&region).await;
    let token = region.invite(HOUR).await.unwrap();
    // Operators call region processes by their identities as well.
    let of_region: mesh::ClusterId = region.id().as_str().parse().unwrap();
    for uuid in [me.uuid, of_region] {
        let thief = Joining::new(token.clone(), KeyPair::generate(), uuid, "thief");
        let error = thief.join().await.unwrap_err();
        assert_eq!(refusal(&error), Some(&CannotJoin::UuidTaken), "{error:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_enrolled_is_answered_one_ask_and_only_join() {
    let world = World::new();
    let region = world.region().await;
    let client = dial(&region, &KeyPair::generate()).await.unwrap();
    let refused = client.call(WhoAmI).await.unwrap_err();
    assert!(
        matches!(&refused, CallError::Undeclared { code, .. } if code == "NOT_ENROLLED"),
        "{refused:?}"
    );
    assert!(client.call(ListRegionKeys).await.is_err(), "the connection is closed");
    assert_eq!(world.desk.asked.load(std::sync::atomic::Ordering::SeqCst), 0);

    // What follows a try to join in the same breath is not answered either.
    let client = dial(&region, &KeyPair::generate()).await.unwrap();
    let token = region.invite(HOUR).await.unwrap();
    let join = Join {
        invite: Bytes::copy_from_slice(&token.id.0),
        secret: Bytes::from_static(&[0; 16]),
        uuid: mesh::ClusterId::random().to_string(),
        name: "north".to_owned(),
    };
    let (joined, asked) = tokio::join!(client.call(join), client.call(WhoAmI));
    assert_eq!(joined.unwrap_err(), CallError::Declared(CannotJoin::NoSuchInvite));
    assert!(asked.is_err());
    assert_eq!(world.desk.asked.load(std::sync::atomic::Ordering::SeqCst), 0);
}
