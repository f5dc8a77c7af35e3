//! Keeps the registry up to date, and this process up to date with the registry.
//!
//! A failing registry is logged and tried again. Connections and calls do not depend on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh::{ClusterId, Link, Repeats, chain};

use crate::controller::Inner;
use crate::registry::{HEARTBEAT, LinkEntry};

/// How long changes are gathered before they are written down together. Fixed: shorter than anybody
/// notices, and long enough for a crowd that connects at once.
const SETTLE: Duration = Duration::from_millis(20);
/// How often round-trip times are written down although nothing else has changed. Fixed: they are
/// for people to look at.
const REFRESH: Duration = Duration::from_secs(10);

/// Announces this process until it stops, and then takes it out.
///
/// An announcement is waited for even then: it might otherwise be carried out after the entry was
/// taken out, and bring it back.
///
/// # Cancellation
/// Dropping the future leaves the entry to expire.
pub(crate) async fn announce(inner: Arc<Inner>) {
    let Inner { process, registry, entry, .. } = &*inner;
    let stopping = process.lifetime.stopping();
    let mut every = tokio::time::interval(HEARTBEAT);
    let mut announcing = Repeats::new();
    while stopping.run_until_cancelled(every.tick()).await.is_some() {
        match registry.announce(entry).await {
            Ok(is_new) => {
                if let Some(failures) = announcing.worked() {
                    tracing::info!(failures, "the registry works again");
                }
                if is_new {
                    inner.forgotten.notify_one();
                }
            }
            Err(error) => {
                let error = chain(&error).to_string();
                if announcing.failed(error.clone()) {
                    tracing::error!(error, "the registry fails");
                }
            }
        }
    }
    // In a crash nobody is told.
    if process.lifetime.is_aborted() {
        return;
    }
    if let Err(error) = registry.withdraw(&entry.id).await {
        let error = chain(&error);
        tracing::warn!(%error, "could not leave the registry; the entry will expire");
    }
}

/// Learns which region processes there are, whenever that changes.
///
/// # Cancellation
/// Dropping the future only ends the learning.
pub(crate) async fn watch_regions(inner: Arc<Inner>) {
    let mut changes = inner.registry.changes();
    loop {
        changes.borrow_and_update();
        let read = inner.registry.regions().await;
        let again_after = if read.is_ok() { Duration::MAX } else { HEARTBEAT };
        match read {
            Ok(regions) => {
                inner.known.send_if_modified(|known| {
                    let changed = *known != regions;
                    *known = regions;
                    changed
                });
            }
            Err(error) => tracing::debug!(error = %chain(&error), "the registry could not be read"),
        }
        let changed = tokio::time::timeout(again_after, changes.changed()).await;
        if changed.is_ok_and(|changed| changed.is_err()) {
            return;
        }
    }
}

/// Writes down which clusters are connected here.
///
/// # Cancellation
/// Dropping the future leaves what is written down; it goes with the entry of this process.
pub(crate) async fn record_links(inner: Arc<Inner>) {
    let mut recorded = HashMap::new();
    let mut changes = inner.pool.changes();
    loop {
        changes.borrow_and_update();
        let links = inner.pool.all();
        let now: HashMap<_, _> =
            links.iter().map(|(cluster, link)| (*cluster, Recorded::of(link))).collect();
        let is_news = |(cluster, _): &&(ClusterId, _)| recorded.get(cluster) != now.get(cluster);
        let opened = links.iter().filter(is_news);
        let opened: Vec<_> =
            opened.map(|(cluster, link)| entry_of(&inner, *cluster, link)).collect();
        let lost: Vec<ClusterId> =
            recorded.keys().filter(|cluster| !now.contains_key(*cluster)).copied().collect();
        drop(links);
        if !(opened.is_empty() && lost.is_empty()) {
            let region = &inner.entry.id;
            match inner.registry.record_links(region, &opened, &lost).await {
                Ok(true) => recorded = now,
                // It will be announced again, and then everything is written down.
                Ok(false) => recorded.clear(),
                Err(error) => {
                    tracing::debug!(error = %chain(&error), "could not write down the links")
                }
            }
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = inner.forgotten.notified() => recorded.clear(),
            () = tokio::time::sleep(REFRESH) => {}
        }
        tokio::time::sleep(SETTLE).await;
    }
}

/// What a row of a link depends on: the connection itself, and what changes while it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Recorded {
    since: SystemTime,
    round_trip: Option<Duration>,
}

impl Recorded {
    fn of(link: &Link) -> Self {
        Self { since: link.since(), round_trip: link.round_trip() }
    }
}

fn entry_of(inner: &Inner, cluster: ClusterId, link: &Link) -> LinkEntry {
    LinkEntry {
        region: inner.entry.id.clone(),
        cluster,
        cluster_name: link.name().map_or_else(|| cluster.to_string(), str::to_owned),
        cluster_version: link.version().map(str::to_owned),
        address: link.peer().address.clone(),
        round_trip: link.round_trip(),
        since: link.since(),
    }
}
