//! Flags and their environment variables, as clap reads them. The texts here are what `--help`
//! shows.

mod discreet;
mod help;
mod keys;
mod operate;
mod process;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub(crate) use self::keys::{InviteArgs, JoinArgs, KeysArgs, KeysCommands, RevokeArgs, RotateArgs};
pub(crate) use self::operate::{CallArgs, DescribeArgs, LsArgs, PingArgs};
pub(crate) use self::process::{ClusterArgs, DevArgs, ProcessArgs, RegionArgs};
use crate::config::LogFormat;

/// A mesh of region and cluster processes that call each other over AMP.
///
/// Region processes are the centre, cluster processes run at the sites. Every region process is
/// connected to every cluster process, and either side calls the other. `ampmesh dev` shows a whole
/// mesh on this machine.
#[derive(Debug, Parser)]
#[command(version, after_help = help::EXIT_CODES, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(subcommand)]
    pub(crate) command: Commands,
}

/// What every subcommand takes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct CommonArgs {
    /// Where processes keep their state and operators find them [default:
    /// $XDG_STATE_HOME/ampmesh or ~/.local/state/ampmesh]
    #[arg(long, global = true, value_name = "DIR", env = "AMPMESH_DATA_DIR")]
    #[arg(hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// A configuration file in TOML; flags and environment variables win over it
    #[arg(long, global = true, value_name = "FILE", env = "AMPMESH_CONFIG")]
    #[arg(hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// What to log to stderr: a level, or a list such as `info,mesh=debug` [default: info for
    /// `region` and `cluster`, warn for the others]
    #[arg(long, global = true, value_name = "FILTER", env = "AMPMESH_LOG")]
    #[arg(hide_env_values = true)]
    pub(crate) log: Option<String>,
    /// How to write log lines [default: text]
    #[arg(long, global = true, value_name = "FORMAT", env = "AMPMESH_LOG_FORMAT", value_enum)]
    #[arg(hide_env_values = true, hide_possible_values = false)]
    pub(crate) log_format: Option<LogFormat>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Commands {
    /// Run a whole mesh on this machine, show it at work, and keep it up to play with
    #[command(after_help = help::DEV, override_usage = "ampmesh dev [OPTIONS]")]
    Dev(DevArgs),
    /// Run one region process
    #[command(after_help = help::REGION, override_usage = "ampmesh region [OPTIONS]")]
    Region(RegionArgs),
    /// Run one cluster process
    #[command(after_help = help::CLUSTER, override_usage = "ampmesh cluster [OPTIONS]")]
    Cluster(ClusterArgs),
    #[command(flatten)]
    Ask(AskCommands),
    /// Write a completion script for a shell to stdout
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// The subcommands that ask running processes.
#[derive(Debug, Subcommand)]
pub(crate) enum AskCommands {
    /// List region processes, clusters and the connections between them
    #[command(after_long_help = help::LS, override_usage = "ampmesh ls [OPTIONS]")]
    Ls(LsArgs),
    /// Show the commands that a live process answers
    #[command(after_long_help = help::DESCRIBE)]
    #[command(override_usage = "ampmesh describe [OPTIONS] [TARGET] [COMMAND]")]
    Describe(DescribeArgs),
    /// Make a call, of any command that the target describes
    #[command(after_long_help = help::CALL)]
    #[command(override_usage = help::CALL_USAGE)]
    Call(CallArgs),
    /// Measure the way to a process and back
    #[command(after_long_help = help::PING)]
    #[command(override_usage = "ampmesh ping [OPTIONS] <TARGET>")]
    Ping(PingArgs),
    /// Invite a cluster: write a token with which it can join once
    #[command(after_long_help = help::INVITE)]
    Invite(InviteArgs),
    /// Have the cluster of this data directory join, with a token and a key of its own
    #[command(after_long_help = help::JOIN)]
    Join(JoinArgs),
    /// List the keys of the mesh, revoke one, or have one followed by the next
    #[command(after_long_help = help::KEYS)]
    Keys(KeysArgs),
}

/// Reads a command line.
///
/// # Errors
/// What is wrong with it, without the tokens that may be in it, or what was asked of it: help, or
/// the version.
pub(crate) fn parse(words: &[OsString]) -> Result<Cli, clap::Error> {
    let withheld = |error| discreet::withhold(error, words);
    let matches = Cli::command().try_get_matches_from(words).map_err(withheld)?;
    if let Some(("dev", own)) = matches.subcommand()
        && own.value_source("data_dir") == Some(ValueSource::CommandLine)
    {
        let text = "`ampmesh dev` keeps everything in a directory of its own: --data-dir is for \
                    the subcommands that ask it\n";
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, text));
    }
    Cli::from_arg_matches(&matches).map_err(withheld)
}

impl AskCommands {
    /// Whether the answer is to be JSON.
    pub(crate) fn in_json(&self) -> bool {
        match self {
            Self::Ls(args) => args.json,
            Self::Describe(args) => args.json,
            Self::Call(args) => args.json,
            Self::Ping(args) => args.json,
            Self::Invite(args) => args.json,
            Self::Join(args) => args.json,
            Self::Keys(args) => args.in_json(),
        }
    }
}

/// Whether a command line that cannot be understood was to be answered in JSON.
pub(crate) fn wants_json(words: &[OsString]) -> bool {
    let matched = Cli::command().ignore_errors(true).try_get_matches_from(words);
    let asks = matched.is_ok_and(|it| {
        let name = it.subcommand_name().unwrap_or_default();
        AskCommands::has_subcommand(name)
    });
    asks && words.iter().any(|word| word == "--json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mesh_of_its_own_takes_no_data_directory() {
        let parsed = |line: &str| {
            parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
                .map_err(|it| it.to_string())
        };
        for line in ["ampmesh dev --data-dir /d", "ampmesh --data-dir /d dev"] {
            assert!(parsed(line).unwrap_err().contains("a directory of its own"), "{line}");
        }
        assert!(parsed("ampmesh dev --regions 1").is_ok());
    }

    #[test]
    fn common_flags_may_stand_after_the_subcommand() {
        let cli = Cli::try_parse_from(["ampmesh", "ls", "--data-dir", "/d"]).unwrap();
        assert_eq!(cli.common.data_dir, Some(PathBuf::from("/d")));
    }

    #[test]
    fn a_mistaken_question_is_answered_in_json_if_it_asks_for_it() {
        let wants =
            |line: &str| wants_json(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(wants("ampmesh call --json"));
        assert!(wants("ampmesh --data-dir /d call any EatCheez --colour --json"));
        assert!(wants("ampmesh ls --colour --json"));
        assert!(!wants("ampmesh call any"));
        assert!(!wants("ampmesh region --colour --json"));
    }
}
