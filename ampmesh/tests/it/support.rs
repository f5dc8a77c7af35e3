//! Processes of the program, their lines, and their ends. Nothing here sleeps: everything waits for
//! a line or an end, for [`PATIENCE`] at most.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;
use tokio::time::Instant;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(9);

/// The program, in an environment of its own.
pub(crate) fn ampmesh(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ampmesh"));
    for (variable, _) in std::env::vars_os() {
        if variable.to_str().is_some_and(|name| name.starts_with("AMPMESH_")) {
            command.env_remove(variable);
        }
    }
    command.args(arguments).stdin(Stdio::null()).env_remove("XDG_STATE_HOME");
    command
}

/// What the program says and how it ends.
pub(crate) fn run(arguments: &[&str]) -> Output {
    ampmesh(arguments).output().unwrap()
}

/// A running process whose lines are read as they come. Told to end when dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// Those of the seen lines that no [`Running::line_with`] gave out.
    unclaimed: Vec<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        read_lines(child.stdout.take().unwrap(), sender.clone());
        read_lines(child.stderr.take().unwrap(), sender);
        Self { child, lines, seen: Vec::new(), unclaimed: Vec::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A line of stdout or stderr with `part` in it, seen already or still to come. Each is given
    /// out once: the streams overtake each other.
    pub(crate) fn line_with(&mut self, part: &str) -> String {
        if let Some(at) = self.unclaimed.iter().position(|line| line.contains(part)) {
            return self.unclaimed.remove(at);
        }
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with {part:?} came after:\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
            self.unclaimed.push(line);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid(self.pid()), signal).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        Watched::new(self.pid()).unwrap().wait_for_end();
        self.child.wait().unwrap()
    }

    /// All lines up to the end.
    pub(crate) fn rest(&mut self) -> String {
        self.seen.extend(self.lines.iter());
        self.seen.join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal(Signal::TERM);
            let _ended = self.child.wait();
        }
    }
}

fn read_lines(stream: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

/// A process, held so that its end can be waited for although it is nobody's child here.
pub(crate) struct Watched {
    pub(crate) pid: u32,
    pub(crate) command_line: String,
    handle: OwnedFd,
}

impl Watched {
    fn new(number: u32) -> Option<Self> {
        let handle = pidfd_open(pid(number), PidfdFlags::empty()).ok()?;
        let command_line = std::fs::read_to_string(format!("/proc/{number}/cmdline")).ok()?;
        Some(Self { pid: number, command_line: command_line.replace('\0', " "), handle })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid(self.pid), signal).unwrap();
    }

    /// Stops the process, and waits until its last thread has noticed.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        while !self.is_stopped() {
            thread::yield_now();
        }
    }

    fn is_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid)).unwrap().flatten();
        threads.into_iter().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state is the first field after the name, which stands in parentheses.
            stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('T')
        })
    }

    pub(crate) fn wait_for_end(&self) {
        let timeout = Timespec::try_from(PATIENCE).unwrap();
        let mut polled = [PollFd::new(&self.handle, PollFlags::IN)];
        let ready = poll(&mut polled, Some(&timeout)).unwrap();
        assert_eq!(ready, 1, "{} did not end", self.command_line);
    }
}

/// The children of a process.
pub(crate) fn children_of(parent: u32) -> Vec<Watched> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |number: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        // The parent is the second field after the name, which stands in parentheses.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    };
    numbers.filter(is_child).filter_map(Watched::new).collect()
}

/// A mesh of `ampmesh dev` that is up.
pub(crate) struct Dev {
    pub(crate) process: Running,
    pub(crate) data_dir: PathBuf,
}

impl Dev {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut process = Running::start(ampmesh(&[&["dev"], arguments].concat()));
        let hint = process.line_with("export AMPMESH_DATA_DIR=");
        let data_dir = PathBuf::from(hint.split_once('=').unwrap().1);
        process.line_with(" AgeCheez ");
        Self { process, data_dir }
    }

    /// Runs a subcommand on this mesh.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let data_dir = self.data_dir.to_str().unwrap();
        run(&[arguments, &["--data-dir", data_dir]].concat())
    }

    /// As [`Dev::run`], for a subcommand that goes well and writes JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The process with this name.
    pub(crate) fn child(&self, name: &str) -> Watched {
        let flag = format!("--name {name} ");
        let mut children = children_of(self.process.pid()).into_iter();
        children.find(|child| child.command_line.contains(&flag)).unwrap()
    }
}

/// Waits until something is so, asking again and again.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
    }
}

/// What a failed run wrote to stderr, with its exit code.
pub(crate) fn failure(output: &Output) -> (i32, String) {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code().unwrap(), text)
}

/// The permissions of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
