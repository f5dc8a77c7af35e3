//! From a command line to an exit code.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::cli::{AskCommands, Cli, Commands, CommonArgs};
use crate::commands;
use crate::config::{
    ClusterSettings, CommonSettings, ConfigError, File, JoinSettings, RegionSettings, Surroundings,
};
use crate::exit::{Exit, is_broken_pipe};
use crate::failure;
use crate::logging;
use crate::shutdown::Endings;
use crate::terminal::Terminal;

/// How the program ended, with its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Its work was done, or could not be.
    InOrder(u8),
    /// It was told to end at once.
    AtOnce(u8),
}

/// Does what the command line says, and gives the exit code. Failures are written to
/// `terminal.err`.
pub(crate) fn run(cli: Cli, terminal: &mut Terminal<'_>) -> u8 {
    let in_json = matches!(&cli.command, Commands::Ask(question) if question.in_json());
    match begin(cli, terminal) {
        Ok(Ended::InOrder(code) | Ended::AtOnce(code)) => code,
        Err(error) if is_broken_pipe(&error) => Exit::Ok.code(),
        Err(error) => {
            // With nowhere to write to, the exit code has to do.
            let exit = Exit::of(&error);
            let _written = writeln!(terminal.err, "ampmesh: {error:#}");
            if in_json {
                let _written = failure::write(exit, &format!("{error:#}"), terminal);
            }
            exit.code()
        }
    }
}

fn begin(cli: Cli, terminal: &mut Terminal<'_>) -> anyhow::Result<Ended> {
    let context = Context::read(&cli.common)?;
    let runtime = runtime(context.threads(&cli.command)).context("cannot start a runtime")?;
    let ended = runtime.block_on(Box::pin(dispatch(cli.command, &context, terminal)));
    match ended {
        // Child processes are killed as their tasks are dropped.
        Ok(Ended::AtOnce(_)) => runtime.shutdown_timeout(Duration::from_millis(200)),
        // A thread may still wait for stdin, and is not waited for.
        Ok(Ended::InOrder(_)) | Err(_) => runtime.shutdown_background(),
    }
    ended
}

/// What runs everything but what blocks, on so many threads.
fn runtime(threads: NonZeroUsize) -> io::Result<Runtime> {
    let mut builder = if threads == NonZeroUsize::MIN {
        Builder::new_current_thread()
    } else {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads.get());
        builder
    };
    builder.enable_all().build()
}

/// What was read before anything is done.
struct Context {
    file: File,
    surroundings: Surroundings,
    common: CommonSettings,
}

impl Context {
    fn read(flags: &CommonArgs) -> Result<Self, ConfigError> {
        let file = File::read(flags.config.as_deref())?;
        let surroundings = Surroundings::of_this_process();
        let common = CommonSettings::resolve(flags, &file, &surroundings);
        Ok(Self { file, surroundings, common })
    }

    /// How many threads this command is to have.
    fn threads(&self, command: &Commands) -> NonZeroUsize {
        let flags = match command {
            Commands::Region(flags) => &flags.process,
            Commands::Cluster(flags) => &flags.process,
            Commands::Dev(_) | Commands::Ask(_) | Commands::Completions { .. } => {
                return NonZeroUsize::MIN;
            }
        };
        let threads = flags.threads.or(self.file.threads);
        threads.map_or(NonZeroUsize::MIN, |threads| threads.0.into())
    }

    fn log_filter(&self, usual: &str) -> String {
        self.common.log.clone().unwrap_or_else(|| usual.to_owned())
    }

    fn start_logging(&self, usual: &str, terminal: &Terminal<'_>) -> Result<(), logging::LogError> {
        let coloured = terminal.err_style.is_decorated();
        logging::start(&self.log_filter(usual), self.common.log_format, coloured)
    }
}

async fn dispatch(
    command: Commands,
    context: &Context,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Ended> {
    let Context { file, surroundings, common } = context;
    match command {
        Commands::Region(flags) => {
            context.start_logging("info", terminal)?;
            let settings = RegionSettings::resolve(&flags, file, surroundings, common)?;
            let json = flags.process.json;
            let drain = CancellationToken::new();
            let work = commands::region::run(settings, json, terminal, &drain);
            until_ended(flags.process.until_stdin_closes, &drain, work).await
        }
        Commands::Cluster(flags) => {
            context.start_logging("info", terminal)?;
            let settings = ClusterSettings::resolve(&flags, file, surroundings, common)?;
            let json = flags.process.json;
            let drain = CancellationToken::new();
            let work = commands::cluster::run(settings, json, terminal, &drain);
            until_ended(flags.process.until_stdin_closes, &drain, work).await
        }
        Commands::Dev(flags) => {
            context.start_logging("warn", terminal)?;
            let (log, format) = (context.log_filter("warn"), common.log_format);
            let drain = CancellationToken::new();
            let work = commands::dev::run(&flags, log, format, terminal, &drain);
            until_ended(false, &drain, work).await
        }
        Commands::Ask(question) => {
            context.start_logging("warn", terminal)?;
            in_order(ask(question, context, terminal).await?)
        }
        Commands::Completions { shell } => in_order(commands::completions::run(shell, terminal)?),
    }
}

async fn ask(
    question: AskCommands,
    context: &Context,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Exit> {
    let Context { file, surroundings, common } = context;
    let data_dir = common.data_dir()?;
    match question {
        AskCommands::Ls(args) => commands::ls::run(&args, data_dir, terminal).await,
        AskCommands::Describe(args) => commands::describe::run(&args, data_dir, terminal).await,
        AskCommands::Call(args) => commands::call::run(&args, data_dir, terminal).await,
        AskCommands::Invite(args) => commands::invite::run(&args, data_dir, terminal).await,
        AskCommands::Join(args) => {
            let settings = JoinSettings::resolve(&args, file, surroundings, common)?;
            commands::join::run(&args, settings, terminal).await
        }
        AskCommands::Keys(args) => commands::keys::run(&args, data_dir, terminal).await,
        AskCommands::Ping(args) => commands::ping::run(&args, data_dir, terminal).await,
    }
}

fn in_order(exit: Exit) -> anyhow::Result<Ended> {
    Ok(Ended::InOrder(exit.code()))
}

/// Does `work`, which ends soon after `drain` is cancelled, or is dropped.
async fn until_ended(
    until_stdin_closes: bool,
    drain: &CancellationToken,
    work: impl Future<Output = anyhow::Result<Exit>>,
) -> anyhow::Result<Ended> {
    let mut endings = Endings::watch(until_stdin_closes)?;
    tokio::select! {
        code = endings.run(drain) => Ok(Ended::AtOnce(code)),
        done = work => in_order(done?),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// How many threads there are for this command line and file, of settings and of the runtime.
    fn threads(words: &[&str], file: &str) -> (usize, usize) {
        let cli = Cli::try_parse_from(["ampmesh"].iter().chain(words)).unwrap();
        let (file, surroundings) = (toml::from_str(file).unwrap(), Surroundings::of_this_process());
        let common = CommonSettings::resolve(&cli.common, &file, &surroundings);
        let threads = Context { file, surroundings, common }.threads(&cli.command);
        (threads.get(), runtime(threads).unwrap().metrics().num_workers())
    }

    #[test]
    fn a_process_has_one_thread_unless_somebody_says() {
        let file = "threads = 3";
        assert_eq!(threads(&["region"], ""), (1, 1));
        assert_eq!(threads(&["region"], file), (3, 3));
        assert_eq!(threads(&["cluster", "--threads", "2"], file), (2, 2));
        assert_eq!(threads(&["ls"], file), (1, 1));
    }

    #[test]
    fn no_threads_and_too_many_are_refused_with_how_many_there_may_be() {
        for words in [["region", "--threads", "0"], ["cluster", "--threads", "256"]] {
            let error = Cli::try_parse_from(["ampmesh"].iter().chain(&words)).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("'--threads <N>': expected a whole number from 1 to 255"),
                "{error}"
            );
        }
    }
}
