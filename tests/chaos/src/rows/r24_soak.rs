//! R24: mixed load for long. Nothing grows, and nothing is left over. Growth that is found is
//! measured once more: what is kept with every call grows again, and a level that is reached late
//! does not.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use mesh::Secret;
use tokio::time::{Instant, MissedTickBehavior, sleep};
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
/// So many calls end it early, but not before it was measured for a while.
const CALLS_MAX: u64 = 100_000_000;
const SHORTEST: Duration = Duration::from_secs(3 * 60);
const MIB: f64 = 1024.0 * 1024.0;
/// The target, in MiB.
const PER_HOUR_MAX: f64 = 1.0;
/// What the upper end of the interval may say that a call leaves behind, in bytes: no allocation is
/// so small.
const LEFT_PER_CALL_MAX: f64 = 1.0;

/// A process, and what it was before the load.
struct Watched {
    name: &'static str,
    process: Process,
    files: usize,
    tasks: u64,
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
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A region process and a cluster process that is connected to it.
async fn start() -> anyhow::Result<([Watched; 2], Uuid)> {
    output("ip", &["link", "set", "lo", "up"]).await?;
    let (secret, uuid) = (Secret::generate().to_hex(), Uuid::new_v4());
    let watched = |name, process| Watched { name, process, files: 0, tasks: 0 };
    let arguments = ["flood", "region", "--secret", &secret, "--once-s", ONCE_S];
    let mut region = Process::of_ours(&arguments)?.start()?;
    let address = region.line("address", WITHIN).await?;
    let uuid_text = uuid.to_string();
    let arguments = ["flood", "cluster", "--secret", &secret, "--once-s", ONCE_S];
    let arguments = [&arguments[..], &["--region", &address, "--uuid", &uuid_text]].concat();
    let mut cluster = Process::of_ours(&arguments)?.start()?;
    cluster.line("connected", WITHIN).await?;
    // What is said after the connection is open has been said by then.
    sleep(Duration::from_secs(2)).await;
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
            Form::Short => minutes(11),
            Form::Long => minutes(16 * 60 + 15),
        }
    }

    async fn run(&self, run: Run) -> anyhow::Result<Figures> {
        let lasts = run.lasts(minutes(5), minutes(8 * 60));
        let at_most = lasts.checked_sub(WARM_UP).context("it would end before it is warm")?;
        let ([mut region, mut cluster], uuid) = start().await?;
        region.process.tell(&format!("load {uuid}")).await?;
        cluster.process.tell("load").await?;
        let begun = Instant::now();
        sleep(WARM_UP).await;
        let mut figures = Figures::default();
        let mut both = [&mut region, &mut cluster];
        let mut growths = watch(&mut both, at_most).await?;
        if growths.iter().any(Growth::is_beyond_chance) {
            let told: Vec<String> = growths.iter().map(Growth::in_stretches).collect();
            figures.say(format!("{}; measured once more", told.join("; ")));
            growths = watch(&mut both, at_most).await?;
        }
        let lasted = begun.elapsed();
        for watched in [&mut region, &mut cluster] {
            watched.process.tell("stop").await?;
        }
        for watched in [&mut region, &mut cluster] {
            watched.process.line("stopped", Duration::from_secs(60)).await?;
        }
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
        for (watched, growth) in [&mut region, &mut cluster].into_iter().zip(&growths) {
            growth.judge(&mut figures);
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

/// Looks at the memory of both once a second, for so long or until there were calls enough.
async fn watch(both: &mut [&mut Watched; 2], at_most: Duration) -> anyhow::Result<[Growth; 2]> {
    let begun = Instant::now();
    let before = calls(both).await?;
    let mut bytes = [vec![], vec![]];
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut second = 0_u64;
    let after = loop {
        seconds.tick().await;
        second += 1;
        for (watched, bytes) in both.iter().zip(&mut bytes) {
            let kib = u32::try_from(watched.process.own_bytes()? / 1024)?;
            bytes.push(f64::from(kib) * 1024.0);
        }
        // A question a minute is no load.
        if second.is_multiple_of(60) || begun.elapsed() >= at_most {
            let calls = calls(both).await?;
            let is_enough = calls >= CALLS_MAX && begun.elapsed() >= SHORTEST;
            if is_enough || begun.elapsed() >= at_most {
                break calls;
            }
        }
    };
    let calls_per_s = f64::from(u32::try_from(after - before)?) / begun.elapsed().as_secs_f64();
    let [region, cluster] = bytes;
    Ok([
        Growth::of(both[0].name, region, calls_per_s)?,
        Growth::of(both[1].name, cluster, calls_per_s)?,
    ])
}

/// How many calls both have made.
async fn calls(both: &mut [&mut Watched; 2]) -> anyhow::Result<u64> {
    let [region, cluster] = both;
    Ok(region.count().await?.calls + cluster.count().await?.calls)
}

/// How fast the memory of a process grew while it was looked at.
struct Growth {
    name: &'static str,
    bytes: Vec<f64>,
    slope: Slope,
    calls_per_s: f64,
}

impl Growth {
    fn of(name: &'static str, bytes: Vec<f64>, calls_per_s: f64) -> anyhow::Result<Self> {
        let slope = Slope::of(&bytes).context("too short to tell")?;
        Ok(Self { name, bytes, slope, calls_per_s })
    }

    /// In MiB an hour, with what it may be wrong by.
    fn per_hour(&self) -> [f64; 2] {
        [self.slope.per_second, self.slope.plus_minus].map(|it| it * 3600.0 / MIB)
    }

    /// Whether it is above the target even if it is wrong by so much.
    fn is_beyond_chance(&self) -> bool {
        let [per_hour, plus_minus] = self.per_hour();
        per_hour - plus_minus > PER_HOUR_MAX
    }

    /// A growth that chance does not explain misses the target; and what chance may hide has to be
    /// less than any call could leave behind.
    fn judge(&self, figures: &mut Figures) {
        let [per_hour, plus_minus] = self.per_hour();
        let level = self.bytes.last().copied().unwrap_or_default() / MIB;
        let grows = format!("grows by {per_hour:.2} ± {plus_minus:.2} MiB/h");
        let is_chance = !self.is_beyond_chance();
        figures.check(is_chance, format!("{}, with {level:.1} MiB of its own, {grows}", self.name));
        if !is_chance {
            figures.say(self.in_stretches());
        }
        let left = (self.slope.per_second + self.slope.plus_minus) / self.calls_per_s;
        let keeps = format!("{} keeps at most {left:.3} bytes per call", self.name);
        figures.check(left <= LEFT_PER_CALL_MAX, keeps);
    }

    /// For whoever has to find out why.
    fn in_stretches(&self) -> String {
        let means = Slope::stretches(&self.bytes).unwrap_or_default();
        let means: Vec<String> = means.iter().map(|bytes| format!("{:.2}", bytes / MIB)).collect();
        format!("{} went through {} MiB", self.name, means.join(" "))
    }
}
