//! PostgreSQL's file of passwords, `.pgpass`.

use std::io::ErrorKind;
use std::path::Path;

use super::settings::{PostgresSettingsError, read_private};

/// How much of a file is read. Fixed: some hundreds of lines.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The lines of the file.
#[derive(Default)]
pub(super) struct PasswordFile(Vec<[String; 5]>);

/// For what a password is wanted.
pub(super) struct Wanted<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

impl PasswordFile {
    /// The file's lines; none if there is no file.
    pub(super) fn read(path: &Path) -> Result<Self, PostgresSettingsError> {
        match read_private(path, FILE_BYTES_MAX) {
            Ok(text) => Ok(Self(text.lines().filter_map(fields).collect())),
            Err(PostgresSettingsError::Unreadable { error, .. })
                if error.kind() == ErrorKind::NotFound =>
            {
                Ok(Self::default())
            }
            Err(error) => Err(error),
        }
    }

    /// The password of the first line that fits.
    pub(super) fn find(&self, wanted: &Wanted<'_>) -> Option<&str> {
        let port = wanted.port.to_string();
        // A socket goes by this name, too.
        let is_socket = wanted.host.starts_with('/');
        let fits = |field: &str, value: &str| field == "*" || field == value;
        let found = self.0.iter().find(|[host, its_port, database, user, _]| {
            (fits(host, wanted.host) || is_socket && host == "localhost")
                && fits(its_port, &port)
                && fits(database, wanted.database)
                && fits(user, wanted.user)
        });
        found.map(|[.., password]| password.as_str())
    }
}

/// The five fields of a line, in which `\` takes the meaning from the next character.
fn fields(line: &str) -> Option<[String; 5]> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        let is_last = fields.len() == 5;
        let field = fields.last_mut()?;
        match letter {
            '\\' => field.extend(letters.next()),
            ':' if !is_last => fields.push(String::new()),
            letter => field.push(letter),
        }
    }
    fields.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text =
            "# a comment\nhost\\:1:5432:mesh:ada:a\\\\b:c\nlocalhost:*:*:*:socket\n*:1:*:*:x";
        let file = PasswordFile(text.lines().filter_map(fields).collect());
        let find = |host, port| {
            file.find(&Wanted { host, port, database: "mesh", user: "ada" }).map(str::to_owned)
        };
        assert_eq!(find("host:1", 5432).as_deref(), Some("a\\b:c"));
        assert_eq!(find("/run/postgresql", 5432).as_deref(), Some("socket"));
        assert_eq!(find("host", 1).as_deref(), Some("x"));
        assert_eq!(find("host", 5432), None);
    }
}
