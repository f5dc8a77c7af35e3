//! Callers: regions that call clusters, and clusters that call regions, again and again until they
//! are told to rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use amp_proto::{AnsweredBy, CallError, Cluster, Region, Role};
use bytes::Bytes;
use clap::ValueEnum;
use cluster::ClusterController;
use mesh::{CallId, Client, ClusterId};
use region::RegionController;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ledger::{End, Entry, Ledger};
use crate::work::{Carry, Did, Give, Take, Work, WorkError, digest, number};

/// How long a caller of the storm looks for somebody to ask.
const FOUND_WITHIN: Duration = Duration::from_millis(300);
/// How often a call of the storm that is made once is tried.
const TRIES: u32 = 6;
/// How long a client tries again that has to succeed in the end.
const RETRIES_FOR: Duration = Duration::from_secs(30);
/// How long such a client waits between two tries.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// A process numbers its calls from here on: the upper half is the number of its life.
const CALLS_PER_LIFE: u64 = 1 << 32;

/// What kind of load a process makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Every kind of call, each made once, or tried a few times if it is made once.
    Storm,
    /// Calls that are tried again until they succeed, as far as that cannot carry them out twice.
    Retry,
    /// Plain calls, one try each.
    Plain,
}

/// Who calls, and how much.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) who: Who,
    pub(crate) kind: Kind,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) life: u64,
    pub(crate) callers: u64,
    /// How long a caller rests between two calls, on average.
    pub(crate) pause: Duration,
    pub(crate) made: AtomicU64,
}

/// The process that calls.
#[derive(Debug)]
pub(crate) enum Who {
    Region { region: RegionController, clusters: Vec<ClusterId> },
    Cluster(ClusterController),
}

/// Finds somebody to ask, anew for each try.
trait Find<R>: Sync {
    /// Whether it finds the same peer every time, who may be tried again with the same id.
    const IS_ONE: bool;

    fn find(&self) -> impl Future<Output = Option<Client<R>>> + Send;
}

struct OneCluster<'a> {
    region: &'a RegionController,
    cluster: ClusterId,
    wait: Duration,
}

impl Find<Cluster> for OneCluster<'_> {
    const IS_ONE: bool = true;

    async fn find(&self) -> Option<Client<Cluster>> {
        self.region.get_client_for_within(self.cluster, self.wait).await.ok()
    }
}

struct OneRegion<'a> {
    cluster: &'a ClusterController,
    ident: Option<String>,
}

impl Find<Region> for OneRegion<'_> {
    const IS_ONE: bool = true;

    async fn find(&self) -> Option<Client<Region>> {
        let ident = self.ident.as_ref()?;
        self.cluster
            .get_all_clients()
            .into_iter()
            .find(|client| client.ident().as_ref() == Some(ident))
    }
}

struct AnyRegion<'a> {
    cluster: &'a ClusterController,
    wait: Duration,
}

impl Find<Region> for AnyRegion<'_> {
    const IS_ONE: bool = false;

    async fn find(&self) -> Option<Client<Region>> {
        timeout(self.wait, self.cluster.get_client()).await.ok()?.ok()
    }
}

/// How a call ended, and by how much it was late.
struct Told {
    end: End,
    late: Duration,
    why: String,
}

impl Told {
    fn nobody() -> Self {
        Self { end: End::Nobody, late: Duration::ZERO, why: String::new() }
    }

    fn failed<E: std::fmt::Debug>(error: &CallError<E>) -> Self {
        let end = match error {
            CallError::Declared(_) => End::Answered,
            other if other.maybe_done() => End::Maybe,
            _ => End::NotDone,
        };
        Self { end, late: Duration::ZERO, why: format!("{error:?}") }
    }

    /// `is_right` says whether the answer is that to the question.
    fn answered(is_right: bool) -> Self {
        let end = if is_right { End::Answered } else { End::Mismatched };
        Self { end, late: Duration::ZERO, why: String::new() }
    }
}

impl Load {
    /// Starts the callers. They stop when `rest` is cancelled, each after its call.
    pub(crate) fn start(self: &Arc<Self>, rest: &CancellationToken) -> TaskTracker {
        let tasks = TaskTracker::new();
        for caller in 0..self.callers {
            let (load, rest) = (Arc::clone(self), rest.clone());
            tasks.spawn(async move {
                let mut rng = fastrand::Rng::with_seed(load.life * 1000 + caller);
                while !rest.is_cancelled() {
                    load.call(&mut rng).await;
                    let pause = load.pause.mul_f64(rng.f64() * 2.0);
                    let _over = timeout(pause, rest.cancelled()).await;
                }
            });
        }
        tasks.close();
        tasks
    }

    async fn call(&self, rng: &mut fastrand::Rng) {
        let id = self.life * CALLS_PER_LIFE + self.made.fetch_add(1, Ordering::Relaxed);
        let shape = Shape::drawn(self.kind, rng);
        let kind = shape.word().to_owned();
        // Whoever cannot write down what it does must not do it.
        if self.ledger.write(&Entry::Begun { id, kind }).is_err() {
            return;
        }
        let calling = Calling { id, shape, rng };
        let Told { end, late, why } = match &self.who {
            Who::Region { region, clusters } => match calling.rng.choice(clusters) {
                Some(cluster) => {
                    let wait = if self.kind == Kind::Retry { RETRIES_FOR } else { FOUND_WITHIN };
                    calling.run(&OneCluster { region, cluster: *cluster, wait }).await
                }
                None => Told::nobody(),
            },
            Who::Cluster(cluster) if shape == Shape::Once => {
                // Each region process remembers for itself.
                let first = calling.rng.choice(cluster.get_all_clients());
                let ident = first.and_then(|client| client.ident());
                calling.run(&OneRegion { cluster, ident }).await
            }
            Who::Cluster(cluster) => {
                let wait = if self.kind == Kind::Retry { RETRIES_FOR } else { FOUND_WITHIN };
                calling.run(&AnyRegion { cluster, wait }).await
            }
        };
        let why = if end == End::Answered { String::new() } else { why };
        let _written = self.ledger.write(&Entry::Ended { id, end, late, why });
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Plain { fails: bool },
    Once,
    Retried,
    Large { bytes: usize },
    Gives { items: u64 },
    Takes { items: u64 },
}

impl Shape {
    fn drawn(kind: Kind, rng: &mut fastrand::Rng) -> Self {
        match kind {
            Kind::Retry => Self::Retried,
            Kind::Plain => Self::Plain { fails: false },
            Kind::Storm => match rng.u32(0..100) {
                0..20 => Self::Once,
                20..23 => Self::Large { bytes: rng.usize(50_000..400_000) },
                23..26 => Self::Gives { items: rng.u64(1..200) },
                26..29 => Self::Takes { items: rng.u64(1..200) },
                29..34 => Self::Plain { fails: true },
                _ => Self::Plain { fails: false },
            },
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Plain { .. } => "plain",
            Self::Once => "once",
            Self::Retried => "retried",
            Self::Large { .. } => "large",
            Self::Gives { .. } => "gives",
            Self::Takes { .. } => "takes",
        }
    }
}

struct Calling<'a> {
    id: u64,
    shape: Shape,
    rng: &'a mut fastrand::Rng,
}

impl Calling<'_> {
    /// `find` gives somebody to ask for each try.
    async fn run<R: Role>(mut self, find: &impl Find<R>) -> Told
    where
        Work: AnsweredBy<R>,
        Carry: AnsweredBy<R>,
        Give: AnsweredBy<R>,
        Take: AnsweredBy<R>,
    {
        match self.shape {
            Shape::Once => return self.once(find).await,
            Shape::Retried => return self.retried(find).await,
            Shape::Plain { .. }
            | Shape::Large { .. }
            | Shape::Gives { .. }
            | Shape::Takes { .. } => {}
        }
        let Some(client) = find.find().await else { return Told::nobody() };
        match self.shape {
            Shape::Large { bytes } => self.large(&client, bytes).await,
            Shape::Gives { items } => self.give(&client, items).await,
            Shape::Takes { items } => self.take(&client, items).await,
            Shape::Plain { .. } | Shape::Once | Shape::Retried => {
                let within = self.within();
                self.work(&client.within(within), within).await.0
            }
        }
    }

    fn within(&mut self) -> Duration {
        Duration::from_millis(self.rng.u64(2000..10_000))
    }

    /// One try of a plain call, and what came of it for whoever wants to try again.
    async fn work<R: Role>(
        &mut self,
        client: &Client<R>,
        within: Duration,
    ) -> (Told, Result<Did, CallError<WorkError>>)
    where
        Work: AnsweredBy<R>,
    {
        let bytes = self.rng.usize(0..600);
        let payload: Bytes = (0..bytes).map(|_| self.rng.u8(..)).collect();
        self.judged(client.call(self.question(&payload)), within, &payload).await
    }

    fn fails(&self) -> bool {
        self.shape == Shape::Plain { fails: true }
    }

    /// What is asked for. Some of it takes its time, the same for every try.
    fn question(&self, payload: &Bytes) -> Work {
        let takes_ms = if self.id.is_multiple_of(10) { self.id % 300 } else { 0 };
        Work { id: self.id, takes_ms, fails: self.fails(), payload: payload.clone() }
    }

    /// How a call for it ends.
    async fn judged(
        &self,
        calling: impl Future<Output = Result<Did, CallError<WorkError>>>,
        within: Duration,
        payload: &Bytes,
    ) -> (Told, Result<Did, CallError<WorkError>>) {
        let (expected, fails) = (Did { id: self.id, digest: digest(payload) }, self.fails());
        let begun = Instant::now();
        let outcome = calling.await;
        let mut told = match &outcome {
            Ok(did) => Told::answered(*did == expected && !fails),
            Err(CallError::Declared(WorkError::Failed(whose))) => {
                Told::answered(fails && *whose == self.id.to_string())
            }
            Err(error) => Told::failed(error),
        };
        told.late = begun.elapsed().saturating_sub(within);
        (told, outcome)
    }

    /// Tries with one id a few times.
    async fn once<R: Role>(&mut self, find: &impl Find<R>) -> Told
    where
        Work: AnsweredBy<R>,
    {
        let (call, payload) = (CallId::generate(), Bytes::from(self.id.to_be_bytes().to_vec()));
        let (mut told, mut maybe, mut latest) = (Told::nobody(), false, Duration::ZERO);
        for number in 0..TRIES {
            if number > 0 {
                sleep(FOUND_WITHIN).await;
            }
            let Some(client) = find.find().await else { continue };
            let within = self.within();
            let client = client.within(within).once(call);
            let calling = client.call(self.question(&payload));
            let (tried, outcome) = self.judged(calling, within, &payload).await;
            latest = latest.max(tried.late);
            told = tried;
            match outcome {
                Err(error) if error.is_retryable_once() => maybe |= error.maybe_done(),
                Err(error) => {
                    maybe |= error.maybe_done();
                    break;
                }
                Ok(_) => break,
            }
        }
        told.late = latest;
        if maybe && matches!(told.end, End::NotDone | End::Nobody) {
            told.end = End::Maybe;
        }
        told
    }

    /// Tries until it succeeds, with another id when the last try certainly did nothing.
    async fn retried<R: Role, F: Find<R>>(&mut self, find: &F) -> Told
    where
        Work: AnsweredBy<R>,
    {
        let begun = Instant::now();
        let payload = Bytes::from(self.id.to_be_bytes().to_vec());
        let (mut call, mut told) = (None, Told::nobody());
        for number in 0.. {
            if begun.elapsed() > RETRIES_FOR {
                break;
            }
            if number > 0 {
                sleep(RETRY_AFTER).await;
            }
            let Some(client) = find.find().await else { continue };
            let within = self.within();
            // The id must not be older than the process, which may have been waited for.
            let id = call.unwrap_or_else(CallId::generate);
            let client = client.within(within).once(id);
            let calling = client.call(self.question(&payload));
            let (tried, outcome) = self.judged(calling, within, &payload).await;
            told = tried;
            match outcome {
                Err(error) if error.is_retryable() && call.is_none() => {}
                Err(error) if F::IS_ONE && error.is_retryable_once() => call = Some(id),
                _ => break,
            }
        }
        told
    }

    async fn large<R: Role>(&mut self, client: &Client<R>, bytes: usize) -> Told
    where
        Carry: AnsweredBy<R>,
    {
        let first = self.rng.u8(..);
        let load: Bytes = (0..bytes).map(|at| first.wrapping_add(at.to_le_bytes()[0])).collect();
        let within = self.within();
        let begun = Instant::now();
        let command = Carry { id: self.id, load: load.clone() };
        let mut told = match client.clone().within(within).call(command).await {
            Ok(carried) => Told::answered(carried.id == self.id && carried.load == load),
            Err(error) => Told::failed(&error),
        };
        told.late = begun.elapsed().saturating_sub(within);
        told
    }

    async fn give<R: Role>(&self, client: &Client<R>, items: u64) -> Told
    where
        Give: AnsweredBy<R>,
    {
        let mut giving = match client.stream(Give { id: self.id, items }) {
            Ok(giving) => giving,
            Err(error) => return Told::failed(&error),
        };
        for expected in 1.. {
            match giving.next().await {
                Ok(Some(item)) if expected <= items && item == number(expected) => {}
                Ok(None) if expected == items + 1 => break,
                Ok(item) => {
                    let why = format!("{item:?} for {expected} of {items}");
                    return Told { end: End::Mismatched, late: Duration::ZERO, why };
                }
                Err(error) => return Told::failed(&error),
            }
        }
        match giving.finish().await {
            Ok(did) => Told::answered(did == Did { id: self.id, digest: items }),
            Err(error) => Told::failed(&error),
        }
    }

    async fn take<R: Role>(&self, client: &Client<R>, items: u64) -> Told
    where
        Take: AnsweredBy<R>,
    {
        let mut taking = match client.stream(Take { id: self.id, items }) {
            Ok(taking) => taking,
            Err(error) => return Told::failed(&error),
        };
        for next in 1..=items {
            if taking.send(number(next)).await.is_err() {
                break;
            }
        }
        match taking.finish().await {
            Ok(total) => {
                Told::answered(total.id == self.id && total.total == items * (items + 1) / 2)
            }
            Err(error) => Told::failed(&error),
        }
    }
}
