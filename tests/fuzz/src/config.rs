//! What stands in a configuration file of the program, and the settings that it makes.

#[path = "../../../ampmesh/src/config/file/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the program uses more of it")]
mod file;

use std::fmt::{Debug, Display};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use region::PostgresSettings;

use self::file::{File, FileError, RegistryText};

/// The password in the seeds. It stands in nothing else that is shown.
const PASSWORD: &str = "geheim";
/// The longest time that settings can say.
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Any text is understood, or refused with a place in it. What is understood is in its bounds, what
/// can be shown can be read again, and no password is shown.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match File::parse(Path::new("mesh.toml"), text) {
        Ok(file) => understood(&file),
        Err(error) => refused(text, &error),
    }
}

fn refused(text: &str, error: &FileError) {
    let FileError::Malformed { line, column, message, .. } = error else { panic!("{error}") };
    let there = text.split('\n').nth(line - 1).unwrap_or_default();
    assert!(*column <= there.chars().count() + 1, "{error}: there is no such place");
    assert!(!message.is_empty(), "{error}: says nothing");
    let url = text.lines().find(|line| line.contains("://") && is_only_a_password(line));
    if url.is_some() && text.matches(PASSWORD).count() == 1 {
        assert!(!message.contains(PASSWORD), "{error}: tells a password");
    }
}

fn understood(file: &File) {
    let (region, cluster) = (&file.region, &file.cluster);
    region.name.iter().chain(&cluster.name).for_each(same_again);
    region.ports.iter().for_each(same_again);
    for address in cluster.regions.iter().flatten() {
        assert_eq!(address.as_str().parse().as_ref(), Ok(address));
    }
    match file.limits.limits() {
        Ok(limits) => {
            limits.check().unwrap();
            let longest = limits.call_timeout.max(limits.dead_after).max(limits.once_window);
            assert!(longest <= YEAR, "{longest:?}");
        }
        Err(error) => assert!(matches!(error, FileError::Limit { .. }), "{error}"),
    }
    if let Some(text) = &region.registry {
        registry(text);
    }
}

fn registry(text: &RegistryText) {
    assert_eq!(text.clone().within(Path::new("/etc")).url(), text.url());
    let Some(url) = text.url() else { return assert!(!text.has_password()) };
    assert!(!format!("{text:?}").contains(PASSWORD), "{text:?} tells a password");
    // Certificates are in a file, which is none of the bytes.
    if url.contains("sslmode") {
        return;
    }
    let settings = url.parse::<PostgresSettings>();
    assert_eq!(settings.as_ref().is_ok_and(PostgresSettings::has_password), text.has_password());
    if is_only_a_password(url) {
        let shown = match &settings {
            Ok(settings) => format!("{settings:?}"),
            Err(error) => format!("{error} {error:?} {}", mesh::chain(error)),
        };
        assert!(!shown.contains(PASSWORD), "{shown} tells a password");
    }
}

/// Whether the password stands where passwords do, `://user:password@`, and nowhere else.
fn is_only_a_password(text: &str) -> bool {
    let Some((before, after)) = text.split_once(PASSWORD) else { return false };
    let Some((_, user)) = before.split_once("://") else { return false };
    let is_there = user.ends_with(':') && after.starts_with('@');
    is_there && !user.contains(['/', '?', '@', '#']) && !after.contains(PASSWORD)
}

fn same_again<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(value: &T) {
    assert_eq!(value.to_string().parse::<T>().as_ref().unwrap(), value);
}

/// The file of the book, one that says all there is to say, and some of what is wrong.
pub fn seeds() -> Vec<Vec<u8>> {
    const BOOK: &str = include_str!("../../../docs/src/reference/configuration.md");
    const REST: &str = "plain = true\nstart-tls-certificate-file = 'c'\n\
        start-tls-key-file = 'k'\nstart-tls-authorities-file = 'a'\n[region]\n\
        registry-url-file = 'url'\nconnections-max = 9\ndemo = false\n[cluster]\ndemo = true\n\
        uuid = '5f0d6a3e-0000-4000-8000-000000000001'\n";
    const LIMITS: [&str; 10] = [
        "box-bytes-max = 1_000",
        "keys-per-box-max = 0x10",
        "streams-max = 1e3",
        "large-bytes-max = 18446744073709551616",
        "ping-after = '1500ms'",
        "dead-after = '1h'",
        "call-timeout = 2",
        "handshake-timeout = '0s'",
        "once-window = '9999h'",
        "closing-timeout = '2 parsecs'",
    ];
    const LINES: [&str; 16] = [
        "[region]\nname = 'any'",
        "[region]\nports = 7",
        "[region]\nports = '9-7'",
        "[region]\nports = 'postgres://ada:geheim@a/mesh'",
        "[region]\nlisten = '[::1]:1'",
        "[region]\nregistry = 'registry.sqlite'",
        "[region]\nregistry = 'postgres://ada:geheim@[::1]:5432/mesh'",
        "[region]\nregistry = 'postgresql://ada:geheim@a,b/mesh?application_name=x&passfile=%2Fp'",
        "[region]\nregistry = 'mysql://ada:geheim@a'",
        "[region]\nregistry = postgres://ada:geheim@a/mesh",
        "[cluster]\nregions = ['a:1', '[::1]:2', 'http://ada:geheim@a:80/']",
        "[region]\nlissten = '::'",
        "[region]\n'postgres://ada:geheim@a/mesh' = 1",
        "a.b.c = [[{}]]",
        "\u{feff}log = \"\"\"\n\\u00e9\"\"\"",
        "",
    ];
    let fences = BOOK.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let limits = LIMITS.iter().map(|line| format!("[limits]\n{line}\n"));
    let lines = LINES.iter().map(ToString::to_string).chain(limits);
    fences
        .map(str::to_owned)
        .chain([REST.to_owned()])
        .chain(lines)
        .map(String::into_bytes)
        .collect()
}
