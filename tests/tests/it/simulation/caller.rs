//! Carries out one planned call, and writes down how it ended.

use std::sync::Arc;
use std::time::Duration;

use amp_proto::{AnsweredBy, CallError, Role};
use bytes::Bytes;
use mesh::{CallId, Client, gather};
use mesh_harness::Mesh;
use tokio::time::{Instant, timeout};

use super::ledger::{Carry, Do, Give, Ledger, Take, Told, Who, number};
use super::plan::{Call, From, Kind};

/// How long a caller looks for somebody to ask.
const FOUND_WITHIN: Duration = Duration::from_millis(200);
/// How late a call may end: timers go by milliseconds.
const LATE_MAX: Duration = Duration::from_millis(2);
/// A stream has no time of its own. It ends with its connection, at the latest when that is dead;
/// one that heals again and again goes on.
const STREAM_MAX: Duration = Duration::from_secs(180);

pub(super) struct Caller<'a> {
    pub(super) mesh: &'a Mesh,
    pub(super) ledger: &'a Arc<Ledger>,
    pub(super) call: &'a Call,
}

impl Caller<'_> {
    /// Makes the call at its time, and sees it to its end.
    pub(super) async fn run(&self) {
        tokio::time::sleep(self.call.at).await;
        if self.call.kind == Kind::Gather {
            return self.gather().await;
        }
        let calling = self.call_somebody();
        let told = match self.call.dropped_after {
            Some(after) => timeout(after, calling).await.unwrap_or(Told::Gone),
            None => calling.await,
        };
        self.ledger.told(self.call.id, None, told);
    }

    async fn call_somebody(&self) -> Told {
        let (regions, clusters) = (self.mesh.regions(), self.mesh.clusters());
        let is_once = matches!(self.call.kind, Kind::Once { .. });
        match self.call.from {
            From::Region { region, cluster } => {
                let cluster = Mesh::uuid_of(cluster % clusters.len());
                // Another try may go through another region process.
                let find = async |number: usize| {
                    let region = regions[(region + number) % regions.len()].controller();
                    region.get_client_for_within(cluster, FOUND_WITHIN).await.ok()
                };
                if is_once { self.once(find).await } else { self.plain(find(0).await).await }
            }
            From::Cluster { cluster, region } => {
                let cluster = &clusters[cluster % clusters.len()];
                let region = &regions[region % regions.len()];
                // A region process that was started again is another, with a memory of its own.
                let ident = Some(region.id().to_string());
                let find = async |_| {
                    let clients = cluster.get_all_clients();
                    clients.into_iter().find(|client| client.ident() == ident)
                };
                if is_once { self.once(find).await } else { self.plain(find(0).await).await }
            }
            From::ClusterAny { cluster } => {
                let cluster = cluster % clusters.len();
                let found = timeout(FOUND_WITHIN, clusters[cluster].get_client()).await;
                self.plain(found.ok().and_then(Result::ok)).await
            }
        }
    }

    async fn plain<R: Role>(&self, client: Option<Client<R>>) -> Told
    where
        Do: AnsweredBy<R>,
        Carry: AnsweredBy<R>,
        Give: AnsweredBy<R>,
        Take: AnsweredBy<R>,
    {
        let Some(client) = client else { return Told::Nobody };
        let client = client.within(self.call.within);
        let started = Instant::now();
        match self.call.kind {
            Kind::Gives { items, item_bytes } => {
                let giving = self.give(&client, items, item_bytes);
                self.no_longer_than(STREAM_MAX, giving).await
            }
            Kind::Takes { items, item_bytes, stops } => {
                let taking = self.take(&client, items, item_bytes, stops);
                self.no_longer_than(STREAM_MAX, taking).await
            }
            Kind::Large { bytes } => {
                let load: Bytes =
                    (0..bytes).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
                let command =
                    Carry { load: load.clone(), id: self.call.id, takes_ms: self.takes_ms() };
                let outcome = client.call(command).await;
                self.check_time(started);
                match outcome {
                    Ok(carried) => {
                        if carried.id != self.call.id || carried.load != load {
                            self.wrong("came back as something else");
                        }
                        Told::Done
                    }
                    Err(error) => Told::failed(&error),
                }
            }
            Kind::Plain | Kind::Failing | Kind::Once { .. } | Kind::Gather => {
                let outcome = client.call(self.command()).await;
                self.check_time(started);
                self.told(&outcome)
            }
        }
    }

    /// Tries with the same id until there is an outcome, or no use in trying again.
    async fn once<R: Role>(&self, find: impl AsyncFn(usize) -> Option<Client<R>>) -> Told
    where
        Do: AnsweredBy<R>,
    {
        let Kind::Once { tries } = self.call.kind else { return Told::Nobody };
        let id = CallId::generate();
        let (mut maybe_done, mut last) = (false, Told::Nobody);
        for number in 0..tries {
            if number > 0 {
                tokio::time::sleep(Duration::from_millis(u64::from(number) * 150)).await;
            }
            let Some(client) = find(usize::try_from(number).unwrap()).await else { continue };
            let started = Instant::now();
            let outcome = client.within(self.call.within).once(id).call(self.command()).await;
            self.check_time(started);
            if outcome == Err(CallError::OnceReused) {
                self.wrong("has an id that is taken for another's");
            }
            let again = outcome.as_ref().is_err_and(CallError::is_retryable_once);
            maybe_done |= outcome.as_ref().is_err_and(CallError::maybe_done);
            last = self.told(&outcome);
            if !again {
                break;
            }
        }
        match last {
            Told::Failed { what, .. } => Told::Failed { maybe_done, what },
            last => last,
        }
    }

    async fn gather(&self) {
        let From::Region { region, .. } = self.call.from else { return };
        let regions = self.mesh.regions();
        let clients = regions[region % regions.len()].get_all_clients();
        let clients: Vec<_> =
            clients.into_iter().map(|client| client.within(self.call.within)).collect();
        if clients.is_empty() {
            return self.ledger.told(self.call.id, None, Told::Nobody);
        }
        let started = Instant::now();
        let mut answers = gather(clients, self.command());
        while let Some((client, outcome)) = answers.next().await {
            self.check_time(started);
            let is_it = |index: &usize| Some(Mesh::uuid_of(*index).to_string()) == client.ident();
            let who = (0..16).find(is_it).map(Who::Cluster);
            self.ledger.told(self.call.id, who, self.told(&outcome));
        }
    }

    async fn give<R: Role>(&self, client: &Client<R>, items: u32, item_bytes: u32) -> Told
    where
        Give: AnsweredBy<R>,
    {
        let command = Give { id: self.call.id, takes_ms: self.takes_ms(), items, item_bytes };
        let mut giving = match client.stream(command) {
            Ok(giving) => giving,
            Err(error) => return Told::failed(&error),
        };
        let mut last = 0;
        loop {
            match giving.next().await {
                Ok(Some(item)) => {
                    if item != number(last + 1, item_bytes) {
                        self.wrong(&format!("was given {} after {last}", item.number));
                    }
                    last = item.number;
                }
                Ok(None) => break,
                Err(error) => return Told::failed(&error),
            }
        }
        if last != items {
            self.wrong(&format!("was given {last} of {items} items for all of them"));
        }
        match giving.finish().await {
            Ok(_) => Told::Done,
            Err(error) => Told::failed(&error),
        }
    }

    async fn take<R: Role>(
        &self,
        client: &Client<R>,
        items: u32,
        item_bytes: u32,
        stops: bool,
    ) -> Told
    where
        Take: AnsweredBy<R>,
    {
        let command = Take { id: self.call.id, takes_ms: self.takes_ms(), stops };
        let mut taking = match client.stream(command) {
            Ok(taking) => taking,
            Err(error) => return Told::failed(&error),
        };
        let mut sent = 0;
        for next in 1..=items {
            if taking.send(number(next, item_bytes)).await.is_err() {
                break;
            }
            sent = next;
        }
        self.ledger.ended(self.call.id, sent);
        match taking.finish().await {
            Ok(total) => {
                let all = u64::from(items) * u64::from(items + 1) / 2;
                if total.total != all || sent != items {
                    self.wrong(&format!("took {} in all, not {all}", total.total));
                }
                Told::Done
            }
            Err(CallError::Declared(_)) => Told::Done,
            Err(error) => Told::failed(&error),
        }
    }

    async fn no_longer_than(&self, most: Duration, calling: impl Future<Output = Told>) -> Told {
        timeout(most, calling).await.unwrap_or_else(|_| {
            self.wrong(&format!("hung for {most:?}"));
            Told::Gone
        })
    }

    fn command(&self) -> Do {
        let fails = self.call.kind == Kind::Failing;
        Do { id: self.call.id, takes_ms: self.takes_ms(), fails }
    }

    fn takes_ms(&self) -> u64 {
        u64::try_from(self.call.takes.as_millis()).unwrap()
    }

    fn told(
        &self,
        outcome: &Result<super::ledger::Did, CallError<super::ledger::DoError>>,
    ) -> Told {
        match outcome {
            Ok(did) => {
                if did.id != self.call.id {
                    self.wrong(&format!("was answered with {}", did.id));
                }
                Told::Done
            }
            // The responder's own words: it was begun.
            Err(CallError::Declared(_)) => Told::Done,
            Err(error) => Told::failed(error),
        }
    }

    fn check_time(&self, started: Instant) {
        let took = started.elapsed();
        if took > self.call.within + LATE_MAX {
            self.wrong(&format!("took {took:?}"));
        }
    }

    fn wrong(&self, what: &str) {
        self.ledger.wrong(format!("call {}: {what} ({:?})", self.call.id, self.call));
    }
}
