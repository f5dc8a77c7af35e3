//! Guards the instructions of a call: none of the paths that every call takes becomes longer
//! without somebody saying so.
//!
//! What was agreed on is in `bench/guard.json`. Times are of no use for this, as they differ from
//! minute to minute; instructions hardly do, and what still differs is less than the tolerance.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::children::Tool;
use crate::counting::{self, Counted, Kind};
use crate::job::{Size, name_of};
use crate::json::Machine;
use crate::peers::Peer;

/// How much more, or less, a call may take than was agreed on, as a share. Runs, folders and users,
/// and a machine at work, were seen to make a difference of 0.3 %; the compiler, which inlines
/// otherwise when code elsewhere has changed, one of 2.7 %.
const TOLERANCE: f64 = 0.05;

/// The same where the compiler, valgrind or the processor is another than when it was agreed: then
/// other code is counted. What got a quarter longer by that did not get it by that alone.
const TOLERANCE_ELSEWHERE: f64 = 0.25;

/// How many calls are made in the first run: enough for the sum to be far above what setting up
/// differs by. A large one takes as much as ten small ones.
const SMALL_CALLS: usize = 2_000;
const LARGE_CALLS: usize = 300;

/// What is guarded. Large calls over TLS are not: into how many reads a record falls is up to the
/// moment, and changes what the client takes by a sixth.
const KINDS: [Kind; 5] = [
    Kind { peer: Peer::Ampmesh, size: Size::Small, in_flight: 1 },
    Kind { peer: Peer::Ampmesh, size: Size::Small, in_flight: 64 },
    Kind { peer: Peer::Ampmesh, size: Size::Large, in_flight: 1 },
    Kind { peer: Peer::AmpmeshTls, size: Size::Small, in_flight: 1 },
    Kind { peer: Peer::AmpmeshTls, size: Size::Small, in_flight: 64 },
];

/// How to guard.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Agrees on what is counted now, instead of comparing.
    #[arg(long)]
    bless: bool,
    /// What was agreed on. Default: `bench/guard.json`.
    #[arg(long)]
    file: Option<PathBuf>,
    /// The folder for what callgrind writes. Default: `callgrind`, beside this program.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What was agreed on, and under which circumstances.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Agreed {
    circumstances: Circumstances,
    calls: Vec<Row>,
}

/// What else than this code decides how many instructions a call takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Circumstances {
    rustc: String,
    valgrind: String,
    /// Ciphers and the copying of memory are written for what a processor can do.
    processor: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    kind: Kind,
    #[serde(flatten)]
    counted: Counted,
}

/// What a count is, compared with what was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    More,
    Less,
}

impl Verdict {
    fn of(agreed: f64, counted: f64, tolerance: f64) -> Self {
        let share = difference(agreed, counted);
        if share > tolerance {
            Self::More
        } else if share < -tolerance {
            Self::Less
        } else {
            Self::Same
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Same => "",
            Self::More => "**more**",
            Self::Less => "less",
        }
    }
}

/// # Errors
/// When nothing can be counted, or what was agreed on cannot be read.
pub(crate) fn run(settings: &Settings) -> Result<ExitCode> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("guard.json");
    let file = settings.file.clone().unwrap_or_else(default);
    let circumstances = Circumstances::now()?;
    // Without it there is nothing to compare with, and counting takes a while.
    let agreed = if settings.bless { None } else { Some(read(&file)?) };
    let calls = count_all(settings.out.clone())?;
    let Some(agreed) = agreed else {
        write(&Agreed { circumstances, calls }, &file)?;
        println!("Agreed on {}.", file.display());
        return Ok(ExitCode::SUCCESS);
    };
    let differences = agreed.circumstances.differences(&circumstances);
    let tolerance = if differences.is_empty() { TOLERANCE } else { TOLERANCE_ELSEWHERE };
    let (table, verdicts) = compare(&agreed.calls, &calls, tolerance)?;
    print!("{table}{differences}");
    println!("{:.0} % more are tolerated.", tolerance * 100.0);
    if verdicts.contains(&Verdict::More) {
        println!("{TOO_MUCH}");
        return Ok(ExitCode::FAILURE);
    }
    if verdicts.contains(&Verdict::Less) {
        println!("{BETTER}");
    }
    Ok(ExitCode::SUCCESS)
}

const TOO_MUCH: &str = "\
A call takes more instructions than were agreed on. `bench instructions` leaves in its folder what
callgrind_annotate reads. If it has to be so, agree on it and say why in the commit:
    bench/guard --bless";
const BETTER: &str = "\
A call takes fewer instructions than were agreed on. So that it stays so, agree on it:
    bench/guard --bless";

fn count_all(out: Option<PathBuf>) -> Result<Vec<Row>> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.join("callgrind"));
    let folder = out.or_else(beside).context("no folder for what callgrind writes")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let count = |kind: Kind| {
        let calls = match kind.size {
            Size::Small => SMALL_CALLS,
            Size::Large => LARGE_CALLS,
        };
        let counted = runtime.block_on(counting::count(Tool::Callgrind, kind, calls, &folder))?;
        Ok(Row { kind, counted })
    };
    KINDS.into_iter().map(count).collect()
}

impl Circumstances {
    fn now() -> Result<Self> {
        let valgrind = Command::new("valgrind").arg("--version").output();
        let valgrind = valgrind.context("valgrind is missing: run tests/setup, or install it")?;
        Ok(Self {
            rustc: env!("BENCH_RUSTC").to_owned(),
            valgrind: String::from_utf8_lossy(&valgrind.stdout).trim().to_owned(),
            processor: Machine::this().processor,
        })
    }

    /// What is different now. It is a reason for other counts, and a reason to bless.
    fn differences(&self, now: &Self) -> String {
        let both = [
            ("rustc", &self.rustc, &now.rustc),
            ("valgrind", &self.valgrind, &now.valgrind),
            ("the processor", &self.processor, &now.processor),
        ];
        let mut words = String::new();
        for (what, then, now) in both.into_iter().filter(|(_, then, now)| then != now) {
            // A String takes everything.
            let _written = writeln!(words, "It was agreed on when {what} was {then}; it is {now}.");
        }
        words
    }
}

/// The table, and a verdict for each end of each row.
fn compare(agreed: &[Row], counted: &[Row], tolerance: f64) -> Result<(String, Vec<Verdict>)> {
    let (mut table, mut verdicts) = (String::new(), Vec::new());
    writeln!(table, "| peer | call | in flight | end | agreed | counted | difference | |")?;
    writeln!(table, "|---|---|---:|---|---:|---:|---:|---|")?;
    for Row { kind, counted } in counted {
        let Kind { peer, size, in_flight } = *kind;
        let Some(agreed) = agreed.iter().find(|row| row.kind == *kind) else {
            let (peer, size) = (name_of(peer), name_of(size));
            bail!("nothing was agreed on for {peer}, {size}, {in_flight} in flight: --bless");
        };
        let ends = [
            ("client", agreed.counted.client, counted.client),
            ("server", agreed.counted.server, counted.server),
        ];
        for (end, agreed, counted) in ends {
            let verdict = Verdict::of(agreed, counted, tolerance);
            writeln!(
                table,
                "| {} | {} | {in_flight} | {end} | {agreed:.0} | {counted:.0} | {:+.2} % | {} |",
                name_of(peer),
                name_of(size),
                difference(agreed, counted) * 100.0,
                verdict.words(),
            )?;
            verdicts.push(verdict);
        }
    }
    Ok((table, verdicts))
}

/// How much more it is than was agreed on, as a share of that.
fn difference(agreed: f64, counted: f64) -> f64 {
    counted / agreed - 1.0
}

fn read(file: &Path) -> Result<Agreed> {
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}: --bless makes it", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} holds no counts", file.display()))
}

fn write(agreed: &Agreed, file: &Path) -> Result<()> {
    let mut rounded = agreed.clone();
    for Row { counted: Counted { client, server }, .. } in &mut rounded.calls {
        (*client, *server) = (client.round(), server.round());
    }
    let mut text = serde_json::to_string_pretty(&rounded)?;
    text.push('\n');
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(client: f64, server: f64) -> Row {
        let kind = Kind { peer: Peer::Ampmesh, size: Size::Small, in_flight: 1 };
        Row { kind, counted: Counted { client, server } }
    }

    #[test]
    fn more_than_the_tolerance_is_found_at_the_end_where_it_is() {
        let (agreed, counted) = (row(1000.0, 1000.0), row(1049.0, 1051.0));
        let (table, verdicts) = compare(&[agreed], &[counted], TOLERANCE).unwrap();
        assert_eq!(verdicts, [Verdict::Same, Verdict::More]);
        assert!(table.contains("| server | 1000 | 1051 | +5.10 % | **more** |"), "{table}");
    }

    #[test]
    fn much_less_is_told_and_is_no_failure() {
        let (agreed, counted) = (row(1000.0, 1000.0), row(900.0, 951.0));
        let (_table, verdicts) = compare(&[agreed], &[counted], TOLERANCE).unwrap();
        assert_eq!(verdicts, [Verdict::Less, Verdict::Same]);
    }

    #[test]
    fn a_call_that_nothing_was_agreed_on_for_is_an_error() {
        let error = compare(&[], &[row(1.0, 1.0)], TOLERANCE).unwrap_err().to_string();
        assert!(error.contains("--bless"), "{error}");
    }

    #[test]
    fn another_compiler_is_named_as_a_reason() {
        let then = Circumstances {
            rustc: "rustc 1.95.0".to_owned(),
            valgrind: "valgrind-3.19.0".to_owned(),
            processor: "one".to_owned(),
        };
        let now = Circumstances { rustc: "rustc 1.96.0".to_owned(), ..then.clone() };
        let words = then.differences(&now);
        assert_eq!(words, "It was agreed on when rustc was rustc 1.95.0; it is rustc 1.96.0.\n");
        assert_eq!(then.differences(&then), "");
    }

    #[test]
    fn what_is_committed_can_be_read_and_has_every_call_that_is_guarded() {
        let agreed = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("guard.json")).unwrap();
        let kinds: Vec<_> = agreed.calls.iter().map(|row| row.kind).collect();
        assert_eq!(kinds, KINDS);
    }
}
