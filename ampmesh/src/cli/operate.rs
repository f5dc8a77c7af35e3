//! The subcommands that ask running processes.

use clap::Args;

use crate::config::Span;

/// `ampmesh ls`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LsArgs {
    /// List every connection, too
    #[arg(long, short)]
    pub(crate) connections: bool,
    /// List every connection with what both ends agreed on, who proved what, and what is under way
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `ampmesh describe`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DescribeArgs {
    /// Whom to describe, as for `ampmesh call`; without it, a region process and a cluster
    pub(crate) target: Option<String>,
    /// Show this command in full
    pub(crate) command: Option<String>,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `ampmesh call`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CallArgs {
    /// Whom to ask: a cluster's uuid, the start of it, or its name; `any` cluster; `all` clusters;
    /// `region`, or a region process's name
    pub(crate) target: String,
    /// The command's name
    pub(crate) command: String,
    /// The arguments: a JSON object, `-` for one on stdin, or key=value …
    #[arg(value_name = "JSON | - | KEY=VALUE")]
    pub(crate) arguments: Vec<String>,
    /// How long to wait for the answer: 500ms, 5s, 2m
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) timeout: Span,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `ampmesh ping`.
#[derive(Clone, Debug, Args)]
pub(crate) struct PingArgs {
    /// Whom to ping, as for `ampmesh call`
    pub(crate) target: String,
    /// How many times
    #[arg(long, short, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// The pause between two pings
    #[arg(long, short, value_name = "TIME", default_value = "200ms")]
    pub(crate) interval: Span,
    /// How long to wait for each answer
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(crate) timeout: Span,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}
