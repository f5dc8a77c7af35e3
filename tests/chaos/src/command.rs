//! Rows that are a command: a filter of tests, or a script whose last line is the figure.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;

use crate::row::{Figures, Form, Row, Run};

/// Where the figure is found in what a command writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    /// `cargo nextest run`: how many tests passed. None at all is a failure.
    TestsPassed,
    /// The last line that is not empty.
    LastLine,
}

/// A row that runs a command in the root of the repository, in the network that the table was
/// started in. It is ok if the command says so with its exit status.
///
/// ```ignore
/// Box::new(CommandRow {
///     number: "R14",
///     property: "wrong keys are refused",
///     targets: ["all", "100 % refused"],
///     commands: [&nextest("test(/^keys::/)"); 2],
///     figure: Figure::TestsPassed,
///     time_limits: [minutes(10), minutes(10)],
/// })
/// ```
#[derive(Clone, Debug)]
pub(crate) struct CommandRow {
    /// `"R14"`.
    pub(crate) number: &'static str,
    /// What is shown.
    pub(crate) property: &'static str,
    /// The targets of the short and of the long form.
    pub(crate) targets: [&'static str; 2],
    /// The commands of the short and of the long form, by words.
    pub(crate) commands: [&'static [&'static str]; 2],
    /// Where the figure is.
    pub(crate) figure: Figure,
    /// How long each form may take, with building.
    pub(crate) time_limits: [Duration; 2],
}

/// Which of two belongs to a form.
fn of<T: Copy>(pair: [T; 2], form: Form) -> T {
    let [short, long] = pair;
    match form {
        Form::Short => short,
        Form::Long => long,
    }
}

#[async_trait]
impl Row for CommandRow {
    fn number(&self) -> &'static str {
        self.number
    }

    fn property(&self) -> &'static str {
        self.property
    }

    fn target(&self, form: Form) -> &'static str {
        of(self.targets, form)
    }

    fn time_limit(&self, form: Form) -> Duration {
        of(self.time_limits, form)
    }

    fn has_own_network(&self) -> bool {
        false
    }

    async fn run(&self, run: Run) -> anyhow::Result<Figures> {
        let words = of(self.commands, run.form);
        let (program, arguments) = words.split_first().context("a command without a word")?;
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        // A build within a build of another profile would wait for its lock.
        command.env_remove("CARGO_TARGET_TMPDIR");
        let written = command.output().await.with_context(|| format!("cannot run {program}"))?;
        let out = String::from_utf8_lossy(&written.stdout).into_owned();
        let err = String::from_utf8_lossy(&written.stderr).into_owned();
        let mut figures = Figures::default();
        match self.figure {
            Figure::TestsPassed => {
                let passed = tests_passed(&err).unwrap_or_default();
                figures.check(passed > 0, format!("{passed} tests passed"));
            }
            Figure::LastLine => {
                let last = out.lines().rev().find(|line| !line.trim().is_empty());
                figures.check(last.is_some(), last.unwrap_or("no figure").trim());
            }
        }
        if !written.status.success() {
            figures.missed.push(format!("`{}`: {}", words.join(" "), written.status));
            figures.missed.extend(tail(&out).chain(tail(&err)).map(str::to_owned));
        }
        Ok(figures)
    }
}

/// What a failed command said last.
fn tail(text: &str) -> impl Iterator<Item = &str> {
    const LINES_MAX: usize = 20;
    text.lines().skip(text.lines().count().saturating_sub(LINES_MAX))
}

/// Reads `Summary [   1.2s] 12 tests run: 12 passed, 3 skipped`.
fn tests_passed(text: &str) -> Option<u64> {
    let summary = text.lines().rev().find(|line| line.trim_start().starts_with("Summary ["))?;
    let before = summary.split(" passed").next()?;
    before.rsplit([' ', ',']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_passed_tests_is_read_from_what_nextest_says() {
        let said = "  PASS x\n------\n     Summary [  1.265s] 12 tests run: 11 passed, 1 failed\n";
        assert_eq!(tests_passed(said), Some(11));
        assert_eq!(tests_passed("error: no tests to run"), None);
    }

    fn row(script: &'static [&'static str], figure: Figure) -> CommandRow {
        CommandRow {
            number: "R0",
            property: "",
            targets: [""; 2],
            commands: [script; 2],
            figure,
            time_limits: [Duration::from_secs(60); 2],
        }
    }

    fn short() -> Run {
        Run { form: Form::Short, seed: 1, minutes: None }
    }

    #[tokio::test]
    async fn the_last_line_of_a_script_is_its_figure() {
        let row = row(&["sh", "-c", "echo no; echo 17 boxes; echo"], Figure::LastLine);
        let figures = row.run(short()).await.unwrap();
        assert_eq!(figures.measured, ["17 boxes"]);
        assert!(figures.missed.is_empty());
    }

    #[tokio::test]
    async fn a_command_that_fails_or_says_nothing_is_a_failed_row() {
        let failing = row(&["sh", "-c", "echo 17 boxes; exit 3"], Figure::LastLine);
        let missed = failing.run(short()).await.unwrap().missed;
        assert!(missed.iter().any(|line| line.contains("exit status: 3")), "{missed:?}");
        let silent = row(&["true"], Figure::LastLine);
        assert_eq!(silent.run(short()).await.unwrap().missed, ["no figure"]);
        let untested = row(&["true"], Figure::TestsPassed);
        assert_eq!(untested.run(short()).await.unwrap().missed, ["0 tests passed"]);
    }
}
