//! The subcommands that are about keys.

use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::config::{Name, Span};

/// `ampmesh invite`.
#[derive(Clone, Debug, Args)]
pub(crate) struct InviteArgs {
    /// How long the token is good: 90s, 30m, 12h
    #[arg(long, value_name = "TIME", default_value = "1h")]
    pub(crate) expires: Span,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `ampmesh join`.
#[derive(Clone, Debug, Args)]
pub(crate) struct JoinArgs {
    /// The token that `ampmesh invite` wrote, or `-` for one on stdin
    pub(crate) token: String,
    /// The name of the cluster in listings of keys [default: the host name]
    #[arg(long, env = "AMPMESH_NAME", hide_env_values = true)]
    pub(crate) name: Option<Name>,
    /// The cluster's identity [default: the one it joined with, or cluster-uuid in the data
    /// directory, made on first use]
    #[arg(long, env = "AMPMESH_UUID", hide_env_values = true)]
    pub(crate) uuid: Option<Uuid>,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `ampmesh keys`.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) command: KeysCommands,
}

/// What can be done about keys.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KeysCommands {
    /// List every key, also those that were revoked
    Ls {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key, and whatever other key its owner has; its connections end at once
    Revoke(RevokeArgs),
    /// Give a process a new key; the old one is good for a while beside it
    Rotate(RotateArgs),
}

/// `ampmesh keys revoke`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The key, the start of it, or the name or uuid of its owner
    pub(crate) key: String,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `ampmesh keys rotate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RotateArgs {
    /// Whose key: a cluster or region process, as for `ampmesh call`
    #[arg(default_value = "region")]
    pub(crate) target: String,
    /// How long the old key of a region process is good; clusters that are away for half of it have
    /// to join again
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub(crate) overlap: Span,
    /// Write JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl KeysArgs {
    pub(crate) fn in_json(&self) -> bool {
        match &self.command {
            KeysCommands::Ls { json } => *json,
            KeysCommands::Revoke(args) => args.json,
            KeysCommands::Rotate(args) => args.json,
        }
    }
}
