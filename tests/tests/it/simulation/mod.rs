//! Whole meshes under seeded bad weather, and the books of every call.
//!
//! `SEED=7` runs one seed, `SIMULATE_SEEDS=500` so many, from `SIMULATE_FIRST` on;
//! `SIMULATE_MINUTES=3` as many as there is time for; `SIMULATE_SECONDS=600` says how long each
//! plan is: `tests/simulate`.

mod caller;
mod ledger;
mod plan;
mod weather;

use std::collections::HashMap;
use std::env;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use mesh_harness::{Mesh, MeshBuilder, TestResult};

use self::caller::Caller;
use self::ledger::{Ledger, Who, Worker};
use self::plan::{Kind, Plan};
use self::weather::{FlakyRegistry, Weather};

/// So many seeds are run on every change.
const SEEDS: u64 = 40;
/// How long a mesh may take to be whole once everything has healed.
const WHOLE_WITHIN: Duration = Duration::from_secs(12);
/// By then everything that was left undone is over, and entries of the dead have expired.
const QUIET: Duration = Duration::from_secs(30);

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    seeds: u64,
    calls: usize,
    faults: usize,
    done: usize,
    doubtful: usize,
    refused: usize,
    nobody: usize,
    gone: usize,
    simulated: Duration,
}

impl Figures {
    fn and(self, other: Self) -> Self {
        Self {
            seeds: self.seeds + other.seeds,
            calls: self.calls + other.calls,
            faults: self.faults + other.faults,
            done: self.done + other.done,
            doubtful: self.doubtful + other.doubtful,
            refused: self.refused + other.refused,
            nobody: self.nobody + other.nobody,
            gone: self.gone + other.gone,
            simulated: self.simulated + other.simulated,
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, calls, faults, done, doubtful, refused, nobody, gone, .. } = self;
        write!(f, "{seeds} seeds, {} s simulated, {faults} faults, ", self.simulated.as_secs())?;
        write!(
            f,
            "{calls} calls: {done} carried out, {doubtful} in doubt, {refused} not carried "
        )?;
        write!(f, "out, {nobody} found nobody, {gone} left by their callers")
    }
}

/// What is wrong with a run.
#[derive(Debug, thiserror::Error)]
#[error("SEED={seed} {}", .wrong.join("\n"))]
struct Wrong {
    seed: u64,
    wrong: Vec<String>,
}

fn builder(plan: &Plan, ledger: &Arc<Ledger>) -> MeshBuilder {
    let (here, there, drain) = (Arc::clone(ledger), Arc::clone(ledger), plan.drain);
    let worker = |who, ledger: &Arc<Ledger>| Worker { who, ledger: Arc::clone(ledger) };
    Mesh::builder()
        .regions(plan.regions)
        .clusters(plan.clusters)
        .limits(plan.limits.clone())
        .settle_within(WHOLE_WITHIN)
        .every_region_is_a_seed()
        .configure_regions(move |index, it| {
            it.responders(worker(Who::Region(index), &here)).drain_timeout(drain)
        })
        .configure_clusters(move |index, it| {
            it.responders(worker(Who::Cluster(index), &there)).drain_timeout(drain)
        })
}

/// Runs a plan to its end, and gives what the callers were told.
async fn run(seed: u64, plan: &Plan, figures: &mut Figures) -> TestResult<Vec<String>> {
    let begun = tokio::time::Instant::now();
    let ledger = Arc::new(Ledger::default());
    let registry = FlakyRegistry::new();
    let mesh =
        builder(plan, &ledger).registry(Arc::<FlakyRegistry>::clone(&registry)).start().await?;
    let struck = play(plan, &mesh, &ledger, registry).await?;
    mesh.settled().await.map_err(|error| Wrong { seed, wrong: vec![error.to_string()] })?;
    tokio::time::sleep(QUIET).await;

    let kinds: HashMap<u64, Kind> = plan.calls.iter().map(|call| (call.id, call.kind)).collect();
    let mut wrong = ledger.judge(plan.calls.len(), |id| kinds.get(&id) == Some(&Kind::Gather));
    wrong.extend(left_over(&mesh).await);
    let (regions, clusters) = (mesh.regions().len(), mesh.clusters().len());
    let tasks = tasks_alive();
    let [done, doubtful, refused, nobody, gone] = ledger.figures();
    drop(mesh);
    tokio::time::sleep(Duration::from_secs(1)).await;
    if tasks_alive() > 0 {
        wrong.push(format!("{} tasks outlive the mesh", tasks_alive()));
    }
    let fresh = Plan { regions, clusters, faults: Vec::new(), calls: Vec::new(), ..plan.clone() };
    let at_rest = tasks_at_rest(&fresh).await?;
    if tasks != at_rest {
        wrong.push(format!("{tasks} tasks run, and {at_rest} in a mesh that nothing happened to"));
    }
    if !wrong.is_empty() {
        return Err(Wrong { seed, wrong }.into());
    }
    figures.seeds += 1;
    figures.calls += plan.calls.len();
    figures.faults += struck;
    figures.done += done;
    figures.doubtful += doubtful;
    figures.refused += refused;
    figures.nobody += nobody;
    figures.gone += gone;
    figures.simulated += begun.elapsed();
    Ok(ledger.lines())
}

/// Has the faults strike and the calls made, until all of both are over. Gives how many struck.
async fn play(
    plan: &Plan,
    mesh: &Mesh,
    ledger: &Arc<Ledger>,
    registry: Arc<FlakyRegistry>,
) -> TestResult<usize> {
    let weather = Weather::new(mesh, registry);
    let callers: Vec<_> = plan.calls.iter().map(|call| Caller { mesh, ledger, call }).collect();
    let faults = join_all(plan.faults.iter().map(|fault| weather.strike(fault).boxed_local()));
    let calls = join_all(callers.iter().map(|caller| caller.run().boxed_local()));
    let (faults, _) = tokio::join!(faults, calls);
    let struck = faults.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(struck.into_iter().filter(|struck| *struck).count())
}

/// What a mesh that nothing happens in holds and should not.
async fn left_over(mesh: &Mesh) -> Vec<String> {
    let mut wrong = Vec::new();
    let (regions, clusters) = (mesh.regions(), mesh.clusters());
    let mut links = Vec::new();
    for region in &regions {
        let all = region.controller().pool().all();
        if all.len() != clusters.len() {
            wrong.push(format!("region-{} has {} connections", region.index(), all.len()));
        }
        links.extend(all.into_iter().map(|(_, link)| link));
    }
    for cluster in &clusters {
        let all = cluster.controller().pool().all();
        if all.len() != regions.len() {
            wrong.push(format!("cluster-{} has {} connections", cluster.index(), all.len()));
        }
        links.extend(all.into_iter().map(|(_, link)| link));
    }
    for link in links {
        let (asks, streams) = (link.calls_in_flight(), link.streams_open());
        if (asks, streams) != (0, 0) {
            wrong.push(format!("{asks} asks and {streams} streams are left on {link:?}"));
        }
    }
    let known = mesh.registry().regions().await.unwrap();
    let mut known: Vec<_> = known.into_iter().map(|entry| entry.id).collect();
    let mut running: Vec<_> = regions.iter().map(mesh_harness::RegionProcess::id).collect();
    known.sort();
    running.sort();
    if known != running {
        wrong.push(format!("the registry knows {known:?}, and {running:?} run"));
    }
    let written = mesh.registry().links().await.unwrap().len();
    if written != regions.len() * clusters.len() {
        wrong.push(format!("the registry knows {written} connections"));
    }
    wrong
}

/// How many tasks a mesh of this size has when nothing happens, and nothing ever has.
async fn tasks_at_rest(plan: &Plan) -> TestResult<usize> {
    let _mesh = builder(plan, &Arc::default()).start().await?;
    tokio::time::sleep(QUIET).await;
    Ok(tasks_alive())
}

fn tasks_alive() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// What to run, as the environment says.
#[derive(Clone, Copy, Debug)]
struct Settings {
    /// How long each plan is, if not as long as its seed says.
    lasts: Option<Duration>,
    /// The seed to begin with.
    first: u64,
    /// How many seeds, if there is an end to them.
    seeds: Option<u64>,
    /// When no further seed is begun.
    until: Option<SystemTime>,
    /// How many run at once.
    at_once: usize,
}

impl Settings {
    fn of_the_environment() -> Self {
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let minutes = number("SIMULATE_MINUTES");
        let seeds = number("SIMULATE_SEEDS").or_else(|| minutes.is_none().then_some(SEEDS));
        let anywhere = || if seeds.is_some() { 0 } else { rand::random::<u32>().into() };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            lasts: number("SIMULATE_SECONDS").map(Duration::from_secs),
            first: number("SIMULATE_FIRST").unwrap_or_else(anywhere),
            seeds,
            until: minutes.map(|minutes| SystemTime::now() + Duration::from_secs(60 * minutes)),
            // Among other tests it is one of many.
            at_once: if number("SIMULATE_SEEDS").or(minutes).is_some() { cores } else { 1 },
        }
    }

    fn is_over(&self, begun: u64) -> bool {
        self.seeds.is_some_and(|seeds| begun >= seeds)
            || self.until.is_some_and(|until| begun > 0 && SystemTime::now() >= until)
    }
}

/// A run in a runtime of its own, whose time stands still but for it.
fn simulate(seed: u64, lasts: Option<Duration>, figures: &mut Figures) -> TestResult<Vec<String>> {
    let plan = Plan::of(seed, lasts);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build()?;
    runtime.block_on(run(seed, &plan, figures))
}

/// Runs seeds, one after the other on each of some threads, until it is over or one goes wrong.
fn simulate_all(settings: Settings) -> Result<Figures, String> {
    let (begun, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let one_after_the_other = || {
        let mut figures = Figures::default();
        while !failed.load(Ordering::Relaxed) {
            let number = begun.fetch_add(1, Ordering::Relaxed);
            if settings.is_over(number) {
                break;
            }
            let seed = settings.first + number;
            if let Err(error) = simulate(seed, settings.lasts, &mut figures) {
                failed.store(true, Ordering::Relaxed);
                // Wherever it went wrong, the seed is said.
                return Err(format!("SEED={seed}: {error:?}"));
            }
        }
        Ok(figures)
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..settings.at_once).map(|_| scope.spawn(one_after_the_other)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().expect("it does not panic"));
        ended.collect::<Vec<_>>()
    });
    all.into_iter().try_fold(Figures::default(), |sum, figures| Ok(sum.and(figures?)))
}

#[test]
fn every_outcome_is_true_and_nothing_is_left_over_whatever_the_weather() -> TestResult {
    let settings = Settings::of_the_environment();
    if let Some(seed) = env::var("SEED").ok().and_then(|text| text.parse().ok()) {
        let mut figures = Figures::default();
        for line in simulate(seed, settings.lasts, &mut figures)? {
            println!("{line}");
        }
        println!("{figures}");
        return Ok(());
    }
    let started = SystemTime::now();
    let figures = simulate_all(settings)?;
    let took = started.elapsed().unwrap_or_default().as_secs();
    println!("R5: {figures}; 0 violations, in {took} s");
    Ok(())
}

#[test]
fn the_same_seed_is_the_same_plan() {
    let ten_minutes = Some(Duration::from_secs(600));
    for lasting in [None, ten_minutes] {
        let plans: Vec<Plan> = (0..5).map(|seed| Plan::of(seed, lasting)).collect();
        for (seed, plan) in (0..).zip(&plans) {
            assert_eq!(*plan, Plan::of(seed, lasting));
        }
        assert!(plans.windows(2).all(|two| two[0] != two[1]));
    }
}
