//! `ampmesh describe`.

mod report;
mod show;

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use mesh::CommandDescription;
use mesh::commands::VOCABULARY;

use self::report::Report;
use super::{no_such_command, reach};
use crate::arguments::ArgumentsError;
use crate::cli::DescribeArgs;
use crate::exit::Exit;
use crate::operator::{Operator, Problem, Target};
use crate::target::{TargetError, resolve};
use crate::terminal::Terminal;

/// How long a target may take to describe itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows what processes answer.
///
/// # Errors
/// [`OperatorError`](crate::operator::OperatorError), [`TargetError`], a [`Problem`] of one target,
/// [`ArgumentsError`] for a command that it does not answer, or those of stdout.
///
/// # Cancellation
/// Nothing is left behind.
pub(crate) async fn run(
    args: &DescribeArgs,
    data_dir: &Path,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Exit> {
    let (operator, targets) = match &args.target {
        Some(target) => reach(data_dir, target, PATIENCE).await?,
        None => both_sides(data_dir).await?,
    };
    let described = join_all(targets.iter().map(|target| operator.describe(target, PATIENCE)));
    let described: Vec<_> = described.await.into_iter().collect::<Result<_, Problem>>()?;
    let mut selected = Vec::new();
    for (target, known) in targets.iter().zip(&described) {
        let commands = select(&operator, target, known, args.command.as_deref()).await?;
        selected.push((target, commands));
    }
    if args.json {
        let reports = selected.iter().map(|(target, commands)| Report::of(target, commands));
        terminal.json(&reports.collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    for (target, commands) in selected {
        match commands.as_slice() {
            [command] if args.command.is_some() => {
                show::one(target, command, terminal.out, terminal.style)?;
            }
            commands => show::all(target, commands, terminal.out, terminal.style)?,
        }
    }
    Ok(Exit::Ok)
}

/// The region process that answers, and a cluster if there is one.
async fn both_sides(data_dir: &Path) -> anyhow::Result<(Operator, Vec<Target>)> {
    let operator = Operator::connect_any(data_dir, PATIENCE).await?;
    let mut targets = vec![operator.as_target()];
    match resolve("any", &operator.directory().await?, &operator.as_target()) {
        Ok(cluster) => targets.extend(cluster),
        Err(TargetError::NoClusters) => {}
        Err(error) => return Err(error.into()),
    }
    Ok((operator, targets))
}

/// The commands to show: the application's before the mesh's own, or the one that was asked for.
async fn select<'a>(
    operator: &Operator,
    target: &Target,
    known: &'a [CommandDescription],
    wanted: Option<&str>,
) -> Result<Vec<&'a CommandDescription>, ArgumentsError> {
    let Some(wanted) = wanted else {
        let (own, application): (Vec<_>, Vec<_>) = known.iter().partition(|it| is_of_the_mesh(it));
        return Ok(application.into_iter().chain(own).collect());
    };
    match known.iter().find(|command| command.name == wanted) {
        Some(command) => Ok(vec![command]),
        None => Err(no_such_command(operator, target, wanted, known).await),
    }
}

/// Whether every mesh has the command, whatever its application. What connections tell each other
/// beside calls is described by nobody: a command of such a name is the application's.
fn is_of_the_mesh(command: &CommandDescription) -> bool {
    VOCABULARY.iter().any(|own| own.requires_answer && own.name == command.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(name: &str) -> CommandDescription {
        CommandDescription {
            name: name.to_owned(),
            doc: String::new(),
            answered_by: Vec::new(),
            arguments: Vec::new(),
            response: Vec::new(),
            errors: Vec::new(),
            requires_answer: true,
        }
    }

    #[test]
    fn a_command_that_shares_its_name_with_what_connections_tell_each_other_is_an_applications() {
        assert!(is_of_the_mesh(&command("Negotiate")) && is_of_the_mesh(&command("StartTLS")));
        assert!(!is_of_the_mesh(&command("Item")) && !is_of_the_mesh(&command("EatCheez")));
    }
}
