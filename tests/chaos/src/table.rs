//! Runs rows one after the other, and prints what came of them as one table.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout};

use crate::row::{Figures, Form, Row, Run};

/// A row that has been run.
#[derive(Debug, Serialize)]
struct Entry {
    number: &'static str,
    property: &'static str,
    form: Form,
    seed: u64,
    minutes: Option<f64>,
    target: &'static str,
    measured: Vec<String>,
    missed: Vec<String>,
    ok: bool,
    seconds: u64,
}

/// Runs the rows of these numbers, or all, and prints the table. Gives whether all are ok.
///
/// # Errors
/// A number that is no row's, or a file that cannot be written. A row that fails is no error.
///
/// # Cancellation
/// The row under way is killed, and with it what it has started, as by SIGINT and SIGTERM.
pub(crate) async fn run(
    rows: &[Box<dyn Row>],
    numbers: &[String],
    run: Run,
    json: Option<&Path>,
) -> anyhow::Result<bool> {
    for number in numbers {
        if !rows.iter().any(|row| row.number() == number) {
            let known: Vec<_> = rows.iter().map(|row| row.number()).collect();
            bail!("no row has the number {number}; there are {}", known.join(", "));
        }
    }
    let mut interrupts = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut entries = Vec::new();
    for row in rows {
        if numbers.is_empty() || numbers.iter().any(|number| number == row.number()) {
            let entry = tokio::select! {
                entry = entry(row.as_ref(), run) => entry?,
                _ = interrupts.0.recv() => bail!("interrupted, in {}", row.number()),
                _ = interrupts.1.recv() => bail!("told to end, in {}", row.number()),
            };
            entries.push(entry);
        }
    }
    if let Some(path) = json {
        std::fs::write(path, serde_json::to_string_pretty(&entries)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{}", in_text(&entries))?;
    Ok(entries.iter().all(|entry| entry.ok))
}

async fn entry(row: &dyn Row, run: Run) -> anyhow::Result<Entry> {
    // A server may run as another user, who has to get to its own folder in it.
    let reachable = Permissions::from_mode(0o711);
    let mut folder = tempfile::Builder::new().prefix("chaos").permissions(reachable).tempdir()?;
    let begun = Instant::now();
    let mut err = std::io::stderr();
    let _said = writeln!(err, "==> {} {}, seed {}", row.number(), row.property(), run.seed);
    let limit = match run.minutes {
        Some(minutes) => row.time_limit(run.form) + Duration::from_secs_f64(minutes * 60.0),
        None => row.time_limit(run.form),
    };
    let figures = match timeout(limit, in_own_process(row, run, folder.path())).await {
        Ok(Ok(figures)) => figures,
        Ok(Err(error)) => Figures { missed: vec![format!("{error:#}")], ..Figures::default() },
        Err(_) => {
            let missed = vec![format!("not over after {} s", limit.as_secs())];
            Figures { missed, ..Figures::default() }
        }
    };
    for missed in &figures.missed {
        let _said = writeln!(err, "    FAILED: {missed}");
    }
    if !figures.missed.is_empty() {
        folder.disable_cleanup(true);
        let _said = writeln!(err, "    books and logs: {}", folder.path().display());
    }
    Ok(Entry {
        number: row.number(),
        property: row.property(),
        form: run.form,
        seed: run.seed,
        minutes: run.minutes,
        target: row.target(run.form),
        ok: figures.missed.is_empty(),
        measured: figures.measured,
        missed: figures.missed,
        seconds: begun.elapsed().as_secs(),
    })
}

/// A row's process and all that it has started. They are killed when this is dropped: a command
/// that a row runs has processes of its own.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // None may be left.
        let _killed = kill_process_group(self.0, Signal::KILL);
    }
}

/// Runs a row as `chaos row`, so that whatever it does ends with that process.
async fn in_own_process(row: &dyn Row, run: Run, folder: &Path) -> anyhow::Result<Figures> {
    let program = std::env::current_exe()?;
    let mut words = Vec::new();
    if row.has_own_network() {
        words.extend(["unshare", "--net"]);
        if !rustix::process::geteuid().is_root() {
            words.extend(["--user", "--map-current-user", "--keep-caps"]);
        }
        words.push("--");
    }
    // Last, for a process that comes to other rights is not killed with us any more.
    words.extend(["setpriv", "--pdeathsig", "KILL", "--"]);
    let (first, others) = words.split_first().context("no words")?;
    let mut command = Command::new(first);
    command.args(others).env("TMPDIR", folder);
    command.arg(program).args(["row", row.number(), &run.form.to_string()]);
    command.args(["--seed", &run.seed.to_string()]);
    if let Some(minutes) = run.minutes {
        command.args(["--minutes", &minutes.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let child = command.spawn().context("cannot run unshare and setpriv, of util-linux")?;
    let first = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
    let _group = Group(first.context("a process without a number")?);
    let written = child.wait_with_output().await?;
    let text = String::from_utf8_lossy(&written.stdout);
    match text.lines().last().map(serde_json::from_str::<Told>) {
        Some(Ok(Ok(figures))) => Ok(figures),
        Some(Ok(Err(said))) => bail!("{}", {
            let said: String = said;
            said
        }),
        Some(Err(_)) | None if row.has_own_network() => bail!(
            "the row's process ended with {} and told nothing. It needs unshare and setpriv, of \
             util-linux, and the permission to make a network namespace",
            written.status
        ),
        Some(Err(_)) | None => bail!("the row's process ended with {}", written.status),
    }
}

/// What a row's process tells on its last line.
pub(crate) type Told = Result<Figures, String>;

fn in_text(entries: &[Entry]) -> String {
    let mut text = String::new();
    let mut line = |number: &str, property: &str, target: &str, measured: &str, state: &str| {
        text += format!("| {number} | {property} | {target} | {measured} | {state} |\n").as_str();
    };
    line("#", "property", "target", "measured", "");
    line("---", "---", "---", "---", "---");
    for entry in entries {
        let form = match entry.minutes {
            Some(minutes) => format!("{}, for {minutes} min", entry.form),
            None => entry.form.to_string(),
        };
        let target = format!("{form}: {}", entry.target);
        let mut measured = entry.measured.join(", ");
        let other = entry.missed.iter().filter(|missed| !entry.measured.contains(missed));
        for missed in other {
            measured += format!("; MISSED: {}", missed.lines().next().unwrap_or_default()).as_str();
        }
        let state = if entry.ok { "ok" } else { "FAILED" };
        line(entry.number, entry.property, &target, &measured, state);
    }
    text
}
