//! The configuration file: TOML, every key as the flag of the same name.
//!
//! This folder leans on nothing else of the program, so that what reads a file can be built and
//! tried out without the rest of it.
//!
//! ```toml
//! data-dir = "/var/lib/ampmesh"       # relative paths start at the file's own directory
//! plain = true                        # off unless a secret file is named
//! secret-file = "/etc/ampmesh/secret"
//! start-tls-certificate-file = "/etc/ampmesh/certificate.pem"  # with the other two, or none
//! start-tls-key-file = "/etc/ampmesh/key.pem"
//! start-tls-authorities-file = "/etc/ampmesh/authorities.pem"
//! log = "info"
//! log-format = "json"
//!
//! [region]
//! name = "north"
//! listen = "::"
//! ports = "5250-5299"
//! advertise = ["192.0.2.1"]
//! registry = "/var/lib/ampmesh/registry.sqlite"  # or "postgres://ampmesh@db.example/ampmesh"
//! demo = false
//!
//! [cluster]
//! name = "rack-7"
//! uuid = "5f0d…"
//! regions = ["north.example:5250", "south.example:5250"]
//!
//! [limits]
//! call-timeout = "30s"
//! ```

mod budget;
mod error;
mod limits;
mod registry;
mod threads;
mod values;

use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use amp_proto::dynamic::nearest;
use serde::Deserialize;
use uuid::Uuid;

pub(crate) use self::budget::Budget;
pub(crate) use self::error::FileError;
use self::limits::LimitsTable;
pub(crate) use self::registry::RegistryText;
pub(crate) use self::threads::Threads;
pub(crate) use self::values::{Ip, LogFormat, Name, Ports, RegionAddress, Span};

/// Everything that a configuration file can say.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct File {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) plain: Option<bool>,
    pub(crate) start_tls_certificate_file: Option<PathBuf>,
    pub(crate) start_tls_key_file: Option<PathBuf>,
    pub(crate) start_tls_authorities_file: Option<PathBuf>,
    pub(crate) memory_budget: Option<Budget>,
    pub(crate) threads: Option<Threads>,
    pub(crate) log: Option<String>,
    pub(crate) log_format: Option<LogFormat>,
    pub(crate) region: RegionTable,
    pub(crate) cluster: ClusterTable,
    pub(crate) limits: LimitsTable,
}

/// The table `[region]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct RegionTable {
    pub(crate) name: Option<Name>,
    pub(crate) listen: Option<Ip>,
    pub(crate) ports: Option<Ports>,
    pub(crate) advertise: Option<Vec<Ip>>,
    pub(crate) registry: Option<RegistryText>,
    pub(crate) registry_url_file: Option<PathBuf>,
    pub(crate) connections_max: Option<NonZeroUsize>,
    pub(crate) demo: Option<bool>,
}

/// The table `[cluster]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct ClusterTable {
    pub(crate) name: Option<Name>,
    pub(crate) uuid: Option<Uuid>,
    pub(crate) regions: Option<Vec<RegionAddress>>,
    pub(crate) demo: Option<bool>,
}

impl File {
    /// Reads the file at `path`, or nothing when there is no path.
    ///
    /// # Errors
    /// [`FileError::Unreadable`], [`FileError::Malformed`], [`FileError::PasswordForAll`].
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, FileError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(path)
            .map_err(|error| FileError::Unreadable { path: path.to_owned(), error })?;
        let mut file = Self::parse(path, &text)?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for own in [
            &mut file.data_dir,
            &mut file.secret_file,
            &mut file.start_tls_certificate_file,
            &mut file.start_tls_key_file,
            &mut file.start_tls_authorities_file,
            &mut file.region.registry_url_file,
        ] {
            *own = own.take().map(|relative| folder.join(relative));
        }
        let registry = file.region.registry.take().map(|registry| registry.within(folder));
        if registry.as_ref().is_some_and(RegistryText::has_password) {
            let metadata = std::fs::metadata(path)
                .map_err(|error| FileError::Unreadable { path: path.to_owned(), error })?;
            if metadata.permissions().mode() & 0o077 != 0 {
                return Err(FileError::PasswordForAll { path: path.to_owned() });
            }
        }
        file.region.registry = registry;
        Ok(file)
    }

    /// What stands in `text`, which was read from `path`. Paths in it are as they stand there.
    ///
    /// # Errors
    /// [`FileError::Malformed`].
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        toml::from_str(text).map_err(|error| {
            let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or(text);
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let in_line = before.get(line_start..).unwrap_or_default();
            FileError::Malformed {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: in_line.chars().count() + 1,
                message: without_passwords(explain(error.message())),
            }
        })
    }
}

/// Says what was perhaps meant, where serde says what there is.
fn explain(message: &str) -> String {
    let message = message.trim_end();
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next().filter(|_| message.starts_with("unknown field")) else {
        return message.replace('\n', ": ");
    };
    let known: Vec<&str> = quoted.collect();
    match nearest(unknown, known.iter().copied()) {
        Some(meant) => format!("unknown key `{unknown}`; did you mean `{meant}`?"),
        None => format!("unknown key `{unknown}`; there are: {}", known.join(", ")),
    }
}

/// The URL of a database can stand where it does not belong, and there may be a password in it.
fn without_passwords(message: String) -> String {
    if message.contains("://") || message.contains('@') {
        return "what stands here does not belong here; it is not shown, as there may be a password \
                in it"
            .to_owned();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        File::parse(Path::new("mesh.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_file_is_understood() {
        let file = File::parse(
            Path::new("mesh.toml"),
            "data-dir = '/d'\nsecret-file = '/s'\nlog = 'debug'\nlog-format = 'json'\n\
             [region]\nname = 'north'\nlisten = '::'\nports = 5250\nadvertise = ['192.0.2.1']\n\
             registry = '/r'\ndemo = false\n[cluster]\nname = 'rack-7'\n\
             uuid = '5f0d6a3e-0000-4000-8000-000000000001'\nregions = ['a:1', '[::1]:2']\n\
             [limits]\ncall-timeout = '2s'\nkeys-per-box-max = 19\n",
        )
        .unwrap();
        assert_eq!(file.region.ports, Some("5250".parse().unwrap()));
        assert_eq!(file.cluster.regions.unwrap().len(), 2);
        let limits = file.limits.limits().unwrap();
        assert_eq!(limits.call_timeout, std::time::Duration::from_secs(2));
        assert_eq!(limits.keys_per_box_max, 19);
        assert_eq!(limits.box_bytes_max, amp_proto::Limits::default().box_bytes_max);
    }

    #[test]
    fn a_mistyped_key_is_shown_with_its_place_and_the_right_one() {
        assert_eq!(
            mistake("log = 'info'\n\n[region]\n  lissten = '::'\n"),
            "mesh.toml:4:3: unknown key `lissten`; did you mean `listen`?"
        );
    }

    #[test]
    fn a_key_like_no_other_is_shown_with_all_there_are() {
        assert_eq!(
            mistake("[cluster]\ncolour = 'red'\n"),
            "mesh.toml:2:1: unknown key `colour`; there are: name, uuid, regions, demo"
        );
    }

    #[test]
    fn a_bad_value_is_shown_with_its_place() {
        assert_eq!(
            mistake("[region]\nports = '9-7'\n"),
            "mesh.toml:2:9: the range ends before it begins: write 7-9"
        );
        assert!(mistake("[cluster]\nuuid = 'seven'\n").starts_with("mesh.toml:2:8: "));
        assert!(mistake("log = \n").starts_with("mesh.toml:1:"));
    }

    #[test]
    fn the_url_of_a_database_is_not_shown_wherever_it_stands() {
        for text in [
            "[region]\nports = 'postgres://ada:geheim@db/mesh'\n",
            "[region]\nadvertise = ['postgres:///mesh?password=geheim']\n",
            "[region]\nregistry = ['postgres://ada:geheim@db/mesh']\n",
            "[region]\nregistry = postgres://ada:geheim@db/mesh\n",
            "[region]\n'postgres://ada:geheim@db/mesh' = 1\n",
            "[cluster]\nregions = ['postgres://ada:geheim@db/mesh']\n",
            "[cluster]\nregions = ['postgres:///mesh?password=geheim']\n",
            "log-format = 'ada:geheim@db'\n",
        ] {
            let said = mistake(text);
            assert!(!said.contains("geheim"), "{said}");
        }
    }

    #[test]
    fn a_word_that_is_not_a_choice_is_explained() {
        let text = mistake("log-format = 'xml'\n");
        assert!(text.contains("unknown variant `xml`"), "{text}");
    }
}
