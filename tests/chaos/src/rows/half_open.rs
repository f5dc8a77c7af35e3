//! R6: peers that are there no more, or stand still, and say nothing of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amp_proto::RoleName;
use anyhow::Context as _;
use async_trait::async_trait;

use super::minutes;
use crate::network::Ways;
use crate::processes::Signal;
use crate::row::{Figures, Form, Row, Run};
use crate::stage::{Plan, Stage};

/// By when a peer of which no packet comes any more has to be noticed.
const CUT_NOTICED_MAX_MS: u128 = 10_000;
/// By when a peer has to be noticed whose kernel still acknowledges packets: `dead_after` from its
/// last word, which may have been its last deed, and half a second in which the process that notices
/// is scheduled and tells of it.
const STOPPED_NOTICED_MAX_MS: u128 = 15_000 + 500;
/// How long is waited for figures that miss these.
const PATIENCE: Duration = Duration::from_secs(60);
const WHOLE_WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct HalfOpen;

/// The slowest of each kind, in milliseconds.
#[derive(Debug, Default)]
struct Slowest {
    cut: u128,
    stopped: u128,
}

#[async_trait]
impl Row for HalfOpen {
    fn number(&self) -> &'static str {
        "R6"
    }

    fn property(&self) -> &'static str {
        "half-open peers: packets dropped both ways, SIGSTOP"
    }

    fn target(&self, form: Form) -> &'static str {
        match form {
            Form::Short => "once each: dropped ≤ 10 s, stopped ≤ 15 s (+ 0.5 s to be told)",
            Form::Long => "10 times each: dropped ≤ 10 s, stopped ≤ 15 s (+ 0.5 s to be told)",
        }
    }

    fn time_limit(&self, form: Form) -> Duration {
        match form {
            Form::Short => minutes(5),
            Form::Long => minutes(30),
        }
    }

    async fn run(&self, run: Run) -> anyhow::Result<Figures> {
        let rounds = match run.form {
            Form::Short => 1,
            Form::Long => 10,
        };
        let mut stage = Stage::new(Plan {
            regions: 2,
            clusters: 2,
            proxied: 0,
            keys: true,
            postgres: None,
            load: "plain",
            callers: 4,
            pause: Duration::from_millis(10),
            watch: true,
        })
        .await?;
        let mut rng = fastrand::Rng::with_seed(run.seed);
        let mut figures = Figures::default();
        for what in ["idle", "writing"] {
            let mut slowest = Slowest::default();
            for _ in 0..rounds {
                stage.whole(WHOLE_WITHIN).await.with_context(|| format!("before {what}"))?;
                // Another moment between two signs of life each time.
                tokio::time::sleep(Duration::from_millis(rng.u64(0..5000))).await;
                round(&mut stage, &mut slowest).await.with_context(|| what.to_owned())?;
            }
            let Slowest { cut, stopped } = slowest;
            figures.check(cut <= CUT_NOTICED_MAX_MS, format!("{what}: dropped {cut} ms"));
            let is_ok = stopped <= STOPPED_NOTICED_MAX_MS;
            figures.check(is_ok, format!("{what}: stopped {stopped} ms"));
            if what == "idle" {
                stage.load().await?;
            }
        }
        stage.whole(WHOLE_WITHIN).await.context("at the end")?;
        Ok(figures)
    }
}

/// Cuts the first cluster from the first region, and stops the second of each. Waits until all that
/// are left have noticed, and mends everything.
async fn round(stage: &mut Stage, slowest: &mut Slowest) -> anyhow::Result<()> {
    use RoleName::{Cluster, Region};
    for node in stage.nodes() {
        node.process()?.forget().await?;
    }
    let [first_region, second_region] = [0, 1].map(|at| stage.ident(Region, at));
    let [first_cluster, second_cluster] = [0, 1].map(|at| stage.ident(Cluster, at));
    let (from, to) = (stage.address(Cluster, 0)?, stage.address(Region, 0)?);
    stage.network.cut(from, to, Ways::Both).await?;
    let cut_at = now_ms();
    stage.node(Cluster, 1)?.process()?.signal(Signal::STOP)?;
    stage.node(Region, 1)?.process()?.signal(Signal::STOP)?;
    let stopped_at = now_ms();
    for (role, ident) in [(Cluster, &first_region), (Region, &first_cluster)] {
        let lost = lost_at(stage, role, ident).await?;
        slowest.cut = slowest.cut.max(lost.saturating_sub(cut_at));
    }
    for (role, ident) in [(Cluster, &second_region), (Region, &second_cluster)] {
        let lost = lost_at(stage, role, ident).await?;
        slowest.stopped = slowest.stopped.max(lost.saturating_sub(stopped_at));
    }
    stage.node(Cluster, 1)?.process()?.signal(Signal::CONT)?;
    stage.node(Region, 1)?.process()?.signal(Signal::CONT)?;
    stage.network.heal(from, to, Ways::Both).await
}

/// When the first process of a role lost a peer, by the wall clock.
async fn lost_at(stage: &mut Stage, role: RoleName, ident: &str) -> anyhow::Result<u128> {
    let process = stage.node(role, 0)?.process()?;
    Ok(process.line(&format!("lost {ident} "), PATIENCE).await?.parse()?)
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}
