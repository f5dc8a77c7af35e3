//! A process of a measurement: it reads its job, does it, and ends when its input does.

use std::future::pending;
use std::io::{BufRead as _, Write as _};

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Runtime};

use crate::job::{End, Job, Mode, Said};
use crate::{peers, usage};

/// Besides the connections: what a runtime and a library have open.
const OTHER_FILES: usize = 100;

pub(crate) fn run() -> Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let job: Job = serde_json::from_str(&line).context("the first line is no job")?;
    let files = u64::try_from(job.work.connections() + OTHER_FILES)?;
    let outcome = usage::raise_open_files(files).and_then(|()| {
        // Not on the main thread: with several workers it would have to take turns with them.
        let runtime = runtime(job.mode)?;
        let working = runtime.spawn(work(job));
        let input = runtime.spawn(input_ends());
        let outcome = runtime.block_on(async {
            tokio::select! {
                worked = working => worked?,
                _ended = input => Ok(()),
            }
        });
        // The thread that reads the input may wait for ever, and is not waited for.
        runtime.shutdown_background();
        outcome
    });
    if let Err(error) = outcome {
        say(&Said::Failed(format!("{error:#}")))?;
    }
    Ok(())
}

/// Says a line to the process that started this one.
pub(crate) fn say(said: &Said) -> Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    Ok(out.flush()?)
}

fn runtime(mode: Mode) -> Result<Runtime> {
    let mut builder = match mode {
        Mode::Pinned | Mode::Single => Builder::new_current_thread(),
        Mode::Multi => Builder::new_multi_thread(),
    };
    Ok(builder.worker_threads(2).enable_all().build()?)
}

async fn work(job: Job) -> Result<()> {
    match job.end {
        End::Listen => peers::listen(&job).await?,
        End::Connect => say(&Said::Figures(peers::connect(&job).await?))?,
    }
    pending().await
}

/// Waits until the starting process wants no more, or is gone.
async fn input_ends() {
    let _bytes = tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await;
}
