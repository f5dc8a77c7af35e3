//! What a store of keys promises, wherever it keeps them: one suite for every kind.
//!
//! What is peculiar to one kind is in [`files`] and [`databases`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

mod databases;
mod files;
mod kinds;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amp_proto::RoleName;
use mesh::{InviteToken, KeyPair, PublicKey};
use region::{Enrolment, Invite, KeyEntry, Keys};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::kinds::{InPostgres, Kind, Memory, Sqlite};

/// What a test gives: any error fails it.
type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Each of these is a test of every kind of store.
macro_rules! conformance {
    ($($promise:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $promise() -> super::TestResult {
                super::$promise(<super::Memory as super::Kind>::new().await).await
            })+
        }

        mod sqlite {
            $(#[tokio::test]
            async fn $promise() -> super::TestResult {
                super::$promise(<super::Sqlite as super::Kind>::new().await).await
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $promise() -> super::TestResult {
                super::$promise(<super::InPostgres as super::Kind>::new().await).await
            })+
        }
    };
}

conformance!(
    what_was_enrolled_is_found_and_listed_everywhere,
    keys_are_listed_page_by_page_each_of_them_once,
    a_key_has_one_owner_and_an_owner_one_key,
    a_revoked_key_stays_revoked_and_its_owner_may_get_another,
    an_invite_lets_one_key_in_and_no_second,
    of_many_who_come_with_one_invite_at_once_one_is_let_in,
    of_many_keys_that_are_enrolled_for_one_owner_at_once_one_is,
    an_invite_is_of_no_use_with_another_secret_or_too_late,
    an_invite_that_helped_nobody_is_not_used_up,
    a_key_is_followed_by_the_next_and_both_are_good_for_a_while,
    an_owner_has_few_keys_at_a_time,
    of_many_keys_that_are_to_follow_one_at_once_few_are_taken,
    whoever_is_revoked_loses_the_next_key_as_well,
    what_is_revoked_is_revoked_by_every_clock,
    whoever_watches_is_told_of_every_change_within_a_second,
    what_strangers_try_in_vain_is_no_change,
    names_may_be_any_text,
);

const MINUTE: Duration = Duration::from_secs(60);

fn at(minutes: u32) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000) + MINUTE * minutes
}

fn key() -> PublicKey {
    KeyPair::generate().public()
}

fn entry(ident: &str, minutes: u32) -> KeyEntry {
    KeyEntry {
        key: key(),
        role: RoleName::Cluster,
        ident: ident.to_owned(),
        name: format!("the {ident}"),
        since: at(minutes),
        is_revoked: false,
        revoked: None,
    }
}

/// An invite that expires after an hour, and its token.
fn invite() -> (Invite, InviteToken) {
    let token = InviteToken::generate(vec![key()], vec!["192.0.2.1:5250".to_owned()]);
    (Invite { id: token.id, hash: token.secret.hash(), expires: at(60) }, token)
}

/// How many of these outcomes are this one.
fn count(outcomes: &[Enrolment], outcome: Enrolment) -> usize {
    outcomes.iter().filter(|it| **it == outcome).count()
}

async fn what_was_enrolled_is_found_and_listed_everywhere(kind: impl Kind) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    assert_eq!(there.list().await?, []);
    let (north, south) = (entry("north", 0), entry("south", 1));
    let region = KeyEntry { role: RoleName::Region, ..entry("north", 2) };
    for entry in [&south, &north, &region] {
        assert_eq!(here.enrol(entry).await?, Enrolment::Enrolled);
        assert_eq!(there.find(&entry.key).await?.as_ref(), Some(entry));
    }
    for keys in [&here, &there, &kind.open().await] {
        assert_eq!(keys.list().await?, [north.clone(), south.clone(), region.clone()]);
        assert_eq!(keys.find(&key()).await?, None);
    }
    Ok(())
}

async fn keys_are_listed_page_by_page_each_of_them_once(kind: impl Kind) -> TestResult {
    let keys = kind.open().await;
    assert_eq!(keys.list_after(None, 3).await?, []);
    let mut expected = Vec::new();
    for number in 0..7 {
        let entry = entry(&format!("cluster-{number}"), 0);
        keys.enrol(&entry).await?;
        expected.push(entry);
    }
    let mut listed: Vec<KeyEntry> = Vec::new();
    for page in [3, 3, 1, 0] {
        let after = listed.last().map(|last| last.key);
        let found = keys.list_after(after.as_ref(), 3).await?;
        assert_eq!(found.len(), page);
        listed.extend(found);
        // One that comes and goes between moves nobody to another page.
        keys.revoke(&listed[0].key, at(1)).await?;
    }
    listed.sort_by_key(|entry| entry.key);
    expected.sort_by_key(|entry| entry.key);
    let of = |entries: &[KeyEntry]| entries.iter().map(|it| it.key).collect::<Vec<_>>();
    assert_eq!(of(&listed), of(&expected));
    Ok(())
}

async fn a_key_has_one_owner_and_an_owner_one_key(kind: impl Kind) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    let first = entry("north", 0);
    here.enrol(&first).await?;
    let again = KeyEntry { ident: "south".to_owned(), ..first.clone() };
    assert_eq!(there.enrol(&again).await?, Enrolment::KeyTaken);
    assert_eq!(there.enrol(&entry("north", 1)).await?, Enrolment::IdentTaken);
    assert_eq!(here.list().await?, [first]);
    Ok(())
}

async fn a_revoked_key_stays_revoked_and_its_owner_may_get_another(kind: impl Kind) -> TestResult {
    let keys = kind.open().await;
    let first = entry("north", 0);
    keys.enrol(&first).await?;
    let revoked = KeyEntry { is_revoked: true, revoked: Some(at(5)), ..first.clone() };
    let named = keys.revoke(&first.key, at(5)).await?;
    assert_eq!(named.as_slice(), std::slice::from_ref(&revoked));
    assert_eq!(keys.revoke(&first.key, at(9)).await?, [], "it was revoked before");
    assert_eq!(keys.revoke(&key(), at(9)).await?, [], "nobody knows it");
    assert_eq!(keys.find(&first.key).await?, Some(revoked.clone()));
    assert!(!revoked.is_good(at(5)));

    assert_eq!(keys.enrol(&first).await?, Enrolment::KeyTaken);
    assert_eq!(keys.enrol(&entry("north", 6)).await?, Enrolment::Enrolled);
    Ok(())
}

async fn an_invite_lets_one_key_in_and_no_second(kind: impl Kind) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    let (invite, token) = invite();
    here.invite(&invite, at(0)).await?;
    let hash = token.secret.hash();
    let (north, south) = (entry("north", 1), entry("south", 1));
    assert_eq!(there.join(token.id, &hash, &north).await?, Enrolment::Enrolled);
    assert_eq!(here.join(token.id, &hash, &south).await?, Enrolment::InviteUsed);
    assert_eq!(here.list().await?, [north]);
    Ok(())
}

async fn of_many_who_come_with_one_invite_at_once_one_is_let_in(kind: impl Kind) -> TestResult {
    let processes = [kind.open().await, kind.open().await, kind.open().await];
    let (invite, token) = invite();
    processes[0].invite(&invite, at(0)).await?;
    let mut crowd = JoinSet::new();
    for number in 0..24 {
        let (keys, token) = (Arc::clone(&processes[number % 3]), token.clone());
        crowd.spawn(async move {
            let entry = entry(&format!("cluster-{number}"), 1);
            keys.join(token.id, &token.secret.hash(), &entry).await
        });
    }
    let outcomes = crowd.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(count(&outcomes, Enrolment::Enrolled), 1, "{outcomes:?}");
    assert_eq!(count(&outcomes, Enrolment::InviteUsed), 23, "{outcomes:?}");
    assert_eq!(processes[1].list().await?.len(), 1);
    Ok(())
}

async fn of_many_keys_that_are_enrolled_for_one_owner_at_once_one_is(
    kind: impl Kind,
) -> TestResult {
    let processes = [kind.open().await, kind.open().await];
    let mut crowd = JoinSet::new();
    for number in 0..16 {
        let keys = Arc::clone(&processes[number % 2]);
        crowd.spawn(async move { keys.enrol(&entry("north", 0)).await });
    }
    let outcomes = crowd.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(count(&outcomes, Enrolment::Enrolled), 1, "{outcomes:?}");
    assert_eq!(count(&outcomes, Enrolment::IdentTaken), 15, "{outcomes:?}");
    Ok(())
}

async fn an_invite_is_of_no_use_with_another_secret_or_too_late(kind: impl Kind) -> TestResult {
    let keys = kind.open().await;
    let ((invite, token), (_, other)) = (invite(), invite());
    keys.invite(&invite, at(0)).await?;
    let (hash, wrong) = (token.secret.hash(), other.secret.hash());
    let late = entry("north", 60);
    assert_eq!(keys.join(token.id, &wrong, &entry("north", 1)).await?, Enrolment::NoSuchInvite);
    assert_eq!(keys.join(other.id, &wrong, &entry("north", 1)).await?, Enrolment::NoSuchInvite);
    assert_eq!(keys.join(token.id, &hash, &late).await?, Enrolment::InviteExpired);
    assert_eq!(keys.list().await?, []);
    assert_eq!(keys.join(token.id, &hash, &entry("north", 59)).await?, Enrolment::Enrolled);
    let after = keys.join(token.id, &wrong, &entry("south", 59)).await?;
    assert_eq!(after, Enrolment::NoSuchInvite, "who guesses does not learn that it was used");
    Ok(())
}

async fn an_invite_that_helped_nobody_is_not_used_up(kind: impl Kind) -> TestResult {
    let keys = kind.open().await;
    keys.enrol(&entry("north", 0)).await?;
    let (invite, token) = invite();
    keys.invite(&invite, at(0)).await?;
    let hash = token.secret.hash();
    let refused = keys.join(token.id, &hash, &entry("north", 1)).await?;
    assert_eq!(refused, Enrolment::IdentTaken);
    assert_eq!(keys.join(token.id, &hash, &entry("south", 2)).await?, Enrolment::Enrolled);
    Ok(())
}

async fn a_key_is_followed_by_the_next_and_both_are_good_for_a_while(
    kind: impl Kind,
) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    let (first, next) = (entry("north", 0), key());
    here.enrol(&first).await?;
    assert_eq!(there.succeed(&first.key, &next, at(5), at(10)).await?, Enrolment::Enrolled);
    let old = here.find(&first.key).await?.unwrap();
    assert_eq!(old, KeyEntry { revoked: Some(at(10)), ..first.clone() });
    let new = here.find(&next).await?.unwrap();
    assert_eq!(new, KeyEntry { key: next, since: at(5), ..first.clone() });

    let late = here.succeed(&first.key, &key(), at(10), at(20)).await?;
    assert_eq!(late, Enrolment::Superseded, "a key that is not good has no heirs");
    let taken = here.succeed(&next, &first.key, at(6), at(20)).await?;
    assert_eq!(taken, Enrolment::KeyTaken, "nobody goes back");
    let unknown = here.succeed(&key(), &key(), at(6), at(20)).await?;
    assert_eq!(unknown, Enrolment::Superseded);
    Ok(())
}

async fn an_owner_has_few_keys_at_a_time(kind: impl Kind) -> TestResult {
    use Enrolment::{Enrolled, Superseded};
    let keys = kind.open().await;
    let first = entry("north", 0);
    keys.enrol(&first).await?;
    let mut followed = Vec::new();
    for _ in 0..4 {
        followed.push(keys.succeed(&first.key, &key(), at(1), at(10)).await?);
    }
    assert_eq!(followed, [Enrolled, Enrolled, Superseded, Superseded]);
    let old = keys.find(&first.key).await?.unwrap();
    assert_eq!(old.revoked, Some(at(10)), "an end that is set does not move away");
    let enrolled = keys.list().await?.into_iter().find(|it| it.key != first.key).unwrap();
    let again = keys.succeed(&first.key, &enrolled.key, at(1), at(10)).await?;
    assert_eq!(again, Enrolment::KeyTaken, "whoever did not hear the answer can find it out");
    Ok(())
}

async fn of_many_keys_that_are_to_follow_one_at_once_few_are_taken(kind: impl Kind) -> TestResult {
    let processes = [kind.open().await, kind.open().await];
    let first = entry("north", 0);
    processes[0].enrol(&first).await?;
    let mut crowd = JoinSet::new();
    for number in 0..8 {
        let (keys, first) = (Arc::clone(&processes[number % 2]), first.key);
        crowd.spawn(async move { keys.succeed(&first, &key(), at(1), at(10)).await });
    }
    let outcomes = crowd.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(count(&outcomes, Enrolment::Enrolled), 2, "{outcomes:?}");
    assert_eq!(count(&outcomes, Enrolment::Superseded), 6, "{outcomes:?}");
    Ok(())
}

async fn whoever_is_revoked_loses_the_next_key_as_well(kind: impl Kind) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    let (first, next, other) = (entry("north", 0), key(), entry("south", 0));
    here.enrol(&first).await?;
    here.enrol(&other).await?;
    here.succeed(&first.key, &next, at(5), at(10)).await?;
    assert_eq!(there.revoke(&first.key, at(6)).await?.len(), 2);
    for key in [first.key, next] {
        assert!(!here.find(&key).await?.unwrap().is_good(at(6)));
    }
    assert!(here.find(&other.key).await?.unwrap().is_good(at(6)));
    Ok(())
}

async fn what_is_revoked_is_revoked_by_every_clock(kind: impl Kind) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    // Told to one whose clock is an hour ahead, and to one whose clock is an hour behind.
    for (name, told_at) in [("north", at(160)), ("south", at(40))] {
        let (first, next) = (entry(name, 100), key());
        here.enrol(&first).await?;
        here.succeed(&first.key, &next, at(101), at(111)).await?;
        let revoked = there.revoke(&first.key, told_at).await?;
        assert_eq!(revoked.len(), 2, "also one whose end is over, by that clock");
        let listed = here.list().await?;
        for key in [first.key, next] {
            let found = here.find(&key).await?.unwrap();
            assert!(listed.contains(&found) && revoked.contains(&found), "{found:?}");
            for minutes in [0, 40, 100, 102, 120, 160, 1000] {
                assert!(!found.is_good(at(minutes)), "at {minutes}: {found:?}");
            }
        }
        assert_eq!(here.revoke(&next, at(102)).await?, [], "it was revoked before");
        let heir = here.succeed(&next, &key(), at(102), at(112)).await?;
        assert_eq!(heir, Enrolment::Superseded);
        let after = here.enrol(&entry(name, 102)).await?;
        assert_eq!(after, Enrolment::Enrolled, "it is not in the way of another");
    }
    Ok(())
}

/// A receiver that has seen everything there was up to now.
async fn settled(keys: &Arc<dyn Keys>) -> watch::Receiver<u64> {
    let mut changes = keys.changes();
    while tokio::time::timeout(Duration::from_millis(300), changes.changed()).await.is_ok() {}
    changes
}

/// Waits for a change, in any time that a busy machine may need.
async fn assert_told(changes: &mut watch::Receiver<u64>) -> TestResult {
    tokio::time::timeout(Duration::from_secs(5), changes.changed()).await??;
    Ok(())
}

async fn whoever_watches_is_told_of_every_change_within_a_second(kind: impl Kind) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    let (mut told_here, mut told_there) = (settled(&here).await, settled(&there).await);
    let (first, next) = (entry("north", 0), key());
    let (invite, token) = invite();
    here.enrol(&first).await?;
    assert_told(&mut told_here).await?;
    assert_told(&mut told_there).await?;
    let (mut told_here, mut told_there) = (settled(&here).await, settled(&there).await);
    there.succeed(&first.key, &next, at(1), at(9)).await?;
    assert_told(&mut told_here).await?;
    assert_told(&mut told_there).await?;
    let mut told_there = settled(&there).await;
    here.invite(&invite, at(1)).await?;
    here.join(token.id, &token.secret.hash(), &entry("south", 2)).await?;
    assert_told(&mut told_there).await?;
    assert_eq!(there.list().await?.len(), 3);
    let mut told_there = settled(&there).await;
    here.revoke(&next, at(3)).await?;
    assert_told(&mut told_there).await?;
    assert!(!there.find(&next).await?.unwrap().is_good(at(3)));
    Ok(())
}

async fn what_strangers_try_in_vain_is_no_change(kind: impl Kind) -> TestResult {
    let keys = kind.open().await;
    let first = entry("north", 0);
    keys.enrol(&first).await?;
    let changes = settled(&keys).await;
    let (unwritten, token) = invite();
    for _ in 0..10 {
        let refused = keys.join(token.id, &token.secret.hash(), &entry("south", 1)).await?;
        assert_eq!(refused, Enrolment::NoSuchInvite);
    }
    keys.invite(&unwritten, at(0)).await?;
    assert_eq!(keys.enrol(&first).await?, Enrolment::KeyTaken);
    keys.revoke(&key(), at(1)).await?;
    let _later = settled(&keys).await;
    assert!(!changes.has_changed()?, "nobody has to look again");
    Ok(())
}

/// Clusters name themselves.
async fn names_may_be_any_text(kind: impl Kind) -> TestResult {
    let keys = kind.open().await;
    // In the order of their bytes, whatever the language of the database says.
    let names = ["'; DROP TABLE keys; --", "Zebra", "a\"b", "zebra", "\u{e9}t\u{e9}", "\u{2603}"];
    for name in names.iter().rev() {
        let named = KeyEntry { name: (*name).to_owned(), ..entry(&format!("of {name}"), 0) };
        assert_eq!(keys.enrol(&named).await?, Enrolment::Enrolled);
    }
    let listed = keys.list().await?;
    assert_eq!(listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), names);
    let odd = KeyEntry { name: "nul \0 %s\n".to_owned(), ..entry("odd", 0) };
    assert_eq!(keys.enrol(&odd).await?, Enrolment::Enrolled);
    assert!(keys.find(&odd.key).await?.unwrap().name.starts_with("nul "));
    Ok(())
}
