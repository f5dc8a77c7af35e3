//! `ampmesh completions`.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::cli::Cli;
use crate::exit::Exit;
use crate::terminal::Terminal;

/// Writes the completion script for `shell`.
///
/// # Errors
/// Those of stdout.
pub(crate) fn run(shell: Shell, terminal: &mut Terminal<'_>) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "ampmesh", &mut script);
    terminal.out.write_all(&script)?;
    Ok(Exit::Ok)
}
