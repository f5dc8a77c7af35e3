//! Python processes as the tests' peers: started, listened to line by line, and never left behind.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long any one thing may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running script of `tests/python`.
pub(super) struct Python {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Python {
    pub(super) fn start<'a>(script: &str, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut child = command(script)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter that tests/setup installs starts");
        let stdout = child.stdout.take().expect("it has a standard output");
        Self { _child: child, lines: BufReader::new(stdout).lines() }
    }

    /// The next line, which has to be JSON.
    pub(super) async fn line(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("the peer says something in time");
        let line = line.expect("its output can be read").expect("it has not ended");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?} is not JSON"))
    }

    /// The next line that tells of `event`; others are passed over.
    pub(super) async fn event(&mut self, event: &str) -> Value {
        loop {
            let line = self.line().await;
            assert_ne!(line["event"], "failed", "the peer failed: {line}");
            if line["event"] == event {
                return line;
            }
        }
    }
}

/// A script of `tests/python` in the environment that `tests/setup` made.
pub(super) fn command(script: &str) -> Command {
    let interpreter = std::env::var_os("AMPMESH_VENV")
        .map_or_else(|| repository().join("target/venv"), PathBuf::from)
        .join("bin/python");
    assert!(interpreter.exists(), "{} is missing: run tests/setup", interpreter.display());
    let mut command = Command::new(interpreter);
    command.arg(repository().join("tests/python").join(script)).kill_on_drop(true);
    command
}

pub(super) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// The testbed, started; its first line tells its ports.
pub(super) async fn testbed() -> (Child, Value) {
    let example = std::env::current_exe().expect("this test has a path");
    let example = example.parent().and_then(Path::parent).expect("it lies in target/*/deps");
    let example = example.join("examples/testbed");
    assert!(example.exists(), "{} is missing: cargo build --examples", example.display());
    let mut child = Command::new(example)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the testbed starts");
    let stdout = child.stdout.take().expect("it has a standard output");
    let first = BufReader::new(stdout).lines().next_line().await;
    let ports = first.expect("it can be read").expect("it has a first line");
    (child, serde_json::from_str(&ports).expect("its first line is JSON"))
}
