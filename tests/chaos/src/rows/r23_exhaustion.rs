//! R23: more connections than there are file descriptors, and more to hold than there is memory.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use mesh::Secret;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::floods::raw::RawPeer;
use crate::processes::{Process, output};
use crate::row::{Figures, Form, Row, Run};
use crate::rows::{minutes, r23_memory};

pub(crate) struct Exhaustion;

const WITHIN: Duration = Duration::from_secs(30);
const FILES_MAX: usize = 256;
/// More than there are descriptors for.
const PEERS: usize = 400;
/// How long there are none left.
const LASTS: Duration = Duration::from_secs(15);

#[async_trait]
impl Row for Exhaustion {
    fn number(&self) -> &'static str {
        "R23"
    }

    fn property(&self) -> &'static str {
        "without files or memory what is there goes on"
    }

    fn target(&self, _: Form) -> &'static str {
        "256 files, 400 peers: ≤ 1 log line/s, no call fails, others come in once there is room; \
         128 MiB: not killed, new calls refused, the others end, none lost, answers again"
    }

    fn time_limit(&self, _: Form) -> Duration {
        minutes(4)
    }

    async fn run(&self, _: Run) -> anyhow::Result<Figures> {
        output("ip", &["link", "set", "lo", "up"]).await?;
        let secret = Secret::generate();
        let (hex, uuid) = (secret.to_hex(), Uuid::new_v4().to_string());
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("region.log");
        let mut region = Process::of_ours(&["flood", "region", "--secret", &hex])?
            .through(&["prlimit", &format!("--nofile={FILES_MAX}"), "--"])
            .log(&log)
            .start()?;
        let address = region.line("address", WITHIN).await?;
        let arguments =
            ["flood", "cluster", "--secret", &hex, "--region", &address, "--uuid", &uuid];
        let mut cluster = Process::of_ours(&arguments)?.start()?;
        cluster.line("connected", WITHIN).await?;
        cluster.tell("calls").await?;

        // They belong there, so they stay. Those that there is no room for are not answered.
        let mut coming = JoinSet::new();
        for _ in 0..PEERS {
            let (address, secret) = (address.parse()?, secret.clone());
            coming.spawn(async move {
                let mut peer = RawPeer::connect(address).await?;
                let admitted = timeout(LASTS, peer.admit(&secret)).await;
                anyhow::Ok(matches!(admitted, Ok(Ok(()))).then_some(peer))
            });
        }
        let begun = Instant::now();
        let (calls_before, _) = calls(&mut cluster).await?;
        let mut files = 0;
        while begun.elapsed() < LASTS {
            files = files.max(region.open_files()?);
            sleep(Duration::from_millis(200)).await;
        }
        let (calls_then, failed) = calls(&mut cluster).await?;
        let mut inside = Vec::new();
        while let Some(peer) = coming.join_next().await {
            inside.extend(peer??);
        }
        let mut figures = Figures::default();
        ensure!(files >= FILES_MAX - 8, "only {files} files were open: nothing was exhausted");
        figures.say(format!("{files} files open, {} peers inside", inside.len()));
        figures.check(
            failed == 0 && calls_then > calls_before,
            format!("{} calls meanwhile, {failed} failed", calls_then - calls_before),
        );
        let lines = std::fs::read_to_string(&log)?.lines().count();
        figures.check(
            (1..=usize::try_from(begun.elapsed().as_secs())?).contains(&lines),
            format!("{lines} log lines in {} s", begun.elapsed().as_secs()),
        );

        drop(inside);
        let freed = Instant::now();
        let mut peer = timeout(WITHIN, RawPeer::connect(address.parse()?)).await??;
        let admitted = timeout(WITHIN, peer.admit(&secret)).await;
        figures.check(
            matches!(admitted, Ok(Ok(()))) && freed.elapsed() <= Duration::from_secs(5),
            format!("a new peer is inside {:.1} s after", freed.elapsed().as_secs_f64()),
        );
        let (_, failed) = calls(&mut cluster).await?;
        figures.check(failed == 0, format!("{failed} calls failed in the end"));
        drop((region, cluster, peer));
        r23_memory::run(&mut figures).await?;
        Ok(figures)
    }
}

/// How many calls the cluster has made, and how many failed.
async fn calls(cluster: &mut Process) -> anyhow::Result<(u64, u64)> {
    cluster.tell("count").await?;
    let line = cluster.line("count", WITHIN).await?;
    let mut numbers = line.split(' ').map(str::parse);
    let mut next = || anyhow::Ok(numbers.next().context("no figure")??);
    Ok((next()?, next()?))
}
