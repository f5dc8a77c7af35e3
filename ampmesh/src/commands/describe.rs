//! `ampmesh describe`.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use amp_proto::dynamic::FieldDescription;
use futures_util::future::join_all;
use mesh::CommandDescription;
use serde::Serialize;

use super::reach;
use crate::cli::DescribeArgs;
use crate::exit::Exit;
use crate::operator::{Operator, Problem, Target};
use crate::target::{TargetError, resolve};
use crate::terminal::{Style, Terminal};
use crate::text::harmless;

/// How long a target may take to describe itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows what processes answer.
///
/// # Errors
/// [`OperatorError`](crate::operator::OperatorError), [`TargetError`], a [`Problem`] of one target,
/// or those of stdout.
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
    let all = targets.iter().zip(&described);
    if args.json {
        terminal.json(&all.map(|(target, known)| Report::of(target, known)).collect::<Vec<_>>())?;
    } else {
        for (target, known) in all {
            write(target, known, terminal.out, terminal.style)?;
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

fn write(
    target: &Target,
    known: &[CommandDescription],
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    let Target { role, name, id } = target;
    let title = format!("{role} {} ({})", harmless(name), harmless(id));
    writeln!(out, "{}\n", style.faint(&title))?;
    for command in known {
        let arguments = signature(&command.arguments);
        let response = match command.response.as_slice() {
            _ if !command.requires_answer => " (no answer)".to_owned(),
            [] => String::new(),
            fields => format!(" -> {}", signature(fields)),
        };
        let name = style.strong(&harmless(&command.name));
        writeln!(out, "{name}({arguments}){response}")?;
        if !command.doc.is_empty() {
            writeln!(out, "    {}", harmless(&command.doc))?;
        }
        for field in command.arguments.iter().chain(&command.response) {
            if !field.doc.is_empty() {
                let text = format!("{}: {}", harmless(&field.name), harmless(&field.doc));
                writeln!(out, "      {}", style.faint(&text))?;
            }
        }
        if !command.errors.is_empty() {
            let codes: Vec<_> = command.errors.iter().map(|(code, _)| harmless(code)).collect();
            writeln!(out, "    errors: {}", codes.join(", "))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn signature(fields: &[FieldDescription]) -> String {
    fields.iter().map(|field| harmless(&field.to_string())).collect::<Vec<_>>().join(", ")
}

/// The shape of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    target: &'a Target,
    commands: Vec<ReportedCommand<'a>>,
}

#[derive(Serialize)]
struct ReportedCommand<'a> {
    name: &'a str,
    doc: &'a str,
    answered_by: Vec<&'static str>,
    arguments: Vec<ReportedField<'a>>,
    response: Vec<ReportedField<'a>>,
    errors: Vec<&'a str>,
    requires_answer: bool,
}

#[derive(Serialize)]
struct ReportedField<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: String,
    optional: bool,
    doc: &'a str,
}

impl<'a> Report<'a> {
    fn of(target: &'a Target, known: &'a [CommandDescription]) -> Self {
        Self { target, commands: known.iter().map(reported_command).collect() }
    }
}

fn reported_command(it: &CommandDescription) -> ReportedCommand<'_> {
    ReportedCommand {
        name: &it.name,
        doc: &it.doc,
        answered_by: it.answered_by.iter().map(|role| role.as_str()).collect(),
        arguments: it.arguments.iter().map(reported_field).collect(),
        response: it.response.iter().map(reported_field).collect(),
        errors: it.errors.iter().map(|(code, _)| code.as_str()).collect(),
        requires_answer: it.requires_answer,
    }
}

fn reported_field(it: &FieldDescription) -> ReportedField<'_> {
    let FieldDescription { name, kind, optional, doc } = it;
    ReportedField { name, kind: kind.to_string(), optional: *optional, doc }
}

#[cfg(test)]
mod tests {
    use amp_proto::RoleName;

    use super::*;

    #[test]
    fn a_command_is_shown_as_it_is_called() {
        let field = |text: &str, doc: &str| FieldDescription {
            doc: doc.to_owned(),
            ..text.parse().unwrap()
        };
        let eat = CommandDescription {
            name: "EatCheez".to_owned(),
            doc: "Taste a cheez.".to_owned(),
            answered_by: vec![RoleName::Cluster],
            arguments: vec![field("name: text", ""), field("age: integer(0..=255)?", "In months.")],
            response: vec![field("rating: integer(0..=255)", "")],
            errors: vec![("CELLAR_LOCKED".to_owned(), false)],
            requires_answer: true,
        };
        let target = Target { role: RoleName::Cluster, name: "rack-7".into(), id: "5f".into() };
        let mut out = Vec::new();
        write(&target, &[eat], &mut out, Style::plain()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "cluster rack-7 (5f)\n\n\
             EatCheez(name: text, age: integer(0..=255)?) -> rating: integer(0..=255)\n    \
             Taste a cheez.\n      age: In months.\n    errors: CELLAR_LOCKED\n\n"
        );
    }
}
