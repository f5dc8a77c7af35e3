//! The layers laid over each other.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use amp_proto::Limits;
use mesh::MemoryBudget;
use uuid::Uuid;

use super::{
    ConfigError, File, LogFormat, Name, Ports, RegionAddress, RegistryPlace, StartTlsFiles,
    Surroundings,
};
use crate::cli::{ClusterArgs, CommonArgs, JoinArgs, ProcessArgs, RegionArgs};

/// What every subcommand needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommonSettings {
    /// `None`: nobody says, and no home is known either.
    data_dir: Option<PathBuf>,
    /// `None`: as the subcommand has it.
    pub(crate) log: Option<String>,
    pub(crate) log_format: LogFormat,
}

/// Where the shared secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretPlace {
    /// Where somebody said. It has to be there.
    Given(PathBuf),
    /// Where it usually is. A region process makes it if it is not there.
    Usual(PathBuf),
}

impl SecretPlace {
    /// `None`: plain AMP is not spoken.
    fn resolve(
        flags: &ProcessArgs,
        file: &File,
        data_dir: &Path,
        start_tls: Option<&StartTlsFiles>,
    ) -> Option<Self> {
        // What goes on in TLS by StartTLS is plain AMP, and needs the secret as well.
        let is_plain = flags.plain || file.plain.unwrap_or(false) || start_tls.is_some();
        match flags.secret_file.as_ref().or(file.secret_file.as_ref()) {
            Some(path) => Some(Self::Given(path.clone())),
            None => is_plain.then(|| Self::Usual(data_dir.join("secret"))),
        }
    }

    /// The file, whoever said so.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Given(path) | Self::Usual(path) => path,
        }
    }
}

/// How to run a region process.
#[derive(Clone, Debug)]
pub(crate) struct RegionSettings {
    pub(crate) data_dir: PathBuf,
    pub(crate) name: Name,
    pub(crate) listen: IpAddr,
    pub(crate) ports: Ports,
    /// Empty: the addresses of this machine.
    pub(crate) advertise: Vec<IpAddr>,
    pub(crate) registry: RegistryPlace,
    /// `None`: known by key alone.
    pub(crate) secret: Option<SecretPlace>,
    /// `None`: plain AMP is spoken in the clear.
    pub(crate) start_tls: Option<StartTlsFiles>,
    pub(crate) demo: bool,
    pub(crate) connections_max: Option<NonZeroUsize>,
    pub(crate) memory_budget: MemoryBudget,
    pub(crate) limits: Limits,
}

/// How to run a cluster process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterSettings {
    pub(crate) data_dir: PathBuf,
    pub(crate) name: Name,
    /// `None`: as it has joined, or as the data directory has it.
    pub(crate) uuid: Option<Uuid>,
    pub(crate) regions: Vec<RegionAddress>,
    /// `None`: known by key alone.
    pub(crate) secret: Option<SecretPlace>,
    /// `None`: plain AMP is spoken in the clear.
    pub(crate) start_tls: Option<StartTlsFiles>,
    pub(crate) demo: bool,
    pub(crate) memory_budget: MemoryBudget,
    pub(crate) limits: Limits,
}

/// As whom a cluster joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinSettings {
    pub(crate) data_dir: PathBuf,
    pub(crate) name: Name,
    /// `None`: as before, or as the data directory has it.
    pub(crate) uuid: Option<Uuid>,
}

impl CommonSettings {
    /// Lays `flags` over `file` over the defaults.
    pub(crate) fn resolve(flags: &CommonArgs, file: &File, surroundings: &Surroundings) -> Self {
        let data_dir = flags.data_dir.as_ref().or(file.data_dir.as_ref()).cloned();
        Self {
            data_dir: data_dir.or_else(|| surroundings.data_dir()),
            log: flags.log.as_ref().or(file.log.as_ref()).cloned(),
            log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
        }
    }

    /// Where processes keep their state and operators find them.
    ///
    /// # Errors
    /// [`ConfigError::NoDataDirectory`].
    pub(crate) fn data_dir(&self) -> Result<&Path, ConfigError> {
        self.data_dir.as_deref().ok_or(ConfigError::NoDataDirectory)
    }
}

impl RegionSettings {
    /// Lays `flags` over `file` over the defaults.
    ///
    /// # Errors
    /// [`ConfigError::NoDataDirectory`], [`ConfigError::StartTlsIncomplete`],
    /// [`ConfigError::File`], and what can be wrong with the registry.
    pub(crate) fn resolve(
        flags: &RegionArgs,
        file: &File,
        surroundings: &Surroundings,
        common: &CommonSettings,
    ) -> Result<Self, ConfigError> {
        let table = &file.region;
        let data_dir = common.data_dir()?;
        let name = flags.name.as_ref().or(table.name.as_ref()).cloned();
        let ports = flags.ports.as_ref().or(table.ports.as_ref()).cloned();
        let listen = flags.listen.or(table.listen);
        let advertise = layered_list(&flags.advertise, table.advertise.as_deref());
        let start_tls = StartTlsFiles::resolve(&flags.process, file)?;
        Ok(Self {
            data_dir: data_dir.to_owned(),
            name: name.unwrap_or_else(|| surroundings.name()),
            listen: listen.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |ip| ip.0),
            ports: ports.unwrap_or_default(),
            advertise: advertise.into_iter().map(|ip| ip.0).collect(),
            registry: RegistryPlace::resolve(flags, file, surroundings, data_dir)?,
            secret: SecretPlace::resolve(&flags.process, file, data_dir, start_tls.as_ref()),
            start_tls,
            demo: !flags.process.no_demo && table.demo.unwrap_or(true),
            connections_max: table.connections_max,
            memory_budget: memory_budget(&flags.process, file),
            limits: file.limits.limits()?,
        })
    }
}

impl ClusterSettings {
    /// Lays `flags` over `file` over the defaults.
    ///
    /// # Errors
    /// [`ConfigError::NoDataDirectory`], [`ConfigError::StartTlsIncomplete`],
    /// [`ConfigError::File`]; [`ConfigError::NoRegion`] of one that speaks plain AMP.
    pub(crate) fn resolve(
        flags: &ClusterArgs,
        file: &File,
        surroundings: &Surroundings,
        common: &CommonSettings,
    ) -> Result<Self, ConfigError> {
        let table = &file.cluster;
        let data_dir = common.data_dir()?;
        let name = flags.name.as_ref().or(table.name.as_ref()).cloned();
        let regions = layered_list(&flags.regions, table.regions.as_deref());
        let start_tls = StartTlsFiles::resolve(&flags.process, file)?;
        let secret = SecretPlace::resolve(&flags.process, file, data_dir, start_tls.as_ref());
        // A cluster that has joined knows where regions are.
        if regions.is_empty() && secret.is_some() {
            return Err(ConfigError::NoRegion);
        }
        Ok(Self {
            data_dir: data_dir.to_owned(),
            name: name.unwrap_or_else(|| surroundings.name()),
            uuid: flags.uuid.or(table.uuid),
            regions,
            secret,
            start_tls,
            demo: !flags.process.no_demo && table.demo.unwrap_or(true),
            memory_budget: memory_budget(&flags.process, file),
            limits: file.limits.limits()?,
        })
    }
}

impl JoinSettings {
    /// Lays `flags` over `file` over the defaults, as [`ClusterSettings::resolve`] does: who joins
    /// is who runs.
    ///
    /// # Errors
    /// [`ConfigError::NoDataDirectory`].
    pub(crate) fn resolve(
        flags: &JoinArgs,
        file: &File,
        surroundings: &Surroundings,
        common: &CommonSettings,
    ) -> Result<Self, ConfigError> {
        let table = &file.cluster;
        let name = flags.name.as_ref().or(table.name.as_ref()).cloned();
        Ok(Self {
            data_dir: common.data_dir()?.to_owned(),
            name: name.unwrap_or_else(|| surroundings.name()),
            uuid: flags.uuid.or(table.uuid),
        })
    }
}

/// By itself, what the operating system allows.
fn memory_budget(flags: &ProcessArgs, file: &File) -> MemoryBudget {
    flags.memory_budget.or(file.memory_budget).map(|budget| budget.0).unwrap_or_default()
}

/// A list is replaced as a whole, not lengthened.
fn layered_list<T: Clone>(flags: &[T], file: Option<&[T]>) -> Vec<T> {
    if flags.is_empty() { file.unwrap_or_default().to_vec() } else { flags.to_vec() }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Commands};
    use crate::config::RegistryVariables;

    fn surroundings() -> Surroundings {
        Surroundings {
            state_home: None,
            home: Some("/home/ada".into()),
            hostname: "tower".to_owned(),
            registry: RegistryVariables::default(),
        }
    }

    fn region(arguments: &[&str], file: &str) -> RegionSettings {
        resolved(arguments, RegistryVariables::default(), file).unwrap()
    }

    fn resolved(
        arguments: &[&str],
        registry: RegistryVariables,
        file: &str,
    ) -> Result<RegionSettings, ConfigError> {
        let line = ["ampmesh", "region"].iter().chain(arguments);
        let cli = Cli::try_parse_from(line).unwrap();
        let Commands::Region(flags) = cli.command else { panic!("not a region") };
        let file: File = toml::from_str(file).unwrap();
        let surroundings = Surroundings { registry, ..surroundings() };
        let common = CommonSettings::resolve(&cli.common, &file, &surroundings);
        RegionSettings::resolve(&flags, &file, &surroundings, &common)
    }

    fn file_of(registry: &RegistryPlace) -> Option<&Path> {
        match registry {
            RegistryPlace::Sqlite(path) => Some(path),
            RegistryPlace::Postgres(_) => None,
        }
    }

    #[test]
    fn without_any_word_the_defaults_hold() {
        let settings = region(&[], "");
        assert_eq!(settings.name.as_str(), "tower");
        assert_eq!(settings.listen, Ipv6Addr::UNSPECIFIED);
        assert_eq!(settings.ports, Ports(5250..=5299));
        assert_eq!(
            file_of(&settings.registry),
            Some(Path::new("/home/ada/.local/state/ampmesh/registry.sqlite"))
        );
        assert_eq!(settings.secret, None, "no plain AMP");
        assert_eq!(
            region(&["--plain"], "").secret,
            Some(SecretPlace::Usual("/home/ada/.local/state/ampmesh/secret".into()))
        );
        assert!(settings.demo);
    }

    #[test]
    fn the_file_wins_over_the_defaults_and_flags_win_over_the_file() {
        let file = "data-dir = '/d'\nsecret-file = '/s'\n\
                    [region]\nname = 'north'\nports = '7-9'\nadvertise = ['::1', '::2']\n\
                    demo = false\n";
        let settings = region(&["--ports", "5250", "--advertise", "192.0.2.1"], file);
        assert_eq!(settings.name.as_str(), "north");
        assert_eq!(settings.ports, Ports(5250..=5250));
        assert_eq!(settings.advertise, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(file_of(&settings.registry), Some(Path::new("/d/registry.sqlite")));
        assert_eq!(settings.secret, Some(SecretPlace::Given("/s".into())));
        assert!(!settings.demo);
    }

    #[test]
    fn the_memory_budget_is_what_the_system_allows_unless_somebody_says() {
        let file = "memory-budget = '1GiB'";
        assert_eq!(region(&[], "").memory_budget, MemoryBudget::Allowed);
        assert_eq!(region(&[], file).memory_budget, MemoryBudget::Bytes(1 << 30));
        let flagged = region(&["--memory-budget", "none"], file);
        assert_eq!(flagged.memory_budget, MemoryBudget::Unlimited);
    }

    #[test]
    fn a_certificate_for_start_tls_asks_for_the_secret_as_plain_amp_does() {
        let file = "data-dir = '/d'\nstart-tls-certificate-file = '/c'\n\
                    start-tls-key-file = '/k'\nstart-tls-authorities-file = '/a'\n";
        let settings = region(&[], file);
        assert!(settings.start_tls.is_some());
        assert_eq!(settings.secret, Some(SecretPlace::Usual("/d/secret".into())));
    }

    #[test]
    fn the_registry_is_what_the_nearest_says() {
        let file = "[region]\nregistry = 'postgres://of-file/mesh'\n";
        let said = RegistryVariables {
            place: Some("postgres://ada:geheim@of-environment/mesh".parse().unwrap()),
            ..RegistryVariables::default()
        };
        let shown = |flags: &[&str], said: &RegistryVariables| {
            let settings = resolved(flags, said.clone(), file).unwrap();
            format!("{:?} {said:?}", settings.registry)
        };
        let nobody = RegistryVariables::default();
        assert!(shown(&[], &nobody).contains("of-file:5432"));
        assert!(shown(&[], &said).contains("of-environment:5432"));
        assert!(shown(&["--registry", "postgres://of-flag/mesh"], &said).contains("of-flag:5432"));
        assert!(shown(&["--registry", "/r"], &said).contains("Sqlite(\"/r\")"));
        assert!(!shown(&[], &said).contains("geheim"), "{}", shown(&[], &said));
    }

    #[test]
    fn a_registry_that_cannot_be_is_told_with_its_place_and_without_its_password() {
        let two = RegistryVariables {
            place: Some("/r".parse().unwrap()),
            url_file: Some("/u".into()),
            ..RegistryVariables::default()
        };
        let bad = RegistryVariables {
            place: Some("postgres://ada:geheim@a".parse().unwrap()),
            ..RegistryVariables::default()
        };
        let cases: [(&[&str], RegistryVariables, &str); 5] = [
            (
                &["--registry", "postgres://ada:geheim@a/mesh"],
                RegistryVariables::default(),
                "a password in a flag",
            ),
            (&[], two, "AMPMESH_REGISTRY: name a registry, or a file with its URL, and not both"),
            (&[], bad, "AMPMESH_REGISTRY: the URL names no database"),
            (
                &["--registry-url-file", "postgres://ada:geheim@a/mesh"],
                RegistryVariables::default(),
                "the file with the registry's URL: this is a URL; write it into a file",
            ),
            (
                &["--registry-url-file", "/nowhere/url"],
                RegistryVariables::default(),
                "the file with the registry's URL: cannot read /nowhere/url",
            ),
        ];
        for (flags, said, expected) in cases {
            let error = anyhow::Error::new(resolved(flags, said, "").unwrap_err());
            let text = format!("{error:#} {error:?}");
            assert!(text.contains(expected) && !text.contains("geheim"), "{text}");
        }
    }

    #[test]
    fn a_state_home_wins_over_the_home() {
        let state = Surroundings { state_home: Some("/state".into()), ..surroundings() };
        assert_eq!(state.data_dir(), Some("/state/ampmesh".into()));
        assert_eq!(Surroundings::default().data_dir(), None);
    }

    #[test]
    fn a_cluster_without_a_region_is_told_what_to_give() {
        let common =
            CommonSettings::resolve(&CommonArgs::default(), &File::default(), &surroundings());
        let mut flags = ClusterArgs::default();
        flags.process.plain = true;
        let resolved = ClusterSettings::resolve(&flags, &File::default(), &surroundings(), &common);
        assert!(matches!(resolved, Err(ConfigError::NoRegion)));
    }
}
