//! The subcommands that run processes.

use std::path::PathBuf;

use clap::Args;
use uuid::Uuid;

use crate::config::{Budget, Ip, Name, Ports, RegionAddress, RegistryText, Threads};

/// `ampmesh dev`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DevArgs {
    /// How many region processes
    #[arg(long, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) regions: u8,
    /// How many cluster processes
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) clusters: u8,
    /// End after the demonstration: with 0 if everything went well, with 1 if not
    #[arg(long)]
    pub(crate) exit: bool,
}

/// `ampmesh region`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RegionArgs {
    /// The name of this process in listings [default: the host name]
    #[arg(long, env = "AMPMESH_NAME", hide_env_values = true)]
    pub(crate) name: Option<Name>,
    /// The address to listen on; `::` listens for IPv4, too [default: ::]
    #[arg(long, value_name = "IP", env = "AMPMESH_LISTEN", hide_env_values = true)]
    pub(crate) listen: Option<Ip>,
    /// The ports to try, in this order: the first free one is taken; 0 is any [default: 5250-5299]
    #[arg(long, value_name = "PORT[-PORT]", env = "AMPMESH_PORTS", hide_env_values = true)]
    pub(crate) ports: Option<Ports>,
    /// The addresses that clusters are told to connect to [default: those of this machine]
    #[arg(long, value_name = "IP", env = "AMPMESH_ADVERTISE", hide_env_values = true)]
    #[arg(value_delimiter = ',')]
    pub(crate) advertise: Vec<Ip>,
    /// The database in which region processes find each other: a file, for those of one machine, or
    /// postgres://USER@HOST/DATABASE, for those of many, without its password [default:
    /// registry.sqlite in the data directory]
    ///
    /// [env: AMPMESH_REGISTRY]
    // The program reads the variables itself: a password is at home in them, and not in a flag.
    #[arg(long, value_name = "FILE|URL", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) registry: Option<RegistryText>,
    /// A file that holds the URL of a PostgreSQL database, readable by you alone
    ///
    /// [env: AMPMESH_REGISTRY_URL_FILE]
    #[arg(long, value_name = "FILE", conflicts_with = "registry")]
    pub(crate) registry_url_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}

/// `ampmesh cluster`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ClusterArgs {
    /// A region process to connect to; it names the others. More than one for safety
    #[arg(long = "region", value_name = "HOST:PORT", env = "AMPMESH_REGION")]
    #[arg(value_delimiter = ',', hide_env_values = true)]
    pub(crate) regions: Vec<RegionAddress>,
    /// The name of this process in listings [default: the host name]
    #[arg(long, env = "AMPMESH_NAME", hide_env_values = true)]
    pub(crate) name: Option<Name>,
    /// The cluster's identity [default: the one it joined with, or cluster-uuid in the data
    /// directory, made on first use]
    #[arg(long, env = "AMPMESH_UUID", hide_env_values = true)]
    pub(crate) uuid: Option<Uuid>,
    #[command(flatten)]
    pub(crate) process: ProcessArgs,
}

/// What `ampmesh region` and `ampmesh cluster` have in common.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ProcessArgs {
    /// The file with the shared secret, in hexadecimal digits, readable by you alone [default:
    /// secret in the data directory]
    #[arg(long, value_name = "FILE", env = "AMPMESH_SECRET_FILE", hide_env_values = true)]
    pub(crate) secret_file: Option<PathBuf>,
    /// Speak plain AMP, with the shared secret: whoever is on the way can read and change it.
    /// Naming a secret file says the same
    #[arg(long, env = "AMPMESH_PLAIN", hide_env_values = true)]
    pub(crate) plain: bool,
    /// A certificate in PEM, and those between it and an authority: plain AMP then goes on in TLS
    /// by StartTLS, before anything else is said, and nothing is said in the clear
    #[arg(long, value_name = "FILE", env = "AMPMESH_START_TLS_CERTIFICATE_FILE")]
    #[arg(hide_env_values = true)]
    pub(crate) start_tls_certificate_file: Option<PathBuf>,
    /// The private key to it, in PEM, readable by you alone
    #[arg(long, value_name = "FILE", env = "AMPMESH_START_TLS_KEY_FILE", hide_env_values = true)]
    pub(crate) start_tls_key_file: Option<PathBuf>,
    /// The certificates of the authorities that are believed, in PEM
    #[arg(long, value_name = "FILE", env = "AMPMESH_START_TLS_AUTHORITIES_FILE")]
    #[arg(hide_env_values = true)]
    pub(crate) start_tls_authorities_file: Option<PathBuf>,
    /// How much memory the process may have, such as 512MiB, or none for as much as it takes
    /// [default: what the operating system allows it]
    ///
    /// Above four fifths of it what peers newly ask is refused, above nine tenths a region process
    /// accepts no more connections.
    #[arg(long, value_name = "BYTES", env = "AMPMESH_MEMORY_BUDGET", hide_env_values = true)]
    pub(crate) memory_budget: Option<Budget>,
    /// How many threads carry the connections, 1 to 255 [default: 1]
    ///
    /// One does most on machines with few processors. More are for a region process with thousands
    /// of busy clusters.
    #[arg(long, value_name = "N", env = "AMPMESH_THREADS", hide_env_values = true)]
    pub(crate) threads: Option<Threads>,
    /// Leave out the demonstration commands (EatCheez and so on)
    #[arg(long, env = "AMPMESH_NO_DEMO", hide_env_values = true)]
    pub(crate) no_demo: bool,
    /// Say in JSON, on one line, when the process is up
    #[arg(long)]
    pub(crate) json: bool,
    /// End when stdin is closed, as on a SIGTERM; for whoever runs this process as a child
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}
