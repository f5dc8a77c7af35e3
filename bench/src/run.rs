//! A run: every peer in turn, again and again, for each scenario in each mode.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::figures::Cell;
use crate::job::{End, Job, Mode, Scenario, name_of};
use crate::json::{Machine, Report, Written};
use crate::peers::Peer;
use crate::{children, json, table};

/// Figures that differ more than this between machines at rest are not worth comparing.
const LOAD_MAX: f64 = 0.5;
/// The longest measurement: an hour for each peer.
const SECONDS_MAX: f64 = 3600.0;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Which peers, in which order. Default: all.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Which scenarios. Default: all.
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<Scenario>,
    /// Where threads run. Default: all three.
    #[arg(long, value_delimiter = ',')]
    modes: Vec<Mode>,
    /// How many rounds.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// For how long each is measured, in each round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Where to write the figures.
    #[arg(long, default_value = "bench.json")]
    json: PathBuf,
}

pub(crate) fn run(settings: &Settings) -> Result<ExitCode> {
    ensure!(settings.repeats > 0, "nothing is measured in 0 rounds");
    check_seconds(settings.seconds)?;
    json::check(&settings.json)?;
    let machine = Machine::this();
    warn_of_load(&machine);
    // One thread, so that what it starts runs where it runs itself.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cells = runtime.block_on(measure_all(settings))?;
    let Settings { seconds, repeats, .. } = *settings;
    let report = Report { machine, seconds, repeats, cells };
    let tables = table::tables(&report);
    let failed = report.cells.iter().any(|cell| cell.rounds.iter().any(Option::is_none));
    json::write(&Written::Run(report), &settings.json, &tables)?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether anything can be measured in this time.
///
/// # Errors
/// When nothing can, or nobody would wait for it.
pub(crate) fn check_seconds(seconds: f64) -> Result<()> {
    ensure!(seconds > 0.0, "nothing is measured in {seconds} s");
    ensure!(seconds <= SECONDS_MAX, "nothing is measured for longer than {SECONDS_MAX} s");
    Ok(())
}

/// Says so if the machine has other things to do.
pub(crate) fn warn_of_load(machine: &Machine) {
    let load = machine.load_before;
    if load > LOAD_MAX {
        eprintln!("This machine is at work (load {load}): expect noise, and trust ratios only.");
    }
}

pub(crate) fn all_unless<T: ValueEnum>(chosen: &[T]) -> Vec<T> {
    if chosen.is_empty() { T::value_variants().to_vec() } else { chosen.to_vec() }
}

async fn measure_all(settings: &Settings) -> Result<Vec<Cell>> {
    let mut cells = Vec::new();
    for mode in all_unless(&settings.modes) {
        let _place = Place::of(mode)?;
        for scenario in all_unless(&settings.scenarios) {
            let peers = all_unless(&settings.peers).into_iter();
            let mut row: Vec<_> = peers.map(|peer| Cell::new(mode, scenario, peer)).collect();
            for cell in &mut row {
                cell.missing = cell.peer.why_not(scenario, mode);
            }
            for round in 1..=settings.repeats {
                for cell in row.iter_mut().filter(|cell| is_wanted(cell)) {
                    measure(cell, settings, round).await;
                }
            }
            cells.extend(row);
        }
    }
    Ok(cells)
}

/// Whether the peer can be measured at all: what failed in one round is tried in the next.
fn is_wanted(cell: &Cell) -> bool {
    cell.missing.is_none() || !cell.rounds.is_empty()
}

async fn measure(cell: &mut Cell, settings: &Settings, round: usize) {
    let (scenario, mode, peer) = (cell.scenario, cell.mode, cell.peer);
    let names = [name_of(mode), scenario.name(), name_of(peer)].join(" ");
    let work = scenario.work();
    let job = Job { peer, end: End::Listen, mode, work, seconds: settings.seconds, far: None };
    match children::measure(&job).await {
        Ok(figures) => {
            let rate = figures.rate.map_or_else(String::new, |rate| format!("{rate:.0}/s"));
            eprintln!("{round}/{} {names} {rate}", settings.repeats);
            cell.rounds.push(Some(figures));
        }
        Err(error) => {
            eprintln!("{round}/{} {names} FAILED: {error:#}", settings.repeats);
            cell.rounds.push(None);
            cell.missing = Some(format!("failed: {}", in_one_line(&error)));
        }
    }
}

/// Why something failed, for a table. Of what Python says at length the last line is what failed.
fn in_one_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or_default().trim().to_owned()
}

/// Where this thread may run, and with it what it starts, until it is dropped.
pub(crate) struct Place {
    before: CpuSet,
}

impl Place {
    /// Where threads run in this mode.
    ///
    /// # Errors
    /// When the operating system does not have it.
    pub(crate) fn of(mode: Mode) -> Result<Self> {
        let before = sched_getaffinity(None).context("cannot tell where threads may run")?;
        if mode == Mode::Pinned {
            let processor = (0..CpuSet::MAX_CPU).rev().find(|it| before.is_set(*it));
            let mut only = CpuSet::new();
            only.set(processor.context("no processor to run on")?);
            sched_setaffinity(None, &only).context("cannot keep to one processor")?;
        }
        Ok(Self { before })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = sched_setaffinity(None, &self.before) {
            eprintln!("What follows runs on one processor: {error}");
        }
    }
}
