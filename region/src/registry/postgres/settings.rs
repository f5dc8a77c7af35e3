//! Where the database is, and who asks for it.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::password::{PasswordFile, Wanted};
use super::tls::{self, RootsError, Tls};

/// How long a connection to one server may take, from the first packet to the first question.
/// Fixed: with the wait between two attempts, less than it takes an entry to expire.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest URL that is read from a file. Fixed: no URL is as long.
const URL_BYTES_MAX: u64 = 8 * 1024;
/// How many servers one URL may name. Fixed: a primary and its standbys.
const HOSTS_MAX: usize = 8;

/// Where the database is, who asks, and how the connection is protected.
///
/// Made of a URL: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full`. Several hosts
/// may be given, with commas: the one that can be written to is used. A UNIX socket is given by its
/// directory: `postgres:///DATABASE?host=/run/postgresql`, or among others as
/// `postgres://a,%2Frun%2Fpostgresql/DATABASE`.
///
/// `sslmode` is `disable`, which is the default, or `verify-full`. `require` does the same as
/// `verify-full`: an encrypted connection to who knows whom would be no protection. The certificate
/// has to come from one of the authorities of `sslrootcert`, a file in PEM, or `system`, which is
/// the default.
///
/// Nothing here shows the password: neither `Debug` nor an error.
#[derive(Clone)]
pub struct PostgresSettings {
    /// One for each server.
    servers: Vec<Config>,
    database: String,
    password_file: Option<PathBuf>,
    tls: Option<Tls>,
}

/// What was said of the database cannot be used. The fault is in the settings. None of these shows
/// the URL, for there is a password in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresSettingsError {
    /// It is no URL of a PostgreSQL database.
    #[error(
        "this is not the URL of a PostgreSQL database: write postgres://USER@HOST/DATABASE, with \
         % and two hexadecimal digits for each special character of a password"
    )]
    NotAUrl,
    /// It has a parameter that has no meaning here, or a value that a parameter cannot have.
    #[error(
        "the URL has a parameter that means nothing here; there are: host, port, user, dbname, \
         password, sslmode, sslrootcert, passfile, options, application_name"
    )]
    Parameter,
    /// It does not say which server, or names too many.
    #[error("the URL has to name 1 to {HOSTS_MAX} servers; a UNIX socket as ?host=/run/postgresql")]
    Hosts,
    /// It names no database.
    #[error("the URL names no database: write it after the host, as in postgres://HOST/DATABASE")]
    NoDatabase,
    /// `sslmode` is one that promises less than it seems to.
    #[error(
        "`sslmode` has to be `verify-full` or `disable`: the others protect from nobody who can \
         get between"
    )]
    SslMode,
    /// TLS is asked for on a UNIX socket, where there is none.
    #[error("a UNIX socket has no TLS: leave `sslmode` out")]
    TlsOnSocket,
    /// There is nobody to vouch for the server.
    #[error("the authorities of `sslrootcert` cannot be read")]
    Roots(#[from] RootsError),
    /// The file with the URL, or with the passwords, cannot be read.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        error: std::io::Error,
    },
    /// Others could read a password.
    #[error("{} can be read by other users; `chmod 600` it", .path.display())]
    NotPrivate {
        /// The file.
        path: PathBuf,
    },
}

impl PostgresSettings {
    /// Whether a text means a PostgreSQL database, and not, say, a file.
    #[must_use]
    pub fn is_url(text: &str) -> bool {
        ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
    }

    /// Reads the URL from a file that nobody else can read.
    ///
    /// # Errors
    /// [`PostgresSettingsError`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, PostgresSettingsError> {
        let text = read_private(path.as_ref(), URL_BYTES_MAX)?;
        text.trim().parse()
    }

    /// Looks for the password in a file, if the URL has none. The form is that of PostgreSQL's own
    /// `.pgpass`: lines of `host:port:database:user:password`, `*` for any. The file is read anew
    /// for each connection, so a password can be changed without a restart. One that does not exist
    /// is as good as an empty one.
    #[must_use]
    pub fn password_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.password_file.get_or_insert_with(|| path.into());
        self
    }

    /// Whether the URL has a password in it.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.servers.iter().any(|server| server.get_password().is_some())
    }

    /// Where the servers are, for people.
    pub(super) fn places(&self) -> String {
        let place = |server: &Config| format!("{}:{}", host_of(server), port_of(server));
        self.servers.iter().map(place).collect::<Vec<_>>().join(", ")
    }

    /// What to connect to, the first choice first, each with the password if there is one.
    pub(super) fn servers(&self) -> Result<Vec<Server>, PostgresSettingsError> {
        let passwords = match &self.password_file {
            Some(path) if !self.has_password() => PasswordFile::read(path)?,
            _ => PasswordFile::default(),
        };
        let server = |config: &Config| {
            let (host, port) = (host_of(config), port_of(config));
            let mut config = config.clone();
            let user = config.get_user().unwrap_or_default().to_owned();
            let wanted = Wanted { host: &host, port, database: &self.database, user: &user };
            if let Some(password) = passwords.find(&wanted) {
                config.password(password);
            }
            Server { config, place: format!("{host}:{port}/{}", self.database) }
        };
        Ok(self.servers.iter().map(server).collect())
    }

    /// How connections are encrypted, if they are.
    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

/// One server of those that a URL names.
pub(super) struct Server {
    pub(super) config: Config,
    /// For people.
    pub(super) place: String,
}

impl FromStr for PostgresSettings {
    type Err = PostgresSettingsError;

    fn from_str(url: &str) -> Result<Self, PostgresSettingsError> {
        if !Self::is_url(url) {
            return Err(PostgresSettingsError::NotAUrl);
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let Parameters { left, ssl_mode, roots, password_file } = Parameters::split(query)?;
        let config: Config = format!("{place}?{left}").parse().map_err(|_| {
            // The parser's own words would tell parts of the URL.
            let is_of_parameters = Config::from_str(place).is_ok();
            if is_of_parameters {
                PostgresSettingsError::Parameter
            } else {
                PostgresSettingsError::NotAUrl
            }
        })?;
        let database = config.get_dbname().ok_or(PostgresSettingsError::NoDatabase)?.to_owned();
        let wants_tls = match ssl_mode.as_deref() {
            None | Some("disable") => false,
            Some("require" | "verify-full") => true,
            Some(_) => return Err(PostgresSettingsError::SslMode),
        };
        let servers = one_by_one(&config, wants_tls)?;
        let is_socket = |server: &Config| matches!(server.get_hosts(), [Host::Unix(_)]);
        if wants_tls && servers.iter().any(is_socket) {
            return Err(PostgresSettingsError::TlsOnSocket);
        }
        let tls = if wants_tls { Some(tls::trusting(roots.as_deref())?) } else { None };
        Ok(Self { servers, database, password_file, tls })
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSettings")
            .field("servers", &self.places())
            .field("database", &self.database)
            .field("password_file", &self.password_file)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// The parameters of a URL: ours, and those that are left for the parser.
#[derive(Default)]
struct Parameters {
    left: String,
    ssl_mode: Option<String>,
    roots: Option<PathBuf>,
    password_file: Option<PathBuf>,
}

impl Parameters {
    fn split(query: &str) -> Result<Self, PostgresSettingsError> {
        const LEFT: [&str; 7] =
            ["host", "port", "user", "dbname", "password", "options", "application_name"];
        let mut parameters = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(PostgresSettingsError::Parameter)?;
            match key {
                "sslmode" => parameters.ssl_mode = Some(value.to_owned()),
                "sslrootcert" => parameters.roots = Some(decoded(value)?.into()),
                "passfile" => parameters.password_file = Some(decoded(value)?.into()),
                key if LEFT.contains(&key) => {
                    parameters.left.push_str(pair);
                    parameters.left.push('&');
                }
                _ => return Err(PostgresSettingsError::Parameter),
            }
        }
        parameters.left.truncate(parameters.left.trim_end_matches('&').len());
        Ok(parameters)
    }
}

/// A value with its `%2F` and the like written out.
fn decoded(value: &str) -> Result<String, PostgresSettingsError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        bytes.push(match byte {
            b'%' => {
                let both = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                let both = both.and_then(|both| u8::try_from(both).ok());
                both.ok_or(PostgresSettingsError::Parameter)?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| PostgresSettingsError::Parameter)
}

/// A configuration for each of the hosts: one that hangs must not use up the time of the others.
fn one_by_one(config: &Config, wants_tls: bool) -> Result<Vec<Config>, PostgresSettingsError> {
    let (hosts, ports) = (config.get_hosts(), config.get_ports());
    let fits = ports.len() <= 1 || ports.len() == hosts.len();
    // The parser takes `?host=a,b` for one name.
    let is_list = |host: &Host| matches!(host, Host::Tcp(name) if name.contains(','));
    let fits = fits && !hosts.iter().any(is_list);
    if hosts.is_empty() || hosts.len() > HOSTS_MAX || !fits {
        return Err(PostgresSettingsError::Hosts);
    }
    let server = |(index, host): (usize, &Host)| {
        let mut server = Config::new();
        match host {
            Host::Tcp(name) => server.host(name),
            Host::Unix(path) => server.host_path(path),
        };
        if let Some(port) = ports.get(index).or_else(|| ports.first()) {
            server.port(*port);
        }
        if let Some(user) = config.get_user() {
            server.user(user);
        }
        if let Some(password) = config.get_password() {
            server.password(password);
        }
        if let Some(database) = config.get_dbname() {
            server.dbname(database);
        }
        if let Some(options) = config.get_options() {
            server.options(options);
        }
        server.application_name(config.get_application_name().unwrap_or("ampmesh"));
        server.ssl_mode(if wants_tls { SslMode::Require } else { SslMode::Disable });
        // A standby cannot be written to.
        server.target_session_attrs(TargetSessionAttrs::ReadWrite);
        server.connect_timeout(CONNECT_TIMEOUT);
        server.tcp_user_timeout(CONNECT_TIMEOUT);
        server.keepalives_idle(CONNECT_TIMEOUT);
        server
    };
    Ok(hosts.iter().enumerate().map(server).collect())
}

fn host_of(server: &Config) -> String {
    match server.get_hosts().first() {
        Some(Host::Tcp(name)) if name.contains(':') => format!("[{name}]"),
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    }
}

fn port_of(server: &Config) -> u16 {
    server.get_ports().first().copied().unwrap_or(5432)
}

/// Reads a file that only its owner can read.
pub(super) fn read_private(path: &Path, bytes_max: u64) -> Result<String, PostgresSettingsError> {
    let unreadable = |error| PostgresSettingsError::Unreadable { path: path.to_owned(), error };
    let file = mesh::open_regular(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(PostgresSettingsError::NotPrivate { path: path.to_owned() });
    }
    let mut text = String::new();
    file.take(bytes_max).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn parsed(url: &str) -> Result<PostgresSettings, PostgresSettingsError> {
        url.parse()
    }

    #[test]
    fn a_url_names_servers_user_and_database() {
        let settings = parsed("postgres://ada:pw%2F1@a,b:6432/mesh?application_name=x").unwrap();
        let servers = settings.servers().unwrap();
        let places: Vec<_> = servers.iter().map(|server| server.place.as_str()).collect();
        assert_eq!(places, ["a:5432/mesh", "b:6432/mesh"]);
        for Server { config, .. } in &servers {
            assert_eq!(config.get_password(), Some(&b"pw/1"[..]));
            assert_eq!(config.get_user(), Some("ada"));
            assert_eq!(config.get_hosts().len(), 1);
            assert_eq!(config.get_ssl_mode(), SslMode::Disable);
        }
        let socket = parsed("postgresql:///mesh?host=/run/postgresql&user=ada").unwrap();
        let [server] = &socket.servers().unwrap()[..] else { panic!("one socket") };
        assert_eq!(server.place, "/run/postgresql:5432/mesh");
    }

    #[test]
    fn mistakes_are_told_and_passwords_are_not() {
        let cases = [
            ("mysql://ada:geheim@a/mesh", "postgres://USER@HOST/DATABASE"),
            ("postgres://ada:geheim@a:port/mesh", "postgres://USER@HOST/DATABASE"),
            ("postgres://ada:geheim@a", "names no database"),
            ("postgres:///mesh?password=geheim", "1 to 8 servers"),
            ("postgres://ada:geheim@a,b/mesh?port=1,2,3", "1 to 8 servers"),
            ("postgres:///mesh?host=a,b", "1 to 8 servers"),
            ("postgres://ada:ge?heim@a/mesh", "means nothing here"),
            ("postgres://ada:x@a/mesh?geheim=1", "means nothing here"),
            ("postgres://ada:geheim@a/mesh?sslmode=prefer", "`verify-full` or `disable`"),
            ("postgres://ada:geheim@a/mesh?sslrootcert=%zz", "means nothing here"),
            ("postgres:///mesh?host=/run&sslmode=verify-full", "a UNIX socket has no TLS"),
            (
                "postgres://ada:geheim@a/mesh?sslmode=require&sslrootcert=/nowhere",
                "`sslrootcert` cannot be read",
            ),
        ];
        for (url, expected) in cases {
            let error = parsed(url).unwrap_err();
            assert!(error.to_string().contains(expected), "{url}: {error}");
            let all = format!("{error} {error:?} {}", mesh::chain(&error));
            assert!(!all.contains("geheim") && !all.contains("heim@"), "{all}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let settings = parsed("postgres://ada:geheim@a/mesh?password=geheim").unwrap();
        let shown = format!("{settings:?}");
        assert!(shown.contains("\"a:5432\"") && !shown.contains("geheim"), "{shown}");
        assert!(settings.has_password());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("url");
        std::fs::write(&path, "postgres://ada:geheim@a/mesh\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = PostgresSettings::from_file(&path).unwrap_err();
        assert!(error.to_string().contains("`chmod 600` it"), "{error}");
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(PostgresSettings::from_file(&path).unwrap().has_password());
        let error = PostgresSettings::from_file(directory.path().join("none")).unwrap_err();
        assert!(error.to_string().starts_with("cannot read "), "{error}");
    }

    #[test]
    fn a_password_is_looked_up_for_each_server_unless_the_url_has_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pgpass");
        std::fs::write(&path, "a:5432:mesh:ada:first\n*:*:mesh:*:other\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let passwords = |url: &str| -> Vec<Vec<u8>> {
            let settings = parsed(url).unwrap().password_file(&path);
            let servers = settings.servers().unwrap();
            servers.iter().map(|it| it.config.get_password().unwrap().to_vec()).collect()
        };
        assert_eq!(passwords("postgres://ada@a,b/mesh"), [b"first", b"other"]);
        assert_eq!(passwords("postgres://ada:own@a/mesh"), [b"own"]);
        let without = parsed("postgres://ada@a/mesh").unwrap();
        let without = without.password_file(directory.path().join("none"));
        assert!(without.servers().unwrap()[0].config.get_password().is_none());
    }
}
