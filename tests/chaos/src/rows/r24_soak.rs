//! R24: mixed load for long. Nothing grows, and nothing is left over.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use mesh::Secret;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use crate::floods::slope::Slope;
use crate::processes::{Process, output};
use crate::row::{Figures, Form, Row, Run};
use crate::rows::minutes;

pub(crate) struct Soak;

const WITHIN: Duration = Duration::from_secs(30);
/// How long memory may take to reach its level: caches, and calls that are remembered.
const WARM_UP: Duration = Duration::from_secs(120);
/// How long a process remembers calls that are made once; less than it takes to warm up.
const ONCE_S: &str = "20";
/// So many calls end it early, but not before this: it has to be warm, and measured for a while.
const CALLS_MAX: u64 = 100_000_000;
const SHORTEST: Duration = Duration::from_secs(5 * 60);
const MIB: f64 = 1024.0 * 1024.0;
/// What the upper end of the interval may say that a call leaves behind, in bytes: no allocation is
/// so small.
const LEFT_PER_CALL_MAX: f64 = 1.0;

/// A process, and what it was before the load.
struct Watched {
    name: &'static str,
    process: Process,
    files: usize,
    tasks: u64,
    resident: Vec<f64>,
}

/// What a process counts.
struct Count {
    calls: u64,
    failed: u64,
    tasks: u64,
}

impl Watched {
    async fn count(&mut self) -> anyhow::Result<Count> {
        self.process.tell("count").await?;
        let line = self.process.line("count", WITHIN).await?;
        let numbers = line.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let [calls, failed, _, tasks] = numbers[..] else { anyhow::bail!("`{line}`") };
        Ok(Count { calls, failed, tasks })
    }

    /// Waits until there are no more tasks and files than before the load.
    async fn settle(&mut self) -> anyhow::Result<(u64, usize)> {
        let begun = Instant::now();
        loop {
            let now = (self.count().await?.tasks, self.process.open_files()?);
            if (now.0 <= self.tasks && now.1 <= self.files) || begun.elapsed() > WITHIN {
                return Ok(now);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A region process and a cluster process that is connected to it.
async fn start() -> anyhow::Result<([Watched; 2], Uuid)> {
    output("ip", &["link", "set", "lo", "up"]).await?;
    let (secret, uuid) = (Secret::generate().to_hex(), Uuid::new_v4());
    let watched = |name, process| Watched { name, process, files: 0, tasks: 0, resident: vec![] };
    let arguments = ["flood", "region", "--secret", &secret, "--once-s", ONCE_S];
    let mut region = Process::of_ours(&arguments)?.start()?;
    let address = region.line("address", WITHIN).await?;
    let uuid_text = uuid.to_string();
    let arguments = ["flood", "cluster", "--secret", &secret, "--once-s", ONCE_S];
    let arguments = [&arguments[..], &["--region", &address, "--uuid", &uuid_text]].concat();
    let mut cluster = Process::of_ours(&arguments)?.start()?;
    cluster.line("connected", WITHIN).await?;
    // What is said after the connection is open has been said by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut both = [watched("region", region), watched("cluster", cluster)];
    for watched in &mut both {
        (watched.tasks, watched.files) =
            (watched.count().await?.tasks, watched.process.open_files()?);
    }
    Ok((both, uuid))
}

#[async_trait]
impl Row for Soak {
    fn number(&self) -> &'static str {
        "R24"
    }

    fn property(&self) -> &'static str {
        "under mixed load for long nothing grows"
    }

    fn target(&self, form: Form) -> &'static str {
        match form {
            Form::Short => "memory grows by no more than 1 MiB/h, as far as 5 min can tell",
            Form::Long => "8 h or 10⁸ calls: memory grows by no more than 1 MiB/h",
        }
    }

    fn time_limit(&self, form: Form) -> Duration {
        match form {
            Form::Short => minutes(8),
            Form::Long => minutes(8 * 60 + 15),
        }
    }

    async fn run(&self, run: Run) -> anyhow::Result<Figures> {
        let lasts = run.lasts(minutes(5), minutes(8 * 60));
        let ([mut region, mut cluster], uuid) = start().await?;
        region.process.tell(&format!("load {uuid}")).await?;
        cluster.process.tell("load").await?;
        let begun = Instant::now();
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // How many calls there had been when memory was looked at for the first time, and when.
        let (mut before, mut second) = (None, 0_u64);
        loop {
            seconds.tick().await;
            second += 1;
            let is_warm = begun.elapsed() >= WARM_UP;
            if is_warm && before.is_none() {
                let calls = region.count().await?.calls + cluster.count().await?.calls;
                before = Some((calls, Instant::now()));
            }
            for watched in [&mut region, &mut cluster].into_iter().filter(|_| is_warm) {
                let bytes = u32::try_from(watched.process.resident_bytes()? / 1024)?;
                watched.resident.push(f64::from(bytes) * 1024.0);
            }
            // A question a minute is no load.
            if second.is_multiple_of(60) || begun.elapsed() >= lasts {
                let calls = region.count().await?.calls + cluster.count().await?.calls;
                let is_enough = calls >= CALLS_MAX && begun.elapsed() >= SHORTEST;
                if is_enough || begun.elapsed() >= lasts {
                    break;
                }
            }
        }
        let lasted = begun.elapsed();
        for watched in [&mut region, &mut cluster] {
            watched.process.tell("stop").await?;
        }
        for watched in [&mut region, &mut cluster] {
            watched.process.line("stopped", Duration::from_secs(60)).await?;
        }
        let mut figures = Figures::default();
        let (mut calls, mut failed) = (0, 0);
        for watched in [&mut region, &mut cluster] {
            let count = watched.count().await?;
            calls += count.calls;
            failed += count.failed;
        }
        ensure!(calls > 0, "no calls were made");
        figures.say(format!("{calls} calls in {} s", lasted.as_secs()));
        figures.check(failed == 0, format!("{failed} failed"));
        cluster.process.tell("comings").await?;
        let comings: u64 = cluster.process.line("comings", WITHIN).await?.parse()?;
        figures.check(comings > 0, format!("{comings} more processes came and went"));
        let (calls_before, warm_at) = before.context("it ended before it was warm")?;
        let measured = (begun + lasted).duration_since(warm_at).as_secs_f64();
        let calls_measured = f64::from(u32::try_from(calls.saturating_sub(calls_before))?);
        for watched in [&mut region, &mut cluster] {
            growth(&mut figures, watched, calls_measured / measured)?;
            let (tasks, files) = watched.settle().await?;
            figures.check(
                tasks <= watched.tasks && files <= watched.files,
                format!(
                    "{} has {tasks} tasks and {files} files, {} and {} before",
                    watched.name, watched.tasks, watched.files
                ),
            );
        }
        Ok(figures)
    }
}

/// How fast memory grows. A growth that chance does not explain misses the target; and what chance
/// may hide has to be less than any call could leave behind.
fn growth(figures: &mut Figures, watched: &Watched, calls_per_s: f64) -> anyhow::Result<()> {
    let Watched { name, resident, .. } = watched;
    let slope = Slope::of(resident).context("too short to tell")?;
    let [per_hour, plus_minus] = [slope.per_second, slope.plus_minus].map(|it| it * 3600.0 / MIB);
    let level = resident.last().copied().unwrap_or_default() / MIB;
    figures.check(
        per_hour - plus_minus <= 1.0,
        format!("{name} at {level:.1} MiB grows by {per_hour:.2} ± {plus_minus:.2} MiB/h"),
    );
    let left = (slope.per_second + slope.plus_minus) / calls_per_s;
    figures
        .check(left <= LEFT_PER_CALL_MAX, format!("{name} keeps at most {left:.3} bytes per call"));
    Ok(())
}
