//! One small command from the listener to every connection, until every answer is there.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::meter::{count, percentile};
use crate::figures::Figures;
use crate::usage::cpu_of;

/// How long the members may take to connect.
const MEMBERS_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How many are not counted, and how many are at the least.
const WARM_UP: usize = 2;
const COUNTED_MIN: usize = 3;

/// The listener, when it is connected to.
pub(crate) trait Hub: Send {
    /// How many connections there are.
    fn members(&mut self) -> usize;

    /// Sends the command to all, and waits for their answers. Says how many came.
    fn broadcast(&mut self) -> impl Future<Output = Result<usize>> + Send;
}

/// Waits for the members, and broadcasts for as long as is measured.
///
/// # Errors
/// When members do not come, or an answer does not.
pub(crate) async fn measure(
    seconds: f64,
    members: usize,
    pids: &[u32],
    hub: &mut impl Hub,
) -> Result<Figures> {
    members_come(hub, members).await?;
    for _ in 0..WARM_UP {
        broadcast(hub, members).await?;
    }
    let mut times = Vec::new();
    let (cpu_before, started) = (cpu_of(pids)?, Instant::now());
    while times.len() < COUNTED_MIN || started.elapsed().as_secs_f64() < seconds {
        let began = Instant::now();
        broadcast(hub, members).await?;
        times.push(began.elapsed());
    }
    let cpu = cpu_of(pids)? - cpu_before;
    let answers = count(times.len() as u64) * count(members as u64);
    times.sort_unstable();
    let median = percentile(&times, 0.5).unwrap_or(f64::INFINITY);
    Ok(Figures {
        rate: Some(count(members as u64) * 1e6 / median),
        p50_us: Some(median),
        p99_us: percentile(&times, 0.99),
        server_cpu_us: Some(cpu.as_secs_f64() * 1e6 / answers),
        ..Figures::default()
    })
}

/// Waits for so many members.
///
/// # Errors
/// When they do not come in time.
pub(crate) async fn members_come(hub: &mut impl Hub, members: usize) -> Result<()> {
    let started = Instant::now();
    loop {
        let here = hub.members();
        if here >= members {
            return Ok(());
        }
        let waited = started.elapsed();
        ensure!(waited < MEMBERS_WITHIN, "{here} of {members} members came in {waited:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn broadcast(hub: &mut impl Hub, members: usize) -> Result<()> {
    let answers = hub.broadcast().await?;
    ensure!(answers == members, "{answers} of {members} answered");
    Ok(())
}
