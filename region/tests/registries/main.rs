//! What a registry promises, whichever it is: one suite for every kind.
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

use mesh::{ClusterId, RegionId};
use region::registry::EXPIRY;
use region::{LinkEntry, RegionEntry, Registry};
use tokio::sync::watch;
use uuid::Uuid;

use self::kinds::{InPostgres, Kind, Memory, Sqlite};

/// What a test gives: any error fails it.
type TestResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Each of these is a test of every kind of registry.
macro_rules! conformance {
    ($($promise:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $promise() -> super::TestResult {
                super::$promise(<super::Memory as super::Kind>::new().await).await
            })+
        }

        // The clock by which is looked for changes stands still while the file is read.
        mod sqlite {
            $(#[tokio::test(start_paused = true)]
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
    everybody_sees_who_announces_itself,
    an_announcement_replaces_the_one_before,
    who_listens_where_another_did_takes_its_place,
    who_withdraws_is_gone_with_its_links,
    links_are_written_down_changed_and_struck,
    links_of_an_unknown_region_are_not_kept,
    who_is_new_is_told_so,
    changes_are_told_to_everybody_and_heartbeats_to_nobody,
    who_is_not_heard_is_gone_with_its_links,
    an_end_by_silence_is_told,
    an_end_by_silence_is_told_also_when_somebody_has_looked_before,
    who_is_heard_again_is_back,
    processes_that_share_a_registry_do_not_disturb_each_other,
    two_that_live_at_the_same_addresses_do_not_drive_each_other_out,
    those_without_an_address_are_not_in_each_others_way,
    names_may_be_any_text,
);

fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)
}

fn region(name: &str) -> RegionEntry {
    RegionEntry {
        id: RegionId::from(format!("id of {name}")),
        name: name.to_owned(),
        addresses: vec![format!("{name}.example:5250"), "[2001:db8::1]:5250".to_owned()],
        version: "1.2.3".to_owned(),
        started: moment(),
    }
}

fn cluster_id(number: usize) -> ClusterId {
    Uuid::from_u128(u128::try_from(number).unwrap()).into()
}

fn link(region: &RegionEntry, cluster: usize) -> LinkEntry {
    LinkEntry {
        region: region.id.clone(),
        cluster: cluster_id(cluster),
        cluster_name: format!("cluster-{cluster}"),
        cluster_version: (cluster > 0).then(|| "1.2.3".to_owned()),
        address: "192.0.2.7:51324".to_owned(),
        round_trip: (cluster > 1).then(|| Duration::from_micros(1234)),
        since: moment(),
    }
}

async fn everybody_sees_who_announces_itself(kind: impl Kind) -> TestResult {
    let (first, second) = (kind.open().await, kind.open().await);
    assert_eq!(second.regions().await?, []);
    first.announce(&region("b")).await?;
    second.announce(&region("a")).await?;
    for registry in [&first, &second, &kind.open().await] {
        assert_eq!(registry.regions().await?, [region("a"), region("b")]);
        assert_eq!(registry.links().await?, []);
    }
    Ok(())
}

async fn an_announcement_replaces_the_one_before(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    registry.announce(&region("a")).await?;
    let moved = RegionEntry { addresses: vec!["192.0.2.9:5251".to_owned()], ..region("a") };
    registry.announce(&moved).await?;
    assert_eq!(registry.regions().await?, [moved]);
    Ok(())
}

async fn who_listens_where_another_did_takes_its_place(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    let crashed = region("a");
    registry.announce(&crashed).await?;
    registry.record_links(&crashed.id, &[link(&crashed, 0)], &[]).await?;
    let mut told = settled(&registry).await;
    let again = RegionEntry { id: RegionId::from("another process"), ..crashed };
    registry.announce(&again).await?;
    assert_told(&mut told).await?;
    assert_eq!(registry.regions().await?, [again]);
    assert_eq!(registry.links().await?, []);
    Ok(())
}

async fn who_withdraws_is_gone_with_its_links(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    let (a, b) = (region("a"), region("b"));
    for region in [&a, &b] {
        registry.announce(region).await?;
        registry.record_links(&region.id, &[link(region, 0)], &[]).await?;
    }
    registry.withdraw(&a.id).await?;
    assert_eq!(registry.links().await?, [link(&b, 0)]);
    assert_eq!(registry.regions().await?, [b]);
    // Once more is no more.
    registry.withdraw(&a.id).await?;
    Ok(())
}

async fn links_are_written_down_changed_and_struck(kind: impl Kind) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    let (a, b) = (region("a"), region("b"));
    here.announce(&a).await?;
    there.announce(&b).await?;
    here.record_links(&a.id, &[link(&a, 2), link(&a, 0)], &[]).await?;
    there.record_links(&b.id, &[link(&b, 0), link(&b, 1)], &[]).await?;
    let expected = [link(&a, 0), link(&b, 0), link(&b, 1), link(&a, 2)];
    assert_eq!(here.links().await?, expected);

    let slower = LinkEntry { round_trip: Some(Duration::from_millis(70)), ..link(&a, 0) };
    let gone: [ClusterId; 2] = [cluster_id(2), cluster_id(9)];
    here.record_links(&a.id, std::slice::from_ref(&slower), &gone).await?;
    assert_eq!(there.links().await?, [slower, link(&b, 0), link(&b, 1)]);
    Ok(())
}

async fn links_of_an_unknown_region_are_not_kept(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    let stranger = region("stranger");
    registry.record_links(&stranger.id, &[link(&stranger, 0)], &[cluster_id(1)]).await?;
    assert_eq!(registry.links().await?, []);
    Ok(())
}

async fn who_is_new_is_told_so(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    let a = region("a");
    assert!(!registry.record_links(&a.id, &[link(&a, 0)], &[]).await?);
    assert!(registry.announce(&a).await?);
    assert!(registry.record_links(&a.id, &[link(&a, 0)], &[]).await?);
    assert!(!registry.announce(&a).await?);
    kind.expire().await;
    // Whatever it wrote before is gone, and has to be written again.
    assert!(registry.announce(&a).await?);
    assert_eq!(registry.links().await?, []);
    registry.withdraw(&a.id).await?;
    assert!(!registry.record_links(&a.id, &[link(&a, 0)], &[]).await?);
    Ok(())
}

/// Waits for the next change, in any time that a busy machine may need.
async fn assert_told(changes: &mut watch::Receiver<u64>) -> TestResult {
    tokio::time::timeout(Duration::from_secs(5), changes.changed()).await??;
    Ok(())
}

/// A receiver that has seen everything there was up to now.
async fn settled(registry: &Arc<dyn Registry>) -> watch::Receiver<u64> {
    let mut changes = registry.changes();
    while tokio::time::timeout(Duration::from_millis(300), changes.changed()).await.is_ok() {}
    changes
}

async fn changes_are_told_to_everybody_and_heartbeats_to_nobody(kind: impl Kind) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    let mut told_here = settled(&here).await;
    let mut told_there = settled(&there).await;
    here.announce(&region("a")).await?;
    assert_told(&mut told_here).await?;
    assert_told(&mut told_there).await?;

    let moved = RegionEntry { addresses: Vec::new(), ..region("a") };
    there.announce(&moved).await?;
    assert_told(&mut told_here).await?;
    let quiet = settled(&here).await;
    for _ in 0..5 {
        there.announce(&moved).await?;
        there.record_links(&moved.id, &[link(&moved, 0)], &[]).await?;
    }
    let mut quiet_later = settled(&here).await;
    assert!(!quiet.has_changed()?, "nothing has changed");

    there.withdraw(&moved.id).await?;
    assert_told(&mut quiet_later).await?;
    assert_eq!(here.regions().await?, []);
    Ok(())
}

async fn who_is_not_heard_is_gone_with_its_links(kind: impl Kind) -> TestResult {
    let (here, there) = (kind.open().await, kind.open().await);
    let (a, b) = (region("a"), region("b"));
    here.announce(&a).await?;
    there.announce(&b).await?;
    there.record_links(&b.id, &[link(&b, 0)], &[]).await?;
    kind.expire().await;
    assert_eq!(here.regions().await?, []);
    assert_eq!(here.links().await?, []);
    here.announce(&a).await?;
    assert_eq!(there.regions().await?, [a]);
    assert_eq!(there.links().await?, []);
    Ok(())
}

/// Two were heard, and then only the first.
async fn one_falls_silent(
    kind: &impl Kind,
) -> TestResult<(Arc<dyn Registry>, watch::Receiver<u64>)> {
    let (here, there) = (kind.open().await, kind.open().await);
    here.announce(&region("a")).await?;
    there.announce(&region("b")).await?;
    let told = settled(&here).await;
    kind.pass(EXPIRY * 3 / 5).await;
    here.announce(&region("a")).await?;
    kind.pass(EXPIRY * 3 / 5).await;
    Ok((here, told))
}

async fn an_end_by_silence_is_told(kind: impl Kind) -> TestResult {
    let (here, mut told) = one_falls_silent(&kind).await?;
    here.announce(&region("a")).await?;
    assert_told(&mut told).await?;
    assert_eq!(here.regions().await?, [region("a")]);
    Ok(())
}

async fn an_end_by_silence_is_told_also_when_somebody_has_looked_before(
    kind: impl Kind,
) -> TestResult {
    let (here, mut told) = one_falls_silent(&kind).await?;
    // Looking takes nothing away from those who wait to be told.
    assert_eq!(here.links().await?, []);
    assert_eq!(here.regions().await?, [region("a")]);
    here.announce(&region("a")).await?;
    assert_told(&mut told).await?;
    Ok(())
}

async fn who_is_heard_again_is_back(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    let a = region("a");
    registry.announce(&a).await?;
    registry.record_links(&a.id, &[link(&a, 0)], &[]).await?;
    kind.expire().await;
    assert_eq!(registry.regions().await?, []);
    let mut told = settled(&registry).await;
    registry.announce(&a).await?;
    assert_told(&mut told).await?;
    registry.record_links(&a.id, &[link(&a, 0)], &[]).await?;
    assert_eq!(registry.links().await?, [link(&a, 0)]);
    assert_eq!(registry.regions().await?, [a]);
    Ok(())
}

async fn processes_that_share_a_registry_do_not_disturb_each_other(kind: impl Kind) -> TestResult {
    let mut tasks = tokio::task::JoinSet::new();
    for process in 0..8 {
        let registry = kind.open().await;
        tasks.spawn(async move {
            let own = region(&format!("region-{process}"));
            for round in 0..20 {
                registry.announce(&own).await?;
                let cluster = round % 4;
                registry.record_links(&own.id, &[link(&own, cluster)], &[]).await?;
                if round % 7 == 6 {
                    registry.withdraw(&own.id).await?;
                    registry.announce(&own).await?;
                }
                let all = registry.regions().await?;
                assert!(all.contains(&own));
                registry.links().await?;
            }
            registry.record_links(&own.id, &[link(&own, 3)], &[]).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let registry = kind.open().await;
    assert_eq!(registry.regions().await?.len(), 8);
    assert!(registry.links().await?.len() >= 8);
    Ok(())
}

async fn two_that_live_at_the_same_addresses_do_not_drive_each_other_out(
    kind: impl Kind,
) -> TestResult {
    let registry = kind.open().await;
    let older = RegionEntry { addresses: vec!["x:1".to_owned()], ..region("a") };
    let younger = RegionEntry {
        started: older.started + Duration::from_secs(1),
        addresses: older.addresses.clone(),
        ..region("b")
    };
    registry.announce(&older).await?;
    registry.announce(&younger).await?;
    assert_eq!(registry.regions().await?, std::slice::from_ref(&younger));
    for round in 0..3 {
        assert_eq!(registry.announce(&older).await?, round == 0);
        assert!(!registry.announce(&younger).await?);
    }
    assert_eq!(registry.regions().await?, [older, younger]);
    Ok(())
}

async fn those_without_an_address_are_not_in_each_others_way(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    let both = ["a", "b"].map(|name| RegionEntry { addresses: Vec::new(), ..region(name) });
    for region in &both {
        registry.announce(region).await?;
    }
    assert_eq!(registry.regions().await?, both);
    Ok(())
}

/// Peers name themselves.
async fn names_may_be_any_text(kind: impl Kind) -> TestResult {
    let registry = kind.open().await;
    // In the order of their bytes, whatever the language of the database says.
    let names =
        ["'; DROP TABLE regions; --", "Zebra", "a\"b", "zebra", "\u{e9}t\u{e9}", "\u{2603}"];
    for name in names {
        registry.announce(&RegionEntry { addresses: Vec::new(), ..region(name) }).await?;
    }
    let regions = registry.regions().await?;
    assert_eq!(regions.iter().map(|region| region.name.as_str()).collect::<Vec<_>>(), names);
    let own = region("Zebra");
    let odd = LinkEntry { cluster_name: "nul \0 %s\n".to_owned(), ..link(&own, 1) };
    assert!(registry.record_links(&own.id, &[odd, link(&own, 0), link(&own, 0)], &[]).await?);
    let links = registry.links().await?;
    assert_eq!(links.len(), 2);
    assert!(links.iter().any(|link| link.cluster_name.starts_with("nul ")), "{links:?}");
    Ok(())
}
