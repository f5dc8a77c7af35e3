//! `ampmesh call`.

use std::path::Path;
use std::time::Duration;

use amp_proto::dynamic::FieldDescription;
use futures_util::future::join_all;
use serde::Serialize;

use super::{no_such_command, reach};
use crate::arguments::Typed;
use crate::cli::CallArgs;
use crate::exit::Exit;
use crate::operator::{EncodedFields, Operator, Problem, ProblemKind, Target};
use crate::response::Response;
use crate::target::{Extent, extent};
use crate::terminal::Terminal;
use crate::text::{harmless, milliseconds};

/// How long a target may take to describe itself.
const DESCRIBE_PATIENCE: Duration = Duration::from_secs(5);

/// Makes a call, or the same call to all.
///
/// # Errors
/// Whatever is wrong before anything is sent, and those of stdout. What the targets make of the
/// call is written, and tells the exit code.
///
/// # Cancellation
/// What was sent may still be carried out.
pub(crate) async fn run(
    args: &CallArgs,
    data_dir: &Path,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Exit> {
    let CallArgs { target, command, arguments, timeout, json } = args;
    let (operator, targets) = reach(data_dir, target, timeout.0).await?;
    let outcomes = ask(&operator, &targets, command, arguments, timeout.0).await?;
    let exit = outcomes.iter().map(Outcome::exit).max().unwrap_or(Exit::Ok);
    match (extent(target), outcomes.as_slice()) {
        (Extent::One, [outcome]) if *json => terminal.json(&outcome.report())?,
        (_, outcomes) if *json => {
            terminal.json(&outcomes.iter().map(Outcome::report).collect::<Vec<_>>())?;
        }
        (Extent::One, [outcome]) => write_one(outcome, terminal)?,
        (_, outcomes) => {
            for outcome in outcomes {
                writeln!(
                    terminal.out,
                    "{}: {}",
                    harmless(&outcome.target.name),
                    outcome.summary()
                )?;
            }
        }
    }
    Ok(exit)
}

fn write_one(outcome: &Outcome, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
    match &outcome.result {
        Ok((response, _)) => {
            for (name, value) in response.shown() {
                writeln!(terminal.out, "{name}: {value}")?;
            }
            Ok(())
        }
        Err(problem) => {
            let name = harmless(&outcome.target.name);
            writeln!(terminal.err, "ampmesh: {name}: {}", summary_of(problem))
        }
    }
}

/// What one target made of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// Who was asked.
    pub(crate) target: Target,
    command: String,
    /// The response and how long it took, or why there is none.
    pub(crate) result: Result<(Response, Duration), Problem>,
}

/// The shape of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    target: &'a Target,
    command: &'a str,
    round_trip_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a Response>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Problem>,
    exit_code: u8,
}

impl Outcome {
    /// How long the answer took, a refusal or a failure as well.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        match &self.result {
            Ok((_, time)) => Some(*time),
            Err(problem) => problem.round_trip,
        }
    }

    /// The response on one line, or why there is none.
    pub(crate) fn summary(&self) -> String {
        match &self.result {
            Ok((response, _)) => {
                let fields = response.shown().map(|(name, value)| format!("{name}={value}"));
                let fields = fields.collect::<Vec<_>>().join(" ");
                if fields.is_empty() { "done".to_owned() } else { fields }
            }
            Err(problem) => summary_of(problem),
        }
    }

    fn exit(&self) -> Exit {
        self.result.as_ref().map_or_else(|problem| Exit::of_problem(problem.kind), |_| Exit::Ok)
    }

    fn report(&self) -> Report<'_> {
        let Self { target, command, result } = self;
        Report {
            target,
            command,
            round_trip_ms: self.round_trip().map(milliseconds),
            response: result.as_ref().ok().map(|(response, _)| response),
            error: result.as_ref().err(),
            exit_code: self.exit().code(),
        }
    }
}

fn summary_of(problem: &Problem) -> String {
    let text = harmless(&problem.description);
    match (problem.kind, &problem.code) {
        (ProblemKind::Declared, Some(code)) => format!("refused with {}: {text}", harmless(code)),
        (_, Some(code)) => format!("failed with {}: {text}", harmless(code)),
        (_, None) => text,
    }
}

/// Has every target carry out the command, all at the same time. Before anything is sent, the
/// arguments are checked against each target's own description.
///
/// # Errors
/// [`ArgumentsError`](crate::arguments::ArgumentsError).
///
/// # Cancellation
/// The answers are forgotten; the command may still be carried out.
pub(crate) async fn ask(
    operator: &Operator,
    targets: &[Target],
    command: &str,
    words: &[String],
    patience: Duration,
) -> anyhow::Result<Vec<Outcome>> {
    let typed = Typed::read(words)?;
    let described =
        targets.iter().map(|target| operator.describe(target, DESCRIBE_PATIENCE.min(patience)));
    let described = join_all(described).await;
    let mut calls = Vec::new();
    for (target, described) in targets.iter().zip(described) {
        let prepared = match described {
            Ok(known) => match known.iter().find(|it| it.name == command) {
                Some(it) => Ok((typed.encode(&it.arguments)?, it.response.clone())),
                None => {
                    return Err(no_such_command(operator, target, command, &known).await.into());
                }
            },
            Err(problem) => Err(of_describing(problem)),
        };
        calls.push((target, prepared));
    }
    let calls = calls.into_iter().map(|(target, prepared)| async move {
        let result = match prepared {
            Ok((arguments, response)) => {
                carry_out(operator, target, command, arguments, &response, patience).await
            }
            Err(problem) => Err(problem),
        };
        Outcome { target: target.clone(), command: command.to_owned(), result }
    });
    Ok(join_all(calls).await)
}

/// Says what a peer without descriptions means for whoever wants to call it.
fn of_describing(problem: Problem) -> Problem {
    let problem = Problem { round_trip: None, ..problem };
    if problem.kind != ProblemKind::Unhandled {
        return problem;
    }
    let description = "it does not describe its commands, as stock peers do not, so arguments for \
                       it cannot be checked and no call is made";
    Problem { description: description.to_owned(), ..problem }
}

async fn carry_out(
    operator: &Operator,
    target: &Target,
    command: &str,
    arguments: EncodedFields,
    response: &[FieldDescription],
    patience: Duration,
) -> Result<(Response, Duration), Problem> {
    let answer = operator.call(target, command, arguments, patience).await?;
    match Response::decode(response, &answer.fields) {
        Ok(response) => Ok((response, answer.round_trip)),
        Err(error) => {
            let round_trip = Some(answer.round_trip);
            Err(Problem { round_trip, ..Problem::unreadable(&error) })
        }
    }
}

#[cfg(test)]
mod tests {
    use amp_proto::RoleName;
    use serde_json::json;

    use super::*;

    fn outcome(result: Result<(Response, Duration), Problem>) -> Outcome {
        let target = Target { role: RoleName::Cluster, name: "rack-7".into(), id: "5f".into() };
        Outcome { target, command: "EatCheez".to_owned(), result }
    }

    #[test]
    fn a_response_is_reported_in_its_stable_shape() {
        let described = ["rating: integer".parse().unwrap()];
        let answered = vec![("rating".to_owned(), b"9".to_vec())];
        let response = Response::decode(&described, &answered).unwrap();
        let good = outcome(Ok((response, Duration::from_micros(420))));
        assert_eq!(good.exit(), Exit::Ok);
        assert_eq!(good.summary(), "rating=9");
        assert_eq!(
            serde_json::to_value(good.report()).unwrap(),
            json!({
                "target": {"kind": "cluster", "name": "rack-7", "id": "5f"},
                "command": "EatCheez", "round_trip_ms": 0.42, "response": {"rating": 9},
                "exit_code": 0,
            })
        );
    }

    #[test]
    fn a_refusal_is_reported_with_its_code() {
        let refusal = Problem {
            kind: ProblemKind::Declared,
            code: Some("CELLAR_LOCKED".to_owned()),
            description: "the cellar is locked".to_owned(),
            maybe_done: true,
            round_trip: Some(Duration::from_micros(310)),
        };
        let bad = outcome(Err(refusal));
        assert_eq!(bad.exit(), Exit::Declared);
        assert_eq!(bad.summary(), "refused with CELLAR_LOCKED: the cellar is locked");
        let json = serde_json::to_value(bad.report()).unwrap();
        assert_eq!(json["error"]["kind"], "declared");
        assert_eq!(json["error"]["code"], "CELLAR_LOCKED");
        assert_eq!((&json["round_trip_ms"], &json["exit_code"]), (&json!(0.31), &json!(3)));
        assert_eq!(json.get("response"), None);
    }
}
