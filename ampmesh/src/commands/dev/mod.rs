//! `ampmesh dev`: a whole mesh of real processes, for as long as somebody looks at it.

mod child;
mod demo;
mod fleet;
mod hint;
mod mesh;
mod notice;
mod plan;
mod restarts;
mod show;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::fleet::{Fleet, Handle};
use self::notice::tell;
use self::plan::Household;
use crate::cli::DevArgs;
use crate::config::LogFormat;
use crate::exit::Exit;
use crate::scratch::Scratch;
use crate::secret;
use crate::terminal::{Style, Terminal};

/// Runs a mesh until `drain` is cancelled, or the demonstration is over and `--exit` was given.
///
/// # Errors
/// Whatever keeps the mesh from being complete, or stdout from being written to.
///
/// # Cancellation
/// The processes are killed.
pub(crate) async fn run(
    args: &DevArgs,
    log: String,
    log_format: LogFormat,
    terminal: &mut Terminal<'_>,
    drain: &CancellationToken,
) -> anyhow::Result<Exit> {
    Scratch::sweep();
    let scratch = Scratch::new()?;
    let program = own_program().context("cannot find this program's own file")?;
    let data_dir = scratch.path().to_owned();
    let household = Household { program, data_dir, log, log_format };
    secret::make(&household.secret_file())?;

    let (fleet, mut notices) = Fleet::new(household);
    let mut handles = Vec::new();
    let Terminal { out, err, style, err_style } = terminal;
    let ended = tokio::select! {
        biased;
        () = drain.cancelled() => Ok(Exit::Ok),
        told = tell(&mut notices, *err, *err_style) => {
            told.map(|()| Exit::Failed).map_err(Into::into)
        }
        shown = show(args, &scratch, &fleet, &mut handles, *out, *style) => shown,
    };
    // Asked before the end, when all of them are gone.
    let given_up = handles.iter().any(Handle::is_given_up);
    let shutting_down = async move {
        fleet.shutdown().await;
        // Nobody has anything to tell after this.
        drop(fleet);
    };
    let ((), told) = tokio::join!(shutting_down, tell(&mut notices, *err, *err_style));
    if let Err(error) = told {
        tracing::debug!(%error, "nobody reads what is told");
    }
    match ended? {
        Exit::Ok if given_up => Ok(Exit::Failed),
        exit => Ok(exit),
    }
}

/// This very program, even if its file is replaced by a newer one while the mesh is up.
fn own_program() -> std::io::Result<PathBuf> {
    let itself = PathBuf::from("/proc/self/exe");
    if itself.exists() { Ok(itself) } else { std::env::current_exe() }
}

async fn show(
    args: &DevArgs,
    scratch: &Scratch,
    fleet: &Fleet,
    handles: &mut Vec<Handle>,
    out: &mut (dyn Write + Send),
    style: Style,
) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let mesh = mesh::start(args, scratch.path(), fleet, handles).await?;
    show::write(&mesh, begun.elapsed(), out, style)?;
    let demonstrated = demo::play(&mesh, out, style).await?;
    if args.exit {
        return Ok(demonstrated);
    }
    hint::write(&mesh, scratch.path(), out, style)?;
    out.flush()?;
    std::future::pending().await
}
