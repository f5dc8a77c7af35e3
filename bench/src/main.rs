//! What ampmesh costs, beside what it is compared with.
//!
//! One command runs every peer in turn, listener and connector in processes of their own, and
//! prints tables of ratios: `docs/src/reference/performance.md`. Where to start: `run` goes round,
//! `children` starts the processes, `child` is what they do; `scenarios` say what is measured, and
//! `peers` are those that it is measured of.

mod child;
mod children;
mod figures;
mod instructions;
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
    /// Counts the instructions of a call at each end. Needs valgrind.
    Instructions(instructions::Settings),
    /// Prints the tables of figures that were written down.
    Table {
        /// What `run` wrote.
        figures: PathBuf,
    },
    /// Draws figures that were written down, as SVG.
    Plot {
        /// What `run` wrote.
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
        Command::Instructions(settings) => {
            instructions::run(&settings)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Table { figures } => {
            print!("{}", table::tables(&json::read(&figures)?));
            Ok(ExitCode::SUCCESS)
        }
        Command::Plot { figures, out } => {
            plot::plot(&json::read(&figures)?, &out)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Child => {
            child::run()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
