//! The figures of a run, as a file.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::figures::Cell;
use crate::growth::Growth;

/// All that a run found, and under what circumstances.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// For how long each was measured, in seconds.
    pub(crate) seconds: f64,
    /// How many rounds there were.
    pub(crate) repeats: usize,
    pub(crate) cells: Vec<Cell>,
}

/// What a file of figures may hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Written {
    /// What `run` found.
    Run(Report),
    /// What `growth` found.
    Growth(Growth),
}

/// Where it was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    /// Processes that wanted a processor in the minute before. More than a little spoils figures.
    pub(crate) load_before: f64,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let processor = cpus.lines().find_map(|line| line.strip_prefix("model name"));
        let load = read("/proc/loadavg");
        Self {
            processor: processor.unwrap_or_default().trim_matches([' ', '\t', ':']).to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: load.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0.0),
        }
    }
}

/// Looks whether figures can be written there: before they are measured, which takes a while.
///
/// # Errors
/// When they cannot.
pub(crate) fn check(path: &Path) -> Result<()> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map(|_file| ()).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes figures down, and prints them.
///
/// # Errors
/// When one of the two cannot be done: the other is then.
pub(crate) fn write(figures: &Written, path: &Path, tables: &str) -> Result<()> {
    let mut text = serde_json::to_string_pretty(figures)?;
    text.push('\n');
    let written = fs::write(path, text);
    let printed = std::io::stdout().lock().write_all(tables.as_bytes());
    written.with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("The figures are in {}.", path.display());
    printed.context("cannot print the tables")
}

pub(crate) fn read(path: &Path) -> Result<Written> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} holds no figures that were measured", path.display()))
}
