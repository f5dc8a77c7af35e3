//! Calls, each made when the one before is answered, by as many tasks as are in flight.

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use tokio::task::JoinSet;

use super::meter::{Counted, Meter};
use super::{Caller, Dialer, LARGE_BYTES};
use crate::figures::Figures;
use crate::job::Size;

/// Opens the connections, and begins to call.
///
/// # Errors
/// When a connection cannot be opened.
pub(crate) async fn spawn<D: Dialer>(
    meter: &Meter,
    dialer: &D,
    size: Size,
    connections: usize,
    in_flight: usize,
) -> Result<JoinSet<Result<Counted>>> {
    let mut callers = Vec::new();
    for number in 0..connections {
        callers.push(Arc::new(dialer.dial(number).await?));
    }
    let alone = connections * in_flight == 1;
    let mut tasks = JoinSet::new();
    for caller in callers {
        for _ in 0..in_flight {
            tasks.spawn(call(Arc::clone(&caller), size, meter.counter(alone)));
        }
    }
    Ok(tasks)
}

/// Makes so many calls, `in_flight` at a time, and measures nothing.
///
/// # Errors
/// When a call fails.
pub(crate) async fn exactly<D: Dialer>(
    dialer: &D,
    size: Size,
    calls: usize,
    in_flight: usize,
) -> Result<Figures> {
    let caller = Arc::new(dialer.dial(0).await?);
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        let caller = Arc::clone(&caller);
        tasks.spawn(async move {
            let value = Bytes::from(vec![7; LARGE_BYTES]);
            for _ in 0..calls / in_flight {
                match size {
                    Size::Small => caller.small().await?,
                    Size::Large => caller.echo(&value).await?,
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(called) = tasks.join_next().await {
        called??;
    }
    Ok(Figures::default())
}

async fn call<C: Caller>(caller: Arc<C>, size: Size, mut counted: Counted) -> Result<Counted> {
    match size {
        Size::Small => {
            while !counted.is_over() {
                let began = counted.begin();
                caller.small().await?;
                counted.done(began);
            }
        }
        Size::Large => {
            let value = Bytes::from(vec![7; LARGE_BYTES]);
            while !counted.is_over() {
                let began = counted.begin();
                caller.echo(&value).await?;
                counted.done(began);
            }
        }
    }
    Ok(counted)
}
