//! `ampmesh invite`.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::cli::InviteArgs;
use crate::exit::Exit;
use crate::operator::Operator;
use crate::terminal::Terminal;
use crate::text::uptime;

/// The shape of `--json`.
#[derive(Serialize)]
struct Invited<'a> {
    token: &'a str,
    expires_s: f64,
}

/// Makes an invite, and writes its token.
///
/// # Errors
/// [`OperatorError`](crate::operator::OperatorError), or those of stdout.
pub(crate) async fn run(
    args: &InviteArgs,
    data_dir: &Path,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Exit> {
    let operator = Operator::connect_any(data_dir, Duration::MAX).await?;
    let token = operator.invite(args.expires.0).await?;
    if args.json {
        terminal.json(&Invited { token: &token, expires_s: args.expires.0.as_secs_f64() })?;
    } else {
        // The token alone goes to stdout, so that it can be handed on by a script.
        let time = uptime(args.expires.0);
        writeln!(
            terminal.err,
            "good once, within {time}; whoever has it can join:\n\n  ampmesh join -\n\n\
             reads it from standard input, so that no list of processes shows it\n"
        )?;
        writeln!(terminal.out, "{token}")?;
    }
    Ok(Exit::Ok)
}
