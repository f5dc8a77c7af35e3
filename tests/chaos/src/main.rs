//! The reliability of a mesh of real processes under faults, as one table of figures.
//!
//! `chaos table` runs [`rows`] one after the other, each in a process and a network namespace of
//! its own, and prints what was measured beside what is wanted. [`row`] says what a row is,
//! [`processes`] starts what a row needs. `tests/reliability` builds and runs it.

#[allow(dead_code, reason = "which rows are commands changes from time to time")]
mod command;
mod database;
mod floods;
mod judge;
mod ledger;
mod load;
mod memory_group;
mod network;
mod node;
mod processes;
mod processors;
mod proxy;
mod row;
mod rows;
mod stage;
mod table;
mod work;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::row::{Form, Run};

/// The reliability of a mesh of real processes under faults.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Runs rows, and prints the table. Exit code 1 if one of them has failed.
    Table {
        #[arg(value_enum, default_value = "short")]
        form: Form,
        /// The rows, by number; all of them if none is given.
        numbers: Vec<String>,
        #[command(flatten)]
        chance: Chance,
        /// Writes the table as JSON as well.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Runs one row, and prints its figures as JSON.
    #[command(hide = true)]
    Row {
        number: String,
        #[arg(value_enum)]
        form: Form,
        #[command(flatten)]
        chance: Chance,
    },
    /// A process of the rows about floods.
    #[command(hide = true, subcommand)]
    Flood(floods::node::Node),
    /// A region process under load.
    #[command(hide = true)]
    Region(node::RegionArgs),
    /// A cluster process under load.
    #[command(hide = true)]
    Cluster(node::ClusterArgs),
}

#[derive(Debug, clap::Args)]
struct Chance {
    /// Decides what is left to chance. By itself another one every time, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// How long the load lasts, in minutes, where the form says something else.
    #[arg(long)]
    minutes: Option<f64>,
}

impl Chance {
    fn run(&self, form: Form) -> Run {
        let seed = self.seed.unwrap_or_else(|| fastrand::u64(1..1_000_000));
        Run { form, seed, minutes: self.minutes }
    }
}

/// As the program `ampmesh` has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match carry_out(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _said = writeln!(std::io::stderr(), "chaos: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn carry_out(cli: Cli) -> anyhow::Result<bool> {
    let mut runtime = match &cli.what {
        What::Table { .. } | What::Row { .. } | What::Flood(_) => {
            tokio::runtime::Builder::new_current_thread()
        }
        What::Region(_) | What::Cluster(_) => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().build()?;
    let rows = rows::all();
    let lived = match cli.what {
        What::Region(args) => {
            log();
            runtime.block_on(node::region(args))
        }
        What::Cluster(args) => {
            log();
            runtime.block_on(node::cluster(args))
        }
        What::Table { form, numbers, chance, json } => {
            let run = chance.run(form);
            return runtime.block_on(table::run(&rows, &numbers, run, json.as_deref()));
        }
        What::Flood(node) => runtime.block_on(node.run()),
        What::Row { number, form, chance } => {
            let row = rows.iter().find(|row| row.number() == number).context("no such row")?;
            let told = runtime.block_on(row.run(chance.run(form)));
            let told: table::Told = told.map_err(|error| format!("{error:#}"));
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&told)?)?;
            return Ok(told.is_ok());
        }
    };
    // A thread still waits for stdin, and is not waited for.
    runtime.shutdown_background();
    lived.map(|()| true)
}

/// Has the product's log go to stderr, as much of it as `CHAOS_LOG` says.
fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CHAOS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
}
