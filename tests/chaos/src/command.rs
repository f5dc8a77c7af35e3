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
    /// The last line with this text in it; with an empty one, the last line that is not empty.
    LastLineWith(&'static str),
}

/// A row that runs a command in the directory that the table was started in, the root of the
/// repository, and in its network. It is ok if the command says so with its exit status.
///
/// A line of [`crate::rows::all`] is enough:
///
/// ```text
/// Box::new(CommandRow::tests("R14", "wrong keys", "refused", "mesh-harness", "test(/^keys/)")),
/// Box::new(CommandRow {
///     number: "R5",
///     property: "simulation",
///     targets: ["1 min, 0 violations", "8 h, 0 violations"],
///     commands: [words("tests/simulate 1"), words("tests/simulate 480")],
///     figure: Figure::LastLineWith(" seeds, "),
///     time_limits: [minutes(20), minutes(500)],
/// }),
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
    pub(crate) commands: [Vec<String>; 2],
    /// Where the figure is.
    pub(crate) figure: Figure,
    /// How long each form may take, with building.
    pub(crate) time_limits: [Duration; 2],
}

/// A command without quotes, by words.
pub(crate) fn words(command: &str) -> Vec<String> {
    command.split_whitespace().map(str::to_owned).collect()
}

impl CommandRow {
    /// Tests of one package, the same ones in both forms.
    pub(crate) fn tests(
        number: &'static str,
        property: &'static str,
        target: &'static str,
        package: &str,
        filter: &str,
    ) -> Self {
        // As they were built for all the other tests, so that nothing is built again.
        let mut command = words("cargo nextest run --workspace --all-features -E");
        command.push(format!("package({package}) & ({filter})"));
        Self {
            number,
            property,
            targets: [target; 2],
            commands: [command.clone(), command],
            figure: Figure::TestsPassed,
            // Most of it for building.
            time_limits: [Duration::from_secs(30 * 60); 2],
        }
    }
}

/// Which of two belongs to a form.
fn of<T>(pair: &[T; 2], form: Form) -> &T {
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
        let [short, long] = self.targets;
        match form {
            Form::Short => short,
            Form::Long => long,
        }
    }

    fn time_limit(&self, form: Form) -> Duration {
        *of(&self.time_limits, form)
    }

    fn has_own_network(&self) -> bool {
        false
    }

    async fn run(&self, run: Run) -> anyhow::Result<Figures> {
        let words = of(&self.commands, run.form);
        let (program, arguments) = words.split_first().context("a command without a word")?;
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let written = command.output().await.with_context(|| format!("cannot run {program}"))?;
        let out = String::from_utf8_lossy(&written.stdout).into_owned();
        let err = String::from_utf8_lossy(&written.stderr).into_owned();
        let mut figures = Figures::default();
        match self.figure {
            Figure::TestsPassed => {
                let passed = tests_passed(&err).unwrap_or_default();
                figures.check(passed > 0, format!("{passed} tests passed"));
            }
            Figure::LastLineWith(text) => {
                let is_it = |line: &&str| line.contains(text) && !line.trim().is_empty();
                let last = out.lines().rev().find(is_it);
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

    fn row(script: &str, figure: Figure) -> CommandRow {
        let command = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        CommandRow {
            number: "R0",
            property: "",
            targets: ["short", "long"],
            commands: [command, words("false")],
            figure,
            time_limits: [Duration::from_secs(60); 2],
        }
    }

    fn run(form: Form) -> Run {
        Run { form, seed: 1, minutes: None }
    }

    #[tokio::test]
    async fn the_last_line_of_a_script_is_its_figure() {
        for (text, figure) in [("", "17 boxes"), ("seeds", "3 seeds")] {
            let row = row("echo 3 seeds; echo 17 boxes; echo", Figure::LastLineWith(text));
            let figures = row.run(run(Form::Short)).await.unwrap();
            assert_eq!(figures.measured, [figure]);
            assert!(figures.missed.is_empty());
        }
    }

    #[tokio::test]
    async fn a_command_that_fails_or_says_nothing_is_a_failed_row() {
        let failing = row("echo 17 boxes; exit 3", Figure::LastLineWith(""));
        let missed = failing.run(run(Form::Short)).await.unwrap().missed;
        assert!(missed.iter().any(|line| line.contains("exit status: 3")), "{missed:?}");
        let silent = row("true", Figure::LastLineWith(""));
        assert_eq!(silent.run(run(Form::Short)).await.unwrap().missed, ["no figure"]);
        let untested = row("true", Figure::TestsPassed);
        assert_eq!(untested.run(run(Form::Short)).await.unwrap().missed, ["0 tests passed"]);
        assert_eq!(silent.target(Form::Long), "long");
        let missed = silent.run(run(Form::Long)).await.unwrap().missed;
        assert!(missed.iter().any(|line| line.contains("`false`")), "{missed:?}");
    }

    #[test]
    fn tests_of_a_package_are_run_by_their_filter() {
        let row = CommandRow::tests("R14", "wrong keys", "refused", "mesh", "test(/^keys/)");
        let filter = row.commands[0].last().unwrap();
        assert_eq!(filter, "package(mesh) & (test(/^keys/))");
        assert!(!row.has_own_network(), "crates may have to be fetched");
    }
}
