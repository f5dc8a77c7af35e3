//! Warns of two processes that live under one cluster's identity, as after a copied machine image.
//!
//! A cluster that comes back is connected twice for a moment, and so is one that finds two
//! addresses of this process. So nothing is said of a second connection as such: only when, after a
//! while, both are still open and somebody answers on both.

use std::sync::Arc;
use std::time::Duration;

use amp_proto::Cluster;
use mesh::{Client, ClusterId, Link};
use tokio::task::JoinSet;

use crate::controller::Inner;

/// How long a cluster may be connected twice. Fixed: one that has a connection too many says within
/// a second that it leaves it, and one whose older connection is dead does not answer there.
const TWICE_MAX: Duration = Duration::from_secs(5);
/// How long each connection may take to give a sign of life. Fixed: whoever is slower is told of at
/// the next change, if ever; to warn falsely would be worse.
const ALIVE_WITHIN: Duration = Duration::from_secs(5);

/// A newer connection of a cluster, and one that it had before.
type Pair = (ClusterId, Arc<Link>, Arc<Link>);

/// Looks whenever the connections change, at everything that changed within [`TWICE_MAX`] together.
///
/// # Cancellation
/// Dropping the future only ends the looking.
pub(crate) async fn watch(inner: Arc<Inner>) {
    let mut changes = inner.pool.changes();
    let mut told: Vec<Pair> = Vec::new();
    while changes.changed().await.is_ok() {
        changes.borrow_and_update();
        told.retain(|(_, newer, older)| newer.is_open() && older.is_open());
        let mut pairs = pairs_of(&inner);
        pairs.retain(|pair| !told.iter().any(|told| is_same(told, pair)));
        if pairs.is_empty() {
            continue;
        }
        tokio::time::sleep(TWICE_MAX).await;
        let mut looking: JoinSet<_> = pairs.into_iter().map(living).collect();
        while let Some(looked) = looking.join_next().await {
            let Ok(Some(pair)) = looked else { continue };
            let (cluster, newer, older) = &pair;
            let (peer, other) = (&newer.peer().address, &older.peer().address);
            let (cluster, name) = (cluster.to_string(), newer.name());
            tracing::warn!(peer, other, cluster, name, "two peers live under one cluster's uuid");
            told.push(pair);
        }
    }
}

/// The two newest connections of each cluster that has more than one.
fn pairs_of(inner: &Inner) -> Vec<Pair> {
    let several = inner.pool.several().into_iter();
    let pair = |(cluster, mut links): (ClusterId, Vec<Arc<Link>>)| {
        let (newer, older) = (links.pop()?, links.pop()?);
        Some((cluster, newer, older))
    };
    several.filter_map(pair).collect()
}

fn is_same((_, newer, older): &Pair, (_, other_newer, other_older): &Pair) -> bool {
    Arc::ptr_eq(newer, other_newer) && Arc::ptr_eq(older, other_older)
}

/// The pair, if somebody answers on both connections.
async fn living(pair: Pair) -> Option<Pair> {
    let (_, newer, older) = &pair;
    (tokio::join!(is_alive(newer), is_alive(older)) == (true, true)).then_some(pair)
}

async fn is_alive(link: &Arc<Link>) -> bool {
    if !link.is_open() {
        return false;
    }
    let client = Client::<Cluster>::new(Arc::clone(link)).within(ALIVE_WITHIN);
    // A peer that says in the meantime that it leaves is not there to stay.
    client.ping().await.is_ok() && link.is_open()
}
