//! Processes that a row starts. None outlives it: the kernel kills them when the row's process
//! ends, however it ends. Rows run on one thread, which is what the kernel watches.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

/// Bytes of a page on the machines that this runs on, for `/proc`.
const PAGE_BYTES: u64 = 4096;

/// How long a process of ours may take to answer a question on its stdin.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// How a process is to be started.
#[derive(Debug)]
pub(crate) struct Starting {
    words: Vec<String>,
    variables: Vec<(String, String)>,
    log: Option<std::path::PathBuf>,
}

/// A process, with a pipe to its stdin and one from its stdout. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it has said beside what was waited for. Bounded by [`Process::SAID_MAX`].
    said: VecDeque<String>,
}

impl Starting {
    /// Puts words before the command, as `nsenter` or `prlimit` take them.
    pub(crate) fn through(mut self, words: &[&str]) -> Self {
        self.words.splice(0..0, words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Adds words to the command.
    pub(crate) fn words(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// Sets a variable of its environment.
    #[allow(dead_code, reason = "not every row needs it")]
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has its stderr go to the end of a file. Otherwise it goes where the row's goes.
    pub(crate) fn log(mut self, path: &Path) -> Self {
        self.log = Some(path.to_owned());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// The program is missing, or the log cannot be opened.
    pub(crate) fn start(self) -> anyhow::Result<Process> {
        // `setpriv` has the kernel kill it with us, and becomes the command.
        let mut command = tokio::process::Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(&self.words);
        command.envs(self.variables).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(path) = &self.log {
            let file = std::fs::File::options().append(true).create(true).open(path)?;
            command.stderr(file);
        }
        let mut child = command.spawn().context("cannot run setpriv, of util-linux")?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let output = child.stdout.take().context("no pipe")?;
        Ok(Process {
            pid: pid.context("a process without a number")?,
            input: child.stdin.take(),
            lines: BufReader::new(output).lines(),
            said: VecDeque::new(),
            child,
        })
    }
}

impl Process {
    /// How many lines are kept that nobody waits for; older ones are let go.
    const SAID_MAX: usize = 1024;

    /// This program with another subcommand.
    ///
    /// # Errors
    /// Nobody knows where this program is.
    pub(crate) fn of_ours(arguments: &[&str]) -> anyhow::Result<Starting> {
        let program = std::env::current_exe()?;
        Ok(Self::command(program.to_str().context("a path that is no text")?, arguments))
    }

    /// Any program.
    pub(crate) fn command(program: &str, arguments: &[&str]) -> Starting {
        let words = std::iter::once(program).chain(arguments.iter().copied());
        let words = words.map(str::to_owned).collect();
        Starting { words, variables: Vec::new(), log: None }
    }

    /// Its process id. `nsenter`, `prlimit` and the like become the command, and keep it.
    pub(crate) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Waits for a line of its stdout that begins so, and gives what stands behind it.
    ///
    /// # Errors
    /// No such line in time, or the process ended.
    ///
    /// # Cancellation
    /// Lines that came meanwhile are kept.
    pub(crate) async fn line(&mut self, begins: &str, within: Duration) -> anyhow::Result<String> {
        let id = self.id();
        if let Some(at) = self.said.iter().position(|line| line.starts_with(begins)) {
            let line = self.said.remove(at).unwrap_or_default();
            return Ok(line.trim_start_matches(begins).trim().to_owned());
        }
        let wanted = async {
            loop {
                let Some(line) = self.lines.next_line().await? else {
                    bail!("process {id} ended before it said `{begins}`");
                };
                if let Some(rest) = line.strip_prefix(begins) {
                    return Ok(rest.trim().to_owned());
                }
                if self.said.len() >= Self::SAID_MAX {
                    self.said.pop_front();
                }
                self.said.push_back(line);
            }
        };
        let late = || anyhow!("process {id} did not say `{begins}` within {within:?}");
        timeout(within, wanted).await.map_err(|_| late())?
    }

    /// Lets go of every line that it has said until now.
    ///
    /// # Errors
    /// It has ended.
    ///
    /// # Cancellation
    /// Some may be left.
    pub(crate) async fn forget(&mut self) -> anyhow::Result<()> {
        // What it says to this comes after all that it has said before.
        self.tell("mark").await?;
        self.line("marked", ANSWERED_WITHIN).await?;
        self.said.clear();
        Ok(())
    }

    /// How many lines it has said until now that begin so and that nobody waited for.
    ///
    /// # Errors
    /// It has ended.
    ///
    /// # Cancellation
    /// None is lost.
    pub(crate) async fn said_so_far(&mut self, begins: &str) -> anyhow::Result<usize> {
        self.tell("mark").await?;
        self.line("marked", ANSWERED_WITHIN).await?;
        Ok(self.said.iter().filter(|line| line.starts_with(begins)).count())
    }

    /// Writes a line to its stdin.
    ///
    /// # Errors
    /// It has closed its stdin, or ended.
    ///
    /// # Cancellation
    /// Part of the line may have been written.
    pub(crate) async fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("its stdin is closed")?;
        input.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(input.flush().await?)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended, and was waited for.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(self.pid, signal).with_context(|| format!("{signal:?} to {}", self.id()))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It has not ended in time.
    ///
    /// # Cancellation
    /// It can be waited for again.
    pub(crate) async fn ended(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let late = || anyhow!("process {} did not end within {within:?}", self.pid);
        Ok(timeout(within, self.child.wait()).await.map_err(|_| late())??)
    }

    /// Bytes of memory that are its own or shared, as the kernel counts them now.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let [resident, _] = self.pages()?;
        Ok(resident * PAGE_BYTES)
    }

    /// Bytes of memory that no file holds as well: the program itself, which the kernel drops and
    /// fetches as it likes, does not count.
    ///
    /// # Errors
    /// It has ended.
    #[allow(dead_code, reason = "not every row needs it")]
    pub(crate) fn own_bytes(&self) -> anyhow::Result<u64> {
        let [resident, of_files] = self.pages()?;
        Ok(resident.saturating_sub(of_files) * PAGE_BYTES)
    }

    /// Pages that are resident, and how many of them are those of files.
    fn pages(&self) -> anyhow::Result<[u64; 2]> {
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.id()))?;
        let mut pages = pages.split_whitespace().skip(1);
        let mut next = || anyhow::Ok(pages.next().context("no statm")?.parse()?);
        Ok([next()?, next()?])
    }

    /// Files and sockets that it has open.
    ///
    /// # Errors
    /// It has ended.
    #[allow(dead_code, reason = "not every row needs it")]
    pub(crate) fn open_files(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.id()))?.count())
    }
}

/// Runs a program to its end, and gives what it wrote.
///
/// # Errors
/// It is missing, or it failed; the error has its words.
///
/// # Cancellation
/// It is killed.
pub(crate) async fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = tokio::process::Command::new(program);
    let written = command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let written = written.with_context(|| format!("cannot run `{program}`: is it installed?"))?;
    if !written.status.success() {
        let error = String::from_utf8_lossy(&written.stderr);
        bail!("`{program} {}` failed: {}", arguments.join(" "), error.trim());
    }
    Ok(String::from_utf8_lossy(&written.stdout).into_owned())
}
