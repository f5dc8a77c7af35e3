//! What every store of keys promises, wherever it keeps them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amp_proto::RoleName;
use mesh::{InviteToken, KeyPair, PublicKey};
use region::{Enrolment, Invite, KeyEntry, Keys, MemoryKeys, SqliteKeys};

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
        revoked: None,
    }
}

/// An invite that expires after an hour, and its token.
fn invite() -> (Invite, InviteToken) {
    let token = InviteToken::generate(vec![key()], vec!["192.0.2.1:5250".to_owned()]);
    (Invite { id: token.id, hash: token.secret.hash(), expires: at(60) }, token)
}

/// Every kind of store, each empty, and what has to be kept for as long as it is used.
async fn stores() -> (Vec<Arc<dyn Keys>>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteKeys::open(folder.path().join("keys.sqlite")).await.unwrap();
    (vec![Arc::new(MemoryKeys::new()), Arc::new(sqlite)], folder)
}

#[tokio::test]
async fn what_was_enrolled_is_found_and_listed() {
    let (stores, _folder) = stores().await;
    for keys in stores {
        let (north, south) = (entry("north", 0), entry("south", 1));
        let region = KeyEntry { role: RoleName::Region, ..entry("north", 2) };
        for entry in [&south, &north, &region] {
            assert_eq!(keys.enrol(entry).await.unwrap(), Enrolment::Enrolled);
            assert_eq!(keys.find(&entry.key).await.unwrap().as_ref(), Some(entry));
        }
        assert_eq!(keys.list().await.unwrap(), [north, south, region]);
        assert_eq!(keys.find(&key()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_key_has_one_owner_and_an_owner_one_key() {
    let (stores, _folder) = stores().await;
    for keys in stores {
        let first = entry("north", 0);
        keys.enrol(&first).await.unwrap();
        let again = KeyEntry { ident: "south".to_owned(), ..first.clone() };
        assert_eq!(keys.enrol(&again).await.unwrap(), Enrolment::KeyTaken);
        assert_eq!(keys.enrol(&entry("north", 1)).await.unwrap(), Enrolment::IdentTaken);
        assert_eq!(keys.list().await.unwrap(), [first]);
    }
}

#[tokio::test]
async fn a_revoked_key_stays_revoked_and_its_owner_may_get_another() {
    let (stores, _folder) = stores().await;
    for keys in stores {
        let first = entry("north", 0);
        keys.enrol(&first).await.unwrap();
        let revoked = KeyEntry { revoked: Some(at(5)), ..first.clone() };
        let named = keys.revoke(&first.key, at(5)).await.unwrap();
        assert_eq!(named.as_slice(), std::slice::from_ref(&revoked));
        assert_eq!(keys.revoke(&first.key, at(9)).await.unwrap(), [], "it was revoked before");
        assert_eq!(keys.revoke(&key(), at(9)).await.unwrap(), [], "nobody knows it");
        assert_eq!(keys.find(&first.key).await.unwrap(), Some(revoked.clone()));
        assert!(revoked.is_good(at(4)) && !revoked.is_good(at(5)));

        assert_eq!(keys.enrol(&first).await.unwrap(), Enrolment::KeyTaken);
        assert_eq!(keys.enrol(&entry("north", 6)).await.unwrap(), Enrolment::Enrolled);
    }
}

#[tokio::test]
async fn an_invite_lets_one_key_in_and_no_second() {
    let (stores, _folder) = stores().await;
    for keys in stores {
        let (invite, token) = invite();
        keys.invite(&invite, at(0)).await.unwrap();
        let hash = token.secret.hash();
        let (north, south) = (entry("north", 1), entry("south", 1));
        assert_eq!(keys.join(token.id, &hash, &north).await.unwrap(), Enrolment::Enrolled);
        assert_eq!(keys.join(token.id, &hash, &south).await.unwrap(), Enrolment::InviteUsed);
        assert_eq!(keys.list().await.unwrap(), [north]);
    }
}

#[tokio::test]
async fn of_many_who_come_with_one_invite_at_once_one_is_let_in() {
    let (stores, _folder) = stores().await;
    for keys in stores {
        let (invite, token) = invite();
        keys.invite(&invite, at(0)).await.unwrap();
        let mut crowd = tokio::task::JoinSet::new();
        for number in 0..16 {
            let (keys, token) = (Arc::clone(&keys), token.clone());
            crowd.spawn(async move {
                let entry = entry(&format!("cluster-{number}"), 1);
                keys.join(token.id, &token.secret.hash(), &entry).await.unwrap()
            });
        }
        let came = crowd.join_all().await;
        let enrolled = came.iter().filter(|it| **it == Enrolment::Enrolled).count();
        assert_eq!(enrolled, 1, "{came:?}");
        assert_eq!(keys.list().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_invite_is_of_no_use_with_another_secret_or_too_late() {
    let (stores, _folder) = stores().await;
    for keys in stores {
        let ((first, token), (_, other)) = (invite(), invite());
        keys.invite(&first, at(0)).await.unwrap();
        let join = |id, hash, minutes| {
            let keys = Arc::clone(&keys);
            async move { keys.join(id, &hash, &entry("north", minutes)).await.unwrap() }
        };
        let (hash, wrong) = (token.secret.hash(), other.secret.hash());
        assert_eq!(join(token.id, wrong, 1).await, Enrolment::NoSuchInvite);
        assert_eq!(join(other.id, wrong, 1).await, Enrolment::NoSuchInvite);
        assert_eq!(join(token.id, hash, 60).await, Enrolment::InviteExpired);
        assert_eq!(keys.list().await.unwrap(), []);
        assert_eq!(join(token.id, hash, 59).await, Enrolment::Enrolled);
    }
}

#[tokio::test]
async fn an_invite_that_helped_nobody_is_not_used_up() {
    let (stores, _folder) = stores().await;
    for keys in stores {
        keys.enrol(&entry("north", 0)).await.unwrap();
        let (invite, token) = invite();
        keys.invite(&invite, at(0)).await.unwrap();
        let hash = token.secret.hash();
        let refused = keys.join(token.id, &hash, &entry("north", 1)).await.unwrap();
        assert_eq!(refused, Enrolment::IdentTaken);
        let joined = keys.join(token.id, &hash, &entry("south", 2)).await.unwrap();
        assert_eq!(joined, Enrolment::Enrolled);
    }
}

#[tokio::test]
async fn a_key_is_followed_by_the_next_and_both_are_good_for_a_while() {
    let (stores, _folder) = stores().await;
    for keys in stores {
        let (first, next) = (entry("north", 0), key());
        keys.enrol(&first).await.unwrap();
        let followed = keys.succeed(&first.key, &next, at(5), at(10)).await.unwrap();
        assert_eq!(followed, Enrolment::Enrolled);
        let old = keys.find(&first.key).await.unwrap().unwrap();
        assert_eq!(old.revoked, Some(at(10)));
        let new = keys.find(&next).await.unwrap().unwrap();
        assert_eq!(new, KeyEntry { key: next, since: at(5), ..first.clone() });

        let late = keys.succeed(&first.key, &key(), at(10), at(20)).await.unwrap();
        assert_eq!(late, Enrolment::Superseded, "a key that is not good has no heirs");
        let taken = keys.succeed(&next, &first.key, at(6), at(20)).await.unwrap();
        assert_eq!(taken, Enrolment::KeyTaken, "nobody goes back");
        let unknown = keys.succeed(&key(), &key(), at(6), at(20)).await.unwrap();
        assert_eq!(unknown, Enrolment::Superseded);
    }
}

#[tokio::test]
async fn an_owner_has_few_keys_at_a_time() {
    let (stores, _folder) = stores().await;
    for keys in stores {
        let first = entry("north", 0);
        keys.enrol(&first).await.unwrap();
        let mut followed = Vec::new();
        for _ in 0..4 {
            followed.push(keys.succeed(&first.key, &key(), at(1), at(10)).await.unwrap());
        }
        use Enrolment::{Enrolled, Superseded};
        assert_eq!(followed, [Enrolled, Enrolled, Superseded, Superseded]);
    }
}

#[tokio::test]
async fn whoever_is_revoked_loses_the_next_key_as_well() {
    let (stores, _folder) = stores().await;
    for keys in stores {
        let (first, next, other) = (entry("north", 0), key(), entry("south", 0));
        keys.enrol(&first).await.unwrap();
        keys.enrol(&other).await.unwrap();
        keys.succeed(&first.key, &next, at(5), at(10)).await.unwrap();
        assert_eq!(keys.revoke(&first.key, at(6)).await.unwrap().len(), 2);
        for key in [first.key, next] {
            assert!(!keys.find(&key).await.unwrap().unwrap().is_good(at(6)));
        }
        assert!(keys.find(&other.key).await.unwrap().unwrap().is_good(at(6)));
    }
}

#[tokio::test]
async fn whoever_watches_is_told_of_every_change() {
    let (stores, _folder) = stores().await;
    for keys in stores {
        let mut changes = keys.changes();
        let first = entry("north", 0);
        changes.borrow_and_update();
        keys.enrol(&first).await.unwrap();
        changes.changed().await.unwrap();
        changes.borrow_and_update();
        keys.revoke(&first.key, at(1)).await.unwrap();
        changes.changed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_strangers_try_in_vain_is_no_change() {
    let (stores, _folder) = stores().await;
    for keys in stores {
        let first = entry("north", 0);
        keys.enrol(&first).await.unwrap();
        let mut changes = keys.changes();
        // A store in a file tells of what it finds when it looks for the first time. The clock
        // stands still while it reads.
        let settled = async { while changes.changed().await.is_ok() {} };
        let _over = tokio::time::timeout(Duration::from_millis(250), settled).await;
        let (_, token) = invite();
        for _ in 0..10 {
            let refused = keys.join(token.id, &token.secret.hash(), &entry("south", 1)).await;
            assert_eq!(refused.unwrap(), Enrolment::NoSuchInvite);
        }
        keys.revoke(&key(), at(1)).await.unwrap();
        let told = tokio::time::timeout(Duration::from_millis(250), changes.changed()).await;
        assert!(told.is_err(), "nobody has to look again");
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_process_revokes_another_notices_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/keys.sqlite");
    let here = SqliteKeys::open(&path).await.unwrap();
    let there = SqliteKeys::open(&path).await.unwrap();
    let first = entry("north", 0);
    here.enrol(&first).await.unwrap();
    let mut changes = there.changes();
    here.revoke(&first.key, at(1)).await.unwrap();
    let noticed = tokio::time::timeout(Duration::from_secs(1), async {
        loop {
            changes.borrow_and_update();
            if there.find(&first.key).await.unwrap().unwrap().revoked.is_some() {
                return;
            }
            changes.changed().await.unwrap();
        }
    });
    noticed.await.expect("the change comes round");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "the file is for this user alone");
}

#[tokio::test]
async fn keys_and_invites_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.sqlite");
    let (first, (invite, token)) = (entry("north", 0), invite());
    let before = SqliteKeys::open(&path).await.unwrap();
    before.enrol(&first).await.unwrap();
    before.invite(&invite, at(0)).await.unwrap();
    drop(before);
    let after = SqliteKeys::open(&path).await.unwrap();
    assert_eq!(after.list().await.unwrap(), [first]);
    let joined = after.join(token.id, &token.secret.hash(), &entry("south", 1)).await.unwrap();
    assert_eq!(joined, Enrolment::Enrolled);
    let bytes = std::fs::read(&path).unwrap();
    let secret = token.secret.as_bytes();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret), "only a hash is kept");
}
