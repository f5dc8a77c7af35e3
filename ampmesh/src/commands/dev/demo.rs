//! The demonstration: calls both ways, each checked.

use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::mesh::Mesh;
use crate::commands::call::{Outcome, ask};
use crate::exit::Exit;
use crate::operator::{Operator, Target};
use crate::terminal::Style;
use crate::text::{harmless, round_trip};

/// How long each call may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A call, and what has to come of it.
struct Scene<'a> {
    /// Who asks whom.
    title: String,
    operator: &'a Operator,
    targets: &'a [Target],
    command: &'static str,
    arguments: &'static [&'static str],
    expected: Expected,
}

/// What has to come of a call.
enum Expected {
    /// A response with this field.
    Field(&'static str, Value),
    /// A declared error with this code.
    Refusal(&'static str),
}

/// Makes the calls and shows each with its answer. Gives [`Exit::Failed`] when one of them had not
/// the answer that it was to have.
///
/// # Errors
/// Those of `out`.
///
/// # Cancellation
/// What was sent may still be carried out.
pub(super) async fn play(
    mesh: &Mesh,
    out: &mut (dyn Write + Send),
    style: Style,
) -> anyhow::Result<Exit> {
    let mut exit = Exit::Ok;
    for scene in scenes(mesh)? {
        let Scene { title, operator, targets, command, arguments, expected } = scene;
        writeln!(out, "{}: {command} {}", style.strong(&title), arguments.join(" "))?;
        let words: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        for outcome in ask(operator, targets, command, &words, PATIENCE).await? {
            let is_right = expected.is_met_by(&outcome);
            let mark = if is_right { style.good("ok") } else { style.bad("WRONG") };
            let time = outcome.round_trip();
            let time = time.map(|time| format!("  {}", style.faint(&round_trip(time))));
            let (name, summary) = (harmless(&outcome.target.name), outcome.summary());
            writeln!(out, "  {name}: {summary}{}  {mark}", time.unwrap_or_default())?;
            if !is_right {
                exit = Exit::Failed;
            }
        }
    }
    writeln!(out)?;
    out.flush()?;
    Ok(exit)
}

fn scenes(mesh: &Mesh) -> anyhow::Result<Vec<Scene<'_>>> {
    let first = mesh.operators.first().context("there is no region process")?;
    let last = mesh.operators.last().unwrap_or(first);
    let one = mesh.clusters.get(..1).context("there is no cluster")?;
    let sender = mesh.clusters.last().map(std::slice::from_ref).unwrap_or(one);
    let (first_name, last_name) = (first.name(), last.name());
    let uuid = one.first().map_or("", |target| target.id.as_str());
    let sender_name = sender.first().map_or("", |target| target.name.as_str());
    Ok(vec![
        Scene {
            title: format!("{first_name} → the cluster {uuid}"),
            operator: first,
            targets: one,
            command: "EatCheez",
            arguments: &["name=Idiazabal", "origin=Navarra"],
            expected: Expected::Field("rating", json!(9)),
        },
        Scene {
            title: format!("{last_name} → all clusters"),
            operator: last,
            targets: &mesh.clusters,
            command: "EatCheez",
            arguments: &["name=Gouda", "origin=Holland", "age_months=18"],
            expected: Expected::Field("rating", json!(7)),
        },
        Scene {
            title: format!("{first_name} → the cluster {uuid}, which refuses"),
            operator: first,
            targets: one,
            command: "EatCheez",
            arguments: &["name=Plastic", "origin=nowhere"],
            expected: Expected::Refusal("NO_SUCH_CHEEZ"),
        },
        Scene {
            title: format!("{sender_name} → a random region (it sends RateCheez)"),
            operator: first,
            targets: sender,
            command: "RecommendCheez",
            arguments: &["name=Idiazabal"],
            expected: Expected::Field("total", json!(9)),
        },
    ])
}

impl Expected {
    fn is_met_by(&self, outcome: &Outcome) -> bool {
        match (self, &outcome.result) {
            (Self::Field(name, value), Ok((response, _))) => response.get(name) == Some(value),
            (Self::Refusal(code), Err(problem)) => problem.code.as_deref() == Some(*code),
            _ => false,
        }
    }
}
