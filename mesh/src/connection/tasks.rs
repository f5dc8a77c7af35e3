//! The asks of the peer that have to wait for something: a task for each, and how to stop it.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::{AbortHandle, Id, JoinSet};

/// The tasks of one connection. They end with it.
///
/// Nothing is held before the first ask that has to wait, nor after [`Tasks::give_back`]: many
/// connections have none.
#[derive(Debug, Default)]
pub(super) struct Tasks(Option<Box<Table>>);

#[derive(Debug, Default)]
struct Table {
    running: JoinSet<()>,
    /// The tags of the asks that they answer.
    asks: HashMap<Id, Arc<[u8]>>,
    /// How to stop each of them.
    tags: HashMap<Arc<[u8]>, AbortHandle>,
}

impl Tasks {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |table| table.running.len())
    }

    /// Begins a task that answers the ask `tag`, or one that wants no answer.
    pub(super) fn spawn(
        &mut self,
        tag: Option<Arc<[u8]>>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let table = self.0.get_or_insert_default();
        let task = table.running.spawn(task);
        if let Some(tag) = tag {
            table.asks.insert(task.id(), Arc::clone(&tag));
            table.tags.insert(tag, task);
        }
    }

    /// Forgets the tasks that are done, and gives the tags of those that were stopped before, one
    /// with each call.
    pub(super) fn reap(&mut self, cx: &mut Context<'_>) -> Option<Arc<[u8]>> {
        let table = self.0.as_mut()?;
        while let Poll::Ready(Some(joined)) = table.running.poll_join_next_with_id(cx) {
            let (id, stopped) = match joined {
                Ok((id, ())) => (id, false),
                Err(error) => (error.id(), error.is_cancelled()),
            };
            let Some(tag) = table.asks.remove(&id) else { continue };
            // A peer may have given the same tag to another ask since.
            if table.tags.get(&tag).is_some_and(|task| task.id() == id) {
                table.tags.remove(&tag);
            }
            if stopped {
                return Some(tag);
            }
        }
        None
    }

    /// Stops the task that answers the ask `tag`, if there is one.
    pub(super) fn stop(&self, tag: &[u8]) -> bool {
        let task = self.0.as_ref().and_then(|table| table.tags.get(tag));
        task.inspect(|task| task.abort()).is_some()
    }

    /// Whether something is held although there is no task.
    pub(super) fn has_spare(&self) -> bool {
        self.0.as_ref().is_some_and(|table| table.running.is_empty())
    }

    /// Gives back what is held for nothing.
    pub(super) fn give_back(&mut self) {
        if self.has_spare() {
            self.0 = None;
        }
    }
}
