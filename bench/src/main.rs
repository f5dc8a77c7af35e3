//! What ampmesh costs, beside what it is compared with.
//!
//! One command runs every peer in turn, listener and connector in processes of their own, and
//! prints tables of ratios: `docs/src/reference/performance.md`. Where to start: `run` goes round,
//! `children` starts the processes, `child` is what they do; `scenarios` say what is measured, and
//! `peers` are those that it is measured of.

mod child;
mod children;
mod counting;
mod figures;
mod goals;
mod growth;
mod guard;
mod job;
mod json;
mod peers;
mod plot;
mod run;
mod scenarios;
mod table;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::children::Tool;
use crate::json::Written;

/// The one of the program `ampmesh`, for everybody here.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures ampmesh and its peers in turn, and compares them.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures, prints the tables, and writes the figures down.
    Run(run::Settings),
    /// Measures how costs grow, with connections, calls and clusters, and in a whole mesh.
    Growth(growth::Settings),
    /// Says what larger meshes cost, from what `growth` measured.
    Estimate {
        /// What `growth` wrote.
        figures: PathBuf,
        /// Which: region processes, and clusters that are each connected to all of them.
        #[arg(long, value_delimiter = ',')]
        #[arg(default_value = "1x1000,10x1000,10x10000,100x10000,100x100000")]
        sizes: Vec<growth::Size>,
    },
    /// Counts the instructions of a call at each end. Needs valgrind.
    Instructions(counting::Settings),
    /// Counts the system calls of a call at each end. Needs strace.
    SystemCalls(counting::Settings),
    /// Compares the instructions of a call with those that were agreed on. Needs valgrind.
    Guard(guard::Settings),
    /// Prints the tables of figures that were written down.
    Table {
        /// What `run` or `growth` wrote.
        figures: PathBuf,
    },
    /// Says what was meant to be reached, and whether it was, by figures of `run`.
    Goals {
        /// What `run` wrote.
        figures: PathBuf,
    },
    /// Draws figures that were written down, as SVG.
    Plot {
        /// What `run` or `growth` wrote.
        figures: PathBuf,
        /// The folder to draw into; it is made if it is missing.
        #[arg(long, default_value = "plots")]
        out: PathBuf,
    },
    /// One end of one measurement; its job comes on the standard input.
    #[command(hide = true)]
    Child,
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Run(settings) => run::run(&settings),
        Command::Growth(settings) => growth::run(&settings),
        Command::Estimate { figures, sizes } => {
            let Written::Growth(growth) = json::read(&figures)? else {
                anyhow::bail!("{} was not written by `growth`", figures.display());
            };
            print!("{}", growth::estimate(&growth, &sizes)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Instructions(settings) => {
            counting::run(&settings, Tool::Callgrind)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::SystemCalls(settings) => {
            counting::run(&settings, Tool::Strace)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Guard(settings) => guard::run(&settings),
        Command::Table { figures } => {
            match json::read(&figures)? {
                Written::Run(report) => print!("{}", table::tables(&report)),
                Written::Growth(growth) => print!("{}", growth::tables(&growth)?),
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Goals { figures } => {
            let Written::Run(report) = json::read(&figures)? else {
                anyhow::bail!("{} was not written by `run`", figures.display());
            };
            print!("{}", goals::table(&report));
            Ok(ExitCode::SUCCESS)
        }
        Command::Plot { figures, out } => {
            match json::read(&figures)? {
                Written::Run(report) => plot::plot(&report, &out)?,
                Written::Growth(growth) => growth::plot(&growth, &out)?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Child => {
            child::run()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
