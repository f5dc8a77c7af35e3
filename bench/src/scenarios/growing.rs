//! What grows with the number of connections, and with that of calls under way on one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::connections::open;
use super::meter::{Counted, Meter, count};
use super::{Caller, Dialer};
use crate::figures::Figures;
use crate::job::{Far, Job};
use crate::usage::{cpu_of, kernel_memory, memory_of};

/// How many calls are under way on all connections together: the same for any number of these, so
/// that nothing else grows.
const IN_FLIGHT: usize = 8;
/// How long connections are left alone before anything is looked at.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// For how long idle connections are watched: two pings of each, with
/// [`ping_after`](amp_proto::Limits::ping_after) as it is by default, and the registry once.
const WATCHED_FOR: Duration = Duration::from_secs(10);
/// When in the measured time the memory of calls is looked at, as a share: all are under way.
const LOOKED_AT: f64 = 0.9;

/// Opens so many connections, leaves them alone, and then makes calls on all in turn.
///
/// # Errors
/// When one cannot be opened, or a call fails.
pub(crate) async fn connections<D: Dialer>(
    job: &Job,
    far: &Far,
    dialer: &D,
    connections: usize,
) -> Result<Figures> {
    let own = [std::process::id()];
    let cpu = || anyhow::Ok((cpu_of(&own)?, cpu_of(&far.pids)?));
    let memory = || anyhow::Ok((memory_of(&own)?, memory_of(&far.pids)?, kernel_memory()?));
    // What the first needs once is no part of what each needs.
    let mut callers = open(dialer, 0, 1).await?;
    let (memory_before, cpu_before, started) = (memory()?, cpu()?, Instant::now());
    let others = connections.checked_sub(1).context("no connections at all")?;
    callers.extend(open(dialer, 1, others).await?);
    let (opening, cpu_after) = (started.elapsed(), cpu()?);
    let each = |cpu: Duration| Some(cpu.as_secs_f64() * 1e6 / count(others as u64));
    let (client_opening_us, server_opening_us) =
        (each(cpu_after.0 - cpu_before.0), each(cpu_after.1 - cpu_before.1));

    sleep(SETTLED_AFTER).await;
    let (memory_after, cpu_before, started) = (memory()?, cpu()?, Instant::now());
    sleep(WATCHED_FOR).await;
    let (watched, cpu_after) = (started.elapsed().as_secs_f64(), cpu()?);
    let all = count(connections as u64);
    let idle = |cpu: Duration| Some(cpu.as_secs_f64() * 1e6 / all / watched);
    let (client_idle_us, server_idle_us) =
        (idle(cpu_after.0 - cpu_before.0), idle(cpu_after.1 - cpu_before.1));

    let called = in_turn(job, far, callers).await?;
    let kept = |after: f64, before: f64| Some((after - before) / count(others as u64));
    Ok(Figures {
        client_bytes: kept(memory_after.0, memory_before.0),
        server_bytes: kept(memory_after.1, memory_before.1),
        kernel_bytes: kept(memory_after.2, memory_before.2),
        client_idle_us,
        server_idle_us,
        opened: Some(count(others as u64) / opening.as_secs_f64()),
        client_opening_us,
        server_opening_us,
        ..called
    })
}

/// Calls on all connections in turn, some at a time, each on a connection of its own.
async fn in_turn<C: Caller>(job: &Job, far: &Far, callers: Vec<C>) -> Result<Figures> {
    let meter = Meter::new(job.seconds);
    let (callers, mut tasks) = (Arc::new(callers), JoinSet::new());
    for first in 0..IN_FLIGHT.min(callers.len()) {
        let (callers, mut counted) = (Arc::clone(&callers), meter.counter(false));
        tasks.spawn(async move {
            let mut turn = callers.iter().skip(first).step_by(IN_FLIGHT).cycle();
            while !counted.is_over()
                && let Some(caller) = turn.next()
            {
                let began = counted.begin();
                caller.small().await?;
                counted.done(began);
            }
            Ok(counted)
        });
    }
    meter.measure(tasks, &far.pids).await
}

/// Makes small calls, so many at a time, and looks at the memory that they take.
///
/// # Errors
/// When a call fails.
pub(crate) async fn in_flight<D: Dialer>(
    job: &Job,
    far: &Far,
    dialer: &D,
    in_flight: usize,
) -> Result<Figures> {
    let own = [std::process::id()];
    let caller = Arc::new(dialer.dial(0).await?);
    caller.small().await?;
    let memory = || anyhow::Ok((memory_of(&own)?, memory_of(&far.pids)?));
    let before = memory()?;
    let meter = Meter::new(job.seconds);
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        let (caller, counted) = (Arc::clone(&caller), meter.counter(in_flight == 1));
        tasks.spawn(small(caller, counted));
    }
    let looking = async {
        sleep(Duration::from_secs_f64(job.seconds * LOOKED_AT)).await;
        memory()
    };
    let (figures, during) = tokio::join!(meter.measure(tasks, &far.pids), looking);
    let during = during?;
    Ok(Figures {
        client_bytes: Some(during.0 - before.0),
        server_bytes: Some(during.1 - before.1),
        ..figures?
    })
}

async fn small<C: Caller>(caller: Arc<C>, mut counted: Counted) -> Result<Counted> {
    while !counted.is_over() {
        let began = counted.begin();
        caller.small().await?;
        counted.done(began);
    }
    Ok(counted)
}
