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

/// The end that runs in callgrind, and the file that this writes.
#[derive(Debug)]
pub(crate) struct Counting {
    pub(crate) end: End,
    pub(crate) file: PathBuf,
}

/// As [`measure`], with one end in callgrind.
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
    /// Starts one, in callgrind if its end is to be counted.
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
                    Some(Counting { file, .. }) => callgrind(file)?,
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

/// This program, in callgrind.
fn callgrind(file: &Path) -> Result<Command> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--quiet"]);
    valgrind.arg(format!("--callgrind-out-file={}", file.display()));
    valgrind.arg(std::env::current_exe()?);
    Ok(valgrind)
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
