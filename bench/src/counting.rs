//! What a call takes at each end that can be counted, and that noise hardly touches: instructions,
//! and system calls.
//!
//! Each end in turn runs in valgrind's callgrind or in strace, once for some calls and once for
//! twice as many. The difference is what the calls took; what is left is setting up. The kernel's
//! instructions are not counted.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::children::{self, Counting, Tool};
use crate::job::{End, Job, Mode, Size, Work, name_of};
use crate::peers::Peer;

/// What to count.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Whose.
    #[arg(long, value_delimiter = ',', default_value = "bare-api,ampmesh,ampmesh-tls")]
    peers: Vec<Peer>,
    /// Small calls, or large ones.
    #[arg(long, default_value = "small")]
    size: Size,
    /// How many calls are in flight.
    #[arg(long, value_delimiter = ',', default_value = "1,64")]
    in_flight: Vec<usize>,
    /// How many calls are made in the first run.
    #[arg(long, default_value_t = 5_000)]
    calls: usize,
    /// The folder for what callgrind or strace writes. Default: `callgrind` or `strace`.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Calls of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kind {
    pub(crate) peer: Peer,
    pub(crate) size: Size,
    pub(crate) in_flight: usize,
}

/// What a call takes at each end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) client: f64,
    pub(crate) server: f64,
}

/// Counts with this tool, and prints a table.
///
/// # Errors
/// As [`count`], or when the settings cannot be met.
pub(crate) fn run(settings: &Settings, tool: Tool) -> Result<()> {
    ensure!(settings.calls > 0, "nothing is counted in 0 calls");
    ensure!(settings.in_flight.iter().all(|it| *it > 0), "no call is made with 0 in flight");
    for peer in &settings.peers {
        let has_api = !matches!(peer, Peer::Raw | Peer::Bare | Peer::Twisted);
        ensure!(has_api, "`{}` cannot be told to make a number of calls", name_of(*peer));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = settings.out.clone().unwrap_or_else(|| tool.name().into());
    // A call takes thousands of instructions, but hardly any system calls of its own.
    let places = if tool == Tool::Callgrind { 0 } else { 2 };
    println!("| peer | in flight | client | server | both |");
    println!("|---|---:|---:|---:|---:|");
    for peer in &settings.peers {
        for in_flight in &settings.in_flight {
            let kind = Kind { peer: *peer, size: settings.size, in_flight: *in_flight };
            let counted = runtime.block_on(count(tool, kind, settings.calls, &folder))?;
            let Counted { client, server } = counted;
            let both = client + server;
            println!(
                "| {} | {in_flight} | {client:.places$} | {server:.places$} | {both:.places$} |",
                name_of(*peer)
            );
        }
    }
    Ok(())
}

/// Counts at both ends, each in a measurement of its own: an end that waits for one in a tool has
/// little to do, so the two go on beside each other.
///
/// # Errors
/// When the tool is missing, a call failed, or `folder` cannot be written.
///
/// # Cancellation
/// Dropping the future kills all processes. What was written stays.
pub(crate) async fn count(tool: Tool, kind: Kind, calls: usize, folder: &Path) -> Result<Counted> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (client, server) = tokio::try_join!(
        count_at(tool, End::Connect, kind, calls, folder),
        count_at(tool, End::Listen, kind, calls, folder),
    )?;
    Ok(Counted { client, server })
}

/// What one call takes at one end.
async fn count_at(tool: Tool, end: End, kind: Kind, calls: usize, folder: &Path) -> Result<f64> {
    let Kind { peer, size, in_flight } = kind;
    let names = [name_of(peer), name_of(size), in_flight.to_string(), end.name().to_owned()];
    let names = names.join("-");
    let mut sums = Vec::new();
    // As many for each that is in flight.
    let counted = calls.next_multiple_of(in_flight);
    for times in [1, 2] {
        let file = folder.join(format!("{names}-{times}.out"));
        let calls = counted * times;
        let work = Work::Exactly { size, calls, in_flight };
        let mode = Mode::Single;
        let job = Job { peer, end: End::Listen, mode, work, seconds: 0.0, far: None };
        let counting = Counting { tool, end, file: file.clone() };
        let measured = children::measure_counting(&job, Some(&counting)).await;
        measured.with_context(|| format!("{names}, {calls} calls"))?;
        sums.push(read(tool, &file)?);
    }
    #[expect(clippy::cast_precision_loss, reason = "nothing is counted beyond 2^52")]
    let calls = counted as f64;
    Ok((sums.last().unwrap_or(&0.0) - sums.first().unwrap_or(&0.0)) / calls)
}

/// The sum that the tool wrote.
fn read(tool: Tool, file: &Path) -> Result<f64> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let total = match tool {
        Tool::Callgrind => text.lines().find_map(|line| line.strip_prefix("totals:")),
        // Share, seconds, microseconds for each, how many, and of these failed, if any.
        Tool::Strace => {
            let line = text.lines().find_map(|line| line.strip_suffix("total"));
            line.and_then(|line| line.split_whitespace().nth(3))
        }
    };
    let total = total.with_context(|| format!("{} has no total", file.display()))?;
    Ok(total.trim().parse()?)
}
