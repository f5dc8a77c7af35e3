//! Tells every cluster when the set of region processes changes.

use std::sync::Arc;

use amp_proto::{AnsweredBy, CallError, Cluster, Command, Never};
use mesh::commands::RegionsChanged;
use mesh::{Client, chain, gather_with};

use crate::controller::Inner;
use crate::registry::HEARTBEAT;
use crate::responders::rows_of;

/// Tells every cluster that is connected, each time that the region processes are others.
///
/// # Cancellation
/// Dropping the future leaves those uninformed who have not been told yet.
pub(crate) async fn tell_clusters(inner: Arc<Inner>) {
    let mut known = inner.known.subscribe();
    let mut changed = known.changed().await;
    while changed.is_ok() {
        let regions = rows_of(&known.borrow_and_update());
        let links = inner.pool.all();
        let everyone = links.into_iter().map(|(_, link)| Client::new(link)).collect();
        // One cluster that stands still must not keep the news from the others, nor the next news
        // from any.
        changed = tokio::select! {
            () = tell(everyone, RegionsChanged { regions }) => known.changed().await,
            changed = known.changed() => changed,
        };
    }
}

/// Tells them all, and those again who could not take it.
pub(crate) async fn tell<C>(mut clients: Vec<Client<Cluster>>, news: C)
where
    C: AnsweredBy<Cluster> + Command<Response = (), Error = Never> + Clone + Sync,
{
    loop {
        let mut missed = Vec::new();
        let mut told = gather_with(clients.len(), clients, news.clone());
        while let Some((client, answer)) = told.next().await {
            if !is_told(&client, &answer) {
                missed.push(client);
            }
        }
        if missed.is_empty() {
            return;
        }
        tokio::time::sleep(HEARTBEAT).await;
        clients = missed;
    }
}

fn is_told(client: &Client<Cluster>, answer: &Result<(), CallError<Never>>) -> bool {
    match answer {
        // A stock peer asks by itself, if it wants to know; so does one that comes back.
        Ok(()) | Err(CallError::Unhandled { .. } | CallError::Lost { .. }) => true,
        Err(error) => {
            let words = chain(error);
            tracing::debug!(cluster = client.name(), error = %words, "could not tell of regions");
            // Only these may pass.
            !matches!(error, CallError::TimedOut { .. } | CallError::Overloaded)
        }
    }
}
