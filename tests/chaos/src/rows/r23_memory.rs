//! The part of R23 that is about memory: peers that have a region process hold more than it may.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use mesh::Secret;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::floods::raw::RawPeer;
use crate::memory_group::MemoryGroup;
use crate::processes::{Process, Starting};
use crate::row::Figures;

const WITHIN: Duration = Duration::from_secs(30);
const MIB: u64 = 1024 * 1024;
const LIMIT_BYTES: u64 = 128 * MIB;
/// Peers that flood the region, and how often each does so.
const FLOODERS: usize = 8;
const FLOOD_EVERY: Duration = Duration::from_secs(1);
/// What each has it hold every time: sixteen megabytes in pieces, and two in single boxes. All
/// together that is more than the limit each second.
const CALLS: [(u64, usize); 2] = [(16, 1024 * 1024), (32, 60_000)];
/// How long they do so.
const LASTS: Duration = Duration::from_secs(15);
/// After how long calls are answered again when it may let go of everything.
const RECOVERS_WITHIN: Duration = Duration::from_secs(30);
/// What is held for all of the time, in bytes.
const HELD_BYTES: usize = 1000;

/// Runs a process of at most `bytes` of memory: in a control group, or by its own budget where no
/// such group can be made. Says which.
pub(super) fn within(starting: Starting, bytes: u64) -> (Starting, Option<MemoryGroup>, String) {
    let mib = bytes / MIB;
    match MemoryGroup::with_limit(bytes) {
        Ok(group) => (group.around(starting), Some(group), format!("control group of {mib} MiB")),
        Err(error) => {
            let budget = format!("--memory-budget={bytes}");
            let says = format!("NO control group ({error:#}), but a budget of {mib} MiB set");
            (starting.words(&[&budget]), None, says)
        }
    }
}

/// Says what was measured.
///
/// # Errors
/// What kept it from being measured.
///
/// # Cancellation
/// The processes end with the row.
pub(super) async fn run(figures: &mut Figures) -> anyhow::Result<()> {
    let secret = Secret::generate();
    let hex = secret.to_hex();
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("region.log");
    let region = Process::of_ours(&["flood", "region", "--secret", &hex])?;
    let (region, group, how) = within(region, LIMIT_BYTES);
    let mut region = region.variable("CHAOS_LOG", "info").log(&log).start()?;
    figures.say(how);
    let address = region.line("address", WITHIN).await?;
    let (budget, _) = memory(&mut region).await?;
    figures.check(budget == LIMIT_BYTES, format!("it knows of {} MiB", budget / MIB));
    let mut good = peer(&hex, &address).await?;
    good.tell(&format!("keep 1 {HELD_BYTES}")).await?;
    let mut flooders = Vec::new();
    for _ in 0..FLOODERS {
        flooders.push(peer(&hex, &address).await?);
    }
    let said_before = std::fs::read_to_string(&log)?.lines().count();

    let seen = flood(&mut region, &mut good, &mut flooders).await?;
    figures.check(seen.most <= LIMIT_BYTES, format!("{} MiB at the most", seen.most / MIB));
    figures
        .check(seen.refused > 0, format!("{} of {} small calls refused", seen.refused, seen.tried));
    figures.check(seen.connected == FLOODERS + 1, format!("{} peers stay", seen.connected));
    let slowest = seen.slowest_ping;
    figures.check(
        slowest < Duration::from_secs(5),
        format!("the slowest ping {} ms", slowest.as_millis()),
    );

    region.tell("let-go").await?;
    let freed = Instant::now();
    while tried(&mut good).await? != "answered" {
        ensure!(
            freed.elapsed() < RECOVERS_WITHIN,
            "calls are not answered again: {:?}",
            memory(&mut region).await?
        );
        sleep(Duration::from_millis(50)).await;
    }
    figures.say(format!("answers again after {:.1} s", freed.elapsed().as_secs_f64()));
    let mut peer = timeout(WITHIN, RawPeer::connect(address.parse()?)).await??;
    timeout(WITHIN, peer.admit(&secret)).await.context("a new peer is not let in")??;
    figures.say("a new peer is inside");
    let held = all_ended(&mut good).await?;
    figures.check(held == (1, 1, 0), "what was under way was answered");
    let mut all = (0, 0, 0);
    for flooder in &mut flooders {
        let (begun, answered, refused) = all_ended(flooder).await?;
        all = (all.0 + begun, all.1 + answered, all.2 + refused);
    }
    let (begun, answered, refused) = all;
    figures.check(
        refused > 0 && answered > 0 && begun == answered + refused,
        format!("of {begun} large calls {answered} answered and {refused} refused"),
    );
    let lines = std::fs::read_to_string(&log)?.lines().count() - said_before;
    let seconds = usize::try_from((LASTS + freed.elapsed()).as_secs())?;
    figures.check(lines <= seconds, format!("{lines} log lines in {seconds} s"));
    if let Some(group) = group {
        let killed = group.killed()?;
        figures.check(killed == 0, format!("{killed} killed by the kernel"));
        drop((region, peer));
        group.remove().await?;
    }
    Ok(())
}

/// What was seen while they flooded it.
struct Seen {
    /// Bytes of memory of the region, at the most.
    most: u64,
    tried: u64,
    refused: u64,
    /// How many peers were connected in the end.
    connected: usize,
    slowest_ping: Duration,
}

async fn flood(
    region: &mut Process,
    good: &mut Process,
    flooders: &mut [Process],
) -> anyhow::Result<Seen> {
    let mut seen =
        Seen { most: 0, tried: 0, refused: 0, connected: 0, slowest_ping: Duration::ZERO };
    let (begun, mut next) = (Instant::now(), Instant::now());
    while begun.elapsed() < LASTS {
        if Instant::now() >= next {
            next += FLOOD_EVERY;
            for flooder in &mut *flooders {
                for (calls, bytes) in CALLS {
                    flooder.tell(&format!("keep {calls} {bytes}")).await?;
                }
            }
        }
        seen.most = seen.most.max(region.resident_bytes()?);
        seen.tried += 1;
        seen.refused += u64::from(tried(good).await? == "overloaded");
        let asked = Instant::now();
        good.tell("ping").await?;
        good.line("pong", WITHIN).await?;
        seen.slowest_ping = seen.slowest_ping.max(asked.elapsed());
        sleep(Duration::from_millis(20)).await;
    }
    region.tell("clusters").await?;
    seen.connected = region.line("clusters", WITHIN).await?.parse()?;
    Ok(seen)
}

async fn peer(secret: &str, region: &str) -> anyhow::Result<Process> {
    let uuid = Uuid::new_v4().to_string();
    let arguments = ["flood", "cluster", "--secret", secret, "--region", region, "--uuid", &uuid];
    let mut cluster = Process::of_ours(&arguments)?.start()?;
    cluster.line("connected", WITHIN).await?;
    Ok(cluster)
}

/// The budget of the region, in bytes, and how short of it it is.
pub(super) async fn memory(region: &mut Process) -> anyhow::Result<(u64, String)> {
    region.tell("memory").await?;
    let line = region.line("memory", WITHIN).await?;
    let mut words = line.split(' ').skip(1);
    let budget = words.next().context("no budget")?.parse()?;
    Ok((budget, words.next().unwrap_or_default().to_owned()))
}

/// What becomes of a small call.
async fn tried(cluster: &mut Process) -> anyhow::Result<String> {
    cluster.tell("try").await?;
    cluster.line("tried", WITHIN).await
}

/// How many calls were begun, answered and refused, when all have ended.
async fn all_ended(cluster: &mut Process) -> anyhow::Result<(u64, u64, u64)> {
    let begun = Instant::now();
    loop {
        cluster.tell("kept").await?;
        let line = cluster.line("kept", WITHIN).await?;
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [begun_calls, under_way, answered, refused] = numbers[..] else {
            anyhow::bail!("no figures: {line}")
        };
        if under_way == 0 {
            return Ok((begun_calls, answered, refused));
        }
        ensure!(begun.elapsed() < WITHIN, "{under_way} calls do not end");
        sleep(Duration::from_millis(50)).await;
    }
}
