//! Whole meshes under seeded bad weather, and the books of every call.
//!
//! `SEED=7` runs one seed, `SIMULATE_MINUTES=3` as many as there is time for: `tests/simulate`.

mod caller;
mod ledger;
mod plan;
mod weather;

use std::collections::HashMap;
use std::env;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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

/// A run in a runtime of its own, whose time stands still but for it.
fn simulate(seed: u64, figures: &mut Figures) -> TestResult<Vec<String>> {
    let plan = Plan::of(seed);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build()?;
    runtime.block_on(run(seed, &plan, figures))
}

#[test]
fn every_outcome_is_true_and_nothing_is_left_over_whatever_the_weather() -> TestResult {
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mut figures = Figures::default();
    if let Some(seed) = number("SEED") {
        for line in simulate(seed, &mut figures)? {
            println!("{line}");
        }
    } else if let Some(minutes) = number("SIMULATE_MINUTES") {
        let end = std::time::SystemTime::now() + Duration::from_secs(60 * minutes);
        for seed in rand::random::<u32>().into().. {
            simulate(seed, &mut figures)?;
            if std::time::SystemTime::now() >= end {
                break;
            }
        }
    } else {
        for seed in 0..SEEDS {
            simulate(seed, &mut figures)?;
        }
    }
    println!("{figures}");
    Ok(())
}

#[test]
fn the_same_seed_is_the_same_plan() {
    let plans: Vec<Plan> = (0..20).map(Plan::of).collect();
    for (seed, plan) in (0..).zip(&plans) {
        assert_eq!(*plan, Plan::of(seed));
    }
    assert!(plans.windows(2).all(|two| two[0] != two[1]));
}
