//! How fast connections are made, and what an idle one keeps.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use super::meter::count;
use super::{Caller, Dialer};
use crate::figures::Figures;
use crate::job::Far;
use crate::usage::{cpu_of, memory_of};

/// How many connections are being made at once.
const AT_ONCE: usize = 32;
/// How long connections are left alone before memory is looked at.
const IDLE_FOR: Duration = Duration::from_secs(1);

/// Opens `connections`, with a small call on each.
///
/// # Errors
/// When one cannot be opened, or its call fails.
pub(crate) async fn connect<D: Dialer>(
    far: &Far,
    dialer: &D,
    connections: usize,
) -> Result<Figures> {
    let own = [std::process::id()];
    let cpu_before = (cpu_of(&own)?, cpu_of(&far.pids)?);
    let started = Instant::now();
    let callers = open(dialer, 0, connections).await?;
    let elapsed = started.elapsed();
    let cpu_after = (cpu_of(&own)?, cpu_of(&far.pids)?);
    let opened = count(callers.len() as u64);
    let each = |cpu: Duration| Some(cpu.as_secs_f64() * 1e6 / opened);
    Ok(Figures {
        rate: Some(opened / elapsed.as_secs_f64()),
        client_cpu_us: each(cpu_after.0 - cpu_before.0),
        server_cpu_us: each(cpu_after.1 - cpu_before.1),
        ..Figures::default()
    })
}

/// Opens `connections` and leaves them alone.
///
/// # Errors
/// As [`connect`].
pub(crate) async fn idle<D: Dialer>(far: &Far, dialer: &D, connections: usize) -> Result<Figures> {
    let own = [std::process::id()];
    // What the first needs once is no part of what each needs.
    let first = open(dialer, 0, 1).await?;
    let before = (memory_of(&own)?, memory_of(&far.pids)?);
    let others = open(dialer, 1, connections).await?;
    tokio::time::sleep(IDLE_FOR).await;
    let after = (memory_of(&own)?, memory_of(&far.pids)?);
    let opened = count(others.len() as u64);
    drop((first, others));
    Ok(Figures {
        client_bytes: Some((after.0 - before.0) / opened),
        server_bytes: Some((after.1 - before.1) / opened),
        ..Figures::default()
    })
}

/// Opens connections from this number on, with a small call on each.
///
/// # Errors
/// As [`connect`].
pub(super) async fn open<D: Dialer>(
    dialer: &D,
    from: usize,
    connections: usize,
) -> Result<Vec<D::Caller>> {
    let dialer = dialer.clone();
    open_by(from..from + connections, move |number| {
        let dialer = dialer.clone();
        async move {
            let caller = dialer.dial(number).await?;
            caller.small().await?;
            Ok(caller)
        }
    })
    .await
}

/// Opens a connection for each of these numbers, some at a time.
///
/// # Errors
/// When one cannot be opened.
pub(crate) async fn open_by<T, F>(
    mut numbers: Range<usize>,
    mut dial: impl FnMut(usize) -> F,
) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let mut opening = JoinSet::new();
    let mut opened = Vec::with_capacity(numbers.len());
    loop {
        while opening.len() < AT_ONCE
            && let Some(number) = numbers.next()
        {
            opening.spawn(dial(number));
        }
        let Some(connection) = opening.join_next().await else { return Ok(opened) };
        opened.push(connection??);
    }
}
