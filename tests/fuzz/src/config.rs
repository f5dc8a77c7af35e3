//! The configuration file of the program, read by the program's own sources, which are no library.

#![allow(dead_code, reason = "the program uses more of them")]

#[path = "../../../ampmesh/src/config/error.rs"]
mod error;
#[path = "../../../ampmesh/src/config/file.rs"]
mod file;
#[path = "../../../ampmesh/src/config/limits.rs"]
mod limits;
#[path = "../../../ampmesh/src/config/registry_text.rs"]
mod registry_text;
#[path = "../../../ampmesh/src/config/values.rs"]
mod values;

use std::path::Path;

pub(crate) use self::error::ConfigError;
pub(crate) use self::file::File;
pub(crate) use self::registry_text::RegistryText;
pub(crate) use self::values::{Ip, LogFormat, Name, Ports, RegionAddress, Span};

/// Any text is understood, or refused with a place in it; and it is the same when it is read again.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = || File::parse(Path::new("mesh.toml"), text);
    match read() {
        Ok(file) => {
            assert_eq!(file, read().unwrap());
            let within = file.region.registry.map(|registry| registry.within(Path::new("/etc")));
            assert!(!within.is_some_and(|it| it.has_password() && shows_all(&it)));
            if let Ok(limits) = file.limits.limits() {
                limits.check().unwrap();
            }
        }
        Err(ConfigError::Malformed { line, column, message, .. }) => {
            let place = text.split('\n').nth(line - 1).unwrap();
            assert!(column <= place.chars().count() + 1, "{line}:{column} is not there: {message}");
            assert!(!message.is_empty());
        }
        Err(other) => panic!("{other}"),
    }
}

/// Whether it is written down as it was read.
fn shows_all(registry: &RegistryText) -> bool {
    format!("{registry:?}") != "postgres://(withheld)"
}

/// Files that say all there is to say, and some of what is wrong.
pub fn seeds() -> Vec<Vec<u8>> {
    const ALL: &str = "data-dir = '/d'\nsecret-file = '/s'\nplain = true\nlog = 'debug'\n\
        log-format = 'json'\n[region]\nname = 'north'\nlisten = '::'\nports = '5250-5299'\n\
        advertise = ['192.0.2.1', '::1']\nregistry = 'registry.sqlite'\n\
        registry-url-file = 'url'\ndemo = false\n[cluster]\nname = 'rack-7'\n\
        uuid = '5f0d6a3e-0000-4000-8000-000000000001'\nregions = ['a:1', '[::1]:2']\n";
    const LIMITS: &str = "[limits]\nbox-bytes-max = 1_000\nkeys-per-box-max = 0x10\n\
        ping-after = '1500ms'\ndead-after = '1h'\ncall-timeout = '2s'\nstreams-max = 1e3\n\
        once-window = '1d'\nlarge-bytes-max = 18446744073709551616\nhandshake-timeout = '0s'\n";
    const PASSWORD: &str = "[region]\nregistry = 'postgres://a:secret@[::1]:5432/b?sslmode=off'\n";
    let lines = ALL.lines().chain(LIMITS.lines()).map(|line| line.as_bytes().to_vec());
    let whole = [ALL, LIMITS, PASSWORD, "", "\u{feff}", "a.b.c = [[{}]]", "[region]\nports = 7"];
    lines.chain(whole.iter().map(|text| text.as_bytes().to_vec())).collect()
}
