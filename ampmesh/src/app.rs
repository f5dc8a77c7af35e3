//! From a command line to an exit code.

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
pub(crate) enum Ended {
    /// Its work was done, or could not be.
    InOrder(u8),
    /// It was told to end at once.
    AtOnce(u8),
}

/// Does what the command line says. Failures are written to `terminal.err`.
///
/// # Cancellation
/// Whatever runs is dropped.
pub(crate) async fn run(cli: Cli, terminal: &mut Terminal<'_>) -> Ended {
    let in_json = matches!(&cli.command, Commands::Ask(question) if question.in_json());
    match Box::pin(dispatch(cli, terminal)).await {
        Ok(ended) => ended,
        Err(error) if is_broken_pipe(&error) => Ended::InOrder(Exit::Ok.code()),
        Err(error) => {
            // With nowhere to write to, the exit code has to do.
            let exit = Exit::of(&error);
            let _written = writeln!(terminal.err, "ampmesh: {error:#}");
            if in_json {
                let _written = failure::write(exit, &format!("{error:#}"), terminal);
            }
            Ended::InOrder(exit.code())
        }
    }
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

    fn log_filter(&self, usual: &str) -> String {
        self.common.log.clone().unwrap_or_else(|| usual.to_owned())
    }

    fn start_logging(&self, usual: &str, terminal: &Terminal<'_>) -> Result<(), logging::LogError> {
        let coloured = terminal.err_style.is_decorated();
        logging::start(&self.log_filter(usual), self.common.log_format, coloured)
    }
}

async fn dispatch(cli: Cli, terminal: &mut Terminal<'_>) -> anyhow::Result<Ended> {
    let context = Context::read(&cli.common)?;
    let Context { file, surroundings, common } = &context;
    match cli.command {
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
            in_order(ask(question, &context, terminal).await?)
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
