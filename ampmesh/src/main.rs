//! ampmesh: region and cluster processes that call each other over AMP, and the tools to work with
//! them.
//!
//! [`cli`] reads the command line, [`config`] lays the sources of settings over each other,
//! [`commands`] has a module per subcommand. Region and cluster processes run the crates `region`
//! and `cluster` with the commands of [`demo`]; operators reach a region process through
//! [`operator`]. [`exit`] says which failure ends the program with which number.

mod app;
mod arguments;
mod cli;
mod commands;
mod config;
mod demo;
mod exit;
mod failure;
mod keys;
mod logging;
mod membership;
mod operator;
mod private;
mod ready;
mod response;
mod scratch;
mod secret;
mod shutdown;
mod stores;
mod table;
mod target;
mod terminal;
mod text;
mod twice;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::terminal::{Style, Terminal};

/// Gives back what is not used any more, also when nothing happens: otherwise a process that once
/// came near its memory budget would stay there.
// ANCHOR: allocator
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
// ANCHOR_END: allocator

fn main() -> ExitCode {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut terminal = Terminal {
        out: &mut out,
        err: &mut err,
        style: Style::of_stdout(),
        err_style: Style::of_stderr(),
    };
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match cli::parse(&words) {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error, &words, &mut terminal),
    };
    ExitCode::from(app::run(cli, &mut terminal))
}

/// Says what is wrong with the command line, or what was asked of it: help, or the version.
fn misunderstood(error: &clap::Error, words: &[OsString], terminal: &mut Terminal<'_>) -> ExitCode {
    // Nobody is left to tell when writing fails.
    let _printed = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let exit = exit::Exit::Usage;
    if cli::wants_json(words) {
        let text = error.render().to_string();
        // What comes after the first paragraph is advice for people.
        let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
        let description = lines.collect::<Vec<_>>().join(" ");
        let description = description.trim_start_matches("error: ");
        let _written = failure::write(exit, description, terminal);
    }
    ExitCode::from(exit.code())
}
