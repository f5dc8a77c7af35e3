//! Which processes make the mesh, and how each is started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::cli::DevArgs;
use crate::config::LogFormat;
use crate::ready::Ready;

/// What all the processes have in common.
#[derive(Clone, Debug)]
pub(super) struct Household {
    /// This program.
    pub(super) program: PathBuf,
    /// The scratch directory.
    pub(super) data_dir: PathBuf,
    /// The filter for their log lines.
    pub(super) log: String,
    /// The format of their log lines.
    pub(super) log_format: LogFormat,
}

impl Household {
    /// The file with the secret.
    pub(super) fn secret_file(&self) -> PathBuf {
        self.data_dir.join("secret")
    }

    /// The arguments of `member`.
    pub(super) fn arguments(&self, member: &Member) -> Vec<OsString> {
        let format = match self.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let mut arguments: Vec<OsString> = Vec::new();
        let mut flag = |name: &str, value: &Path| arguments.extend([name.into(), value.into()]);
        flag(member.subcommand(), Path::new("--json"));
        flag("--name", Path::new(member.name()));
        flag("--secret-file", &self.secret_file());
        flag("--log", Path::new(&self.log));
        flag("--log-format", Path::new(format));
        match member {
            Member::Region { port, .. } => {
                flag("--data-dir", &self.data_dir);
                flag("--listen", Path::new("127.0.0.1"));
                flag("--ports", Path::new(&port.to_string()));
            }
            Member::Cluster { name, uuid, region } => {
                flag("--data-dir", &self.data_dir.join("clusters").join(name));
                flag("--uuid", Path::new(&uuid.to_string()));
                flag("--region", Path::new(region));
            }
        }
        arguments.push("--until-stdin-closes".into());
        arguments
    }
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// A region process.
    Region {
        /// Its name.
        name: String,
        /// The port it is to take; 0 for any.
        port: u16,
    },
    /// A cluster process.
    Cluster {
        /// Its name.
        name: String,
        /// Its identity.
        uuid: Uuid,
        /// Where to find one region; it tells of the others.
        region: String,
    },
}

impl Member {
    /// The region processes that were asked for.
    pub(super) fn regions(args: &DevArgs) -> Vec<Self> {
        let region = |number| Self::Region { name: format!("region-{number}"), port: 0 };
        (1..=args.regions).map(region).collect()
    }

    /// The cluster processes that were asked for, each with one of the regions to start from.
    pub(super) fn clusters(args: &DevArgs, regions: &[String]) -> Vec<Self> {
        let cluster = |(number, region): (u8, &String)| Self::Cluster {
            name: format!("cluster-{number}"),
            uuid: Uuid::new_v4(),
            region: region.clone(),
        };
        (1..=args.clusters).zip(regions.iter().cycle()).map(cluster).collect()
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Region { name, .. } | Self::Cluster { name, .. } => name,
        }
    }

    fn subcommand(&self) -> &'static str {
        match self {
            Self::Region { .. } => "region",
            Self::Cluster { .. } => "cluster",
        }
    }

    /// When started again, a region process takes the port that its clusters know.
    pub(super) fn settle(&mut self, ready: &Ready) {
        if let (Self::Region { port, .. }, Ready::Region { address, .. }) = (self, ready) {
            let taken = address.rsplit(':').next().and_then(|text| text.parse().ok());
            *port = taken.unwrap_or(*port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_that_is_started_again_keeps_its_port() {
        let mut region = Member::Region { name: "region-1".to_owned(), port: 0 };
        region.settle(&Ready::Region {
            name: "region-1".to_owned(),
            id: "r".to_owned(),
            address: "127.0.0.1:41234".to_owned(),
            operator_socket: PathBuf::new(),
            threads: 1,
        });
        assert_eq!(region, Member::Region { name: "region-1".to_owned(), port: 41_234 });
    }
}
