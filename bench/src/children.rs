//! The processes of one measurement: a listener and a connector.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::figures::Figures;
use crate::job::{End, Job, Said};
use crate::peers::Peer;

/// How long a listener may take until it can be connected to.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a measurement may take beyond its time: 10,000 connections have to be made for some.
const MEASURED_WITHIN: Duration = Duration::from_secs(300);
/// How long a process may take to end.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// Measures once.
///
/// # Errors
/// What either process said, or did not say in time.
///
/// # Cancellation
/// Dropping the future kills both processes.
pub(crate) async fn measure(job: &Job) -> Result<Figures> {
    measure_counting(job, None).await
}

/// What counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Instructions, valgrind's.
    Callgrind,
    /// System calls.
    Strace,
}

/// glibc's memcpy never copies byte by byte.
const COPY_BY_WORDS: &str = "glibc.cpu.x86_rep_movsb_threshold=0x7fffffff";

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Callgrind => "callgrind",
            Self::Strace => "strace",
        }
    }

    /// This program, in the tool, which writes what it counts to `file`.
    fn command(self, file: &Path) -> Result<Command> {
        let mut command = match self {
            Self::Callgrind => {
                let mut valgrind = Command::new("valgrind");
                valgrind.args(["--tool=callgrind", "--quiet"]);
                // Otherwise glibc copies what is large with one instruction that counts as one for
                // every byte, or does not: by how the two places lie to each other.
                valgrind.env("GLIBC_TUNABLES", COPY_BY_WORDS);
                valgrind.arg(format!("--callgrind-out-file={}", file.display()));
                valgrind
            }
            Self::Strace => {
                let mut strace = Command::new("strace");
                strace.args(["--follow-forks", "--summary-only", "--output"]).arg(file);
                strace
            }
        };
        command.arg(std::env::current_exe()?);
        Ok(command)
    }
}

/// The end that runs in a tool, and the file that this writes.
#[derive(Debug)]
pub(crate) struct Counting {
    pub(crate) tool: Tool,
    pub(crate) end: End,
    pub(crate) file: PathBuf,
}

/// As [`measure`], with one end in a tool that counts.
pub(crate) async fn measure_counting(job: &Job, counting: Option<&Counting>) -> Result<Figures> {
    let listening = Job { end: End::Listen, ..job.clone() };
    let mut listener = Process::start(&listening, counting).await?;
    let said = timeout(READY_WITHIN, listener.said()).await.context("the listener is not ready")?;
    let Said::Ready(far) = said.context("the listener")? else {
        bail!("the listener has figures before it is ready");
    };
    let connecting = Job { end: End::Connect, far: Some(far), ..job.clone() };
    let mut connector = Process::start(&connecting, counting).await?;
    let figures = async {
        tokio::select! {
            said = listener.said() => said.context("the listener"),
            said = connector.said() => said.context("the connector"),
        }
    };
    let within = MEASURED_WITHIN + Duration::from_secs_f64(job.seconds);
    let said = timeout(within, figures).await.context("the measurement does not end")??;
    let Said::Figures(figures) = said else { bail!("a listener is ready twice") };
    connector.end().await?;
    listener.end().await?;
    Ok(figures)
}

/// A process that does its job until it is dropped.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts one, in a tool if its end is to be counted.
    ///
    /// # Errors
    /// When it cannot be started, or does not read its job.
    ///
    /// # Cancellation
    /// Dropping the future kills the process.
    pub(crate) async fn start(job: &Job, counting: Option<&Counting>) -> Result<Self> {
        let counting = counting.filter(|counting| counting.end == job.end);
        let mut command = match job.peer {
            Peer::Twisted => {
                let mut python = Command::new(python()?);
                python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/peers/twisted_amp.py"));
                python
            }
            _ => {
                let mut this = match counting {
                    Some(Counting { tool, file, .. }) => tool.command(file)?,
                    None => Command::new(std::env::current_exe()?),
                };
                this.arg("child");
                this
            }
        };
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| {
            let program = command.as_std().get_program();
            format!("cannot start {}: is it installed?", program.display())
        })?;
        let mut input = child.stdin.take().context("a process without input")?;
        let output = child.stdout.take().context("a process without output")?;
        let mut line = serde_json::to_vec(job)?;
        line.push(b'\n');
        input.write_all(&line).await.context("a process does not read its job")?;
        Ok(Self { child, input, lines: BufReader::new(output).lines() })
    }

    /// The next line that it says.
    ///
    /// # Errors
    /// When it failed, or ended.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub(crate) async fn said(&mut self) -> Result<Said> {
        let Some(line) = self.lines.next_line().await? else {
            bail!("it ended without a word: {}", self.child.wait().await?)
        };
        match serde_json::from_str(&line).with_context(|| format!("it said `{line}`"))? {
            Said::Failed(reason) => bail!("{reason}"),
            said => Ok(said),
        }
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the process has ended")
    }

    /// Lets it end, and waits until it has.
    ///
    /// # Errors
    /// When it does not, in time.
    ///
    /// # Cancellation
    /// Dropping the future kills the process.
    pub(crate) async fn end(self) -> Result<()> {
        let Self { mut child, input, lines: _ } = self;
        drop(input);
        let ended = timeout(ENDED_WITHIN, child.wait()).await;
        ended.context("a process does not end")??;
        Ok(())
    }
}

/// The Python that has Twisted, which `tests/setup` makes.
///
/// # Errors
/// When there is none.
pub(crate) fn python() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."));
    let venv =
        std::env::var_os("AMPMESH_VENV").map_or_else(|| root.join("target/venv"), PathBuf::from);
    let python = venv.join("bin/python");
    anyhow::ensure!(python.exists(), "{} is missing: run bench/setup", python.display());
    Ok(python)
}
