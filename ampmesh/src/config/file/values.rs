//! The kinds of values that settings have, each with the one way to write it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use super::Budget;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// One line of text per event.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The name of a region or cluster process: 1 to 63 letters, digits, dots, dashes and underscores,
/// beginning with a letter or digit. It stands in file names and tables. The words that stand for
/// targets are no names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Name(String);

impl Name {
    /// The most bytes that a name has.
    const BYTES_MAX: usize = 63;
    /// What operators write for somebody else than a process of that name.
    const TARGETS: [&str; 3] = ["all", "any", "region"];

    /// The nearest name to any text, such as a host name.
    pub(crate) fn from_any(text: &str) -> Self {
        let replaced = text.chars().map(|letter| if allowed(letter) { letter } else { '-' });
        let trimmed: String =
            replaced.skip_while(|letter| !letter.is_ascii_alphanumeric()).collect();
        let name: String = trimmed.chars().take(Self::BYTES_MAX).collect();
        match name.as_str() {
            "" => Self("unnamed".to_owned()),
            target if Self::TARGETS.contains(&target) => Self(format!("{target}-host")),
            _ => Self(name),
        }
    }

    /// The name as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn allowed(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_')
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if Self::TARGETS.contains(&text) {
            return Err("`call` and others take it for a kind of target: choose another".to_owned());
        }
        let begins_well = text.starts_with(|letter: char| letter.is_ascii_alphanumeric());
        if begins_well && text.len() <= Self::BYTES_MAX && text.chars().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err("a name is 1 to 63 letters, digits, dots, dashes and underscores, and begins with a \
             letter or digit"
            .to_owned())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ports that a region process tries, in their order: `5250-5299`, or one port. `0` is any
/// port that is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports(pub(crate) RangeInclusive<u16>);

impl Default for Ports {
    fn default() -> Self {
        Self(5250..=5299)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.0.start(), self.0.end());
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| {
            text.trim().parse::<u16>().map_err(|_| format!("`{text}` is not a port, 0 to 65535"))
        };
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(format!("the range ends before it begins: write {last}-{first}"));
        }
        if first == 0 && last != 0 {
            return Err("port 0 means any free port and cannot begin a range".to_owned());
        }
        Ok(Self(first..=last))
    }
}

/// An IP address of this machine. Names are not looked up: one can stand for several addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ip(pub(crate) IpAddr);

impl FromStr for Ip {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let without = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let form = match text {
            "localhost" => "write 127.0.0.1 or ::1 for this machine alone, or :: for everyone",
            "*" => "write :: to listen on every address",
            _ if without.is_some_and(|text| text.parse::<IpAddr>().is_ok()) => {
                "write it without brackets"
            }
            _ if text.parse::<SocketAddr>().is_ok() => "write it without the port, which is apart",
            _ => {
                "write one such as 192.0.2.1 or 2001:db8::1, or :: for all; names are not looked up"
            }
        };
        text.parse().map(Self).map_err(|_| format!("`{text}` is not an IP address: {form}"))
    }
}

/// Where a region process listens: `HOST:PORT`, the host a name or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegionAddress(String);

impl RegionAddress {
    const EXAMPLE: &str = "region.example:5250";

    fn is_whole(text: &str) -> bool {
        let Some((host, port)) = text.rsplit_once(':') else { return false };
        let is_in_brackets = host.starts_with('[') && host.ends_with(']');
        let is_odd = |letter: char| letter.is_whitespace() || "/?@".contains(letter);
        let port_is_good = port.parse::<u16>().is_ok_and(|port| port != 0);
        let host_is_good = !host.is_empty() && !host.contains(is_odd);
        port_is_good && host_is_good && (is_in_brackets || !host.contains(':'))
    }

    /// The address as it was given.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegionAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, after)) = text.split_once("://") {
            let rest = after.trim_end_matches('/');
            let meant = if Self::is_whole(rest) { rest } else { Self::EXAMPLE };
            return Err(format!("it is not a URL: write HOST:PORT, such as {meant}"));
        }
        let Some((host, _)) = text.rsplit_once(':') else {
            return Err(format!("the port is missing: write {text}:5250"));
        };
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return Err("an IPv6 address stands in brackets: [2001:db8::1]:5250".to_owned());
        }
        if !Self::is_whole(text) {
            return Err(format!("expected HOST:PORT, such as {}", Self::EXAMPLE));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A length of time: `500ms`, `5s`, `2m`; a number alone is in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    /// A year of 365 days.
    const LONGEST: Duration = Duration::from_secs(365 * 86_400);
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let seconds_per_unit = match text.get(digits.len()..).unwrap_or_default() {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            unit => return Err(format!("`{unit}` is not a unit of time; use ms, s, m or h")),
        };
        let count: Result<f64, _> = digits.trim().parse();
        let seconds = count.ok().map(|count| count * seconds_per_unit);
        match seconds.map(Duration::try_from_secs_f64) {
            Some(Ok(duration)) if duration > Self::LONGEST => {
                Err("no more than a year can be waited for".to_owned())
            }
            Some(Ok(duration)) if !duration.is_zero() => Ok(Self(duration)),
            Some(Err(_)) if seconds.is_some_and(|seconds| seconds > 0.0) => {
                Err("no more than a year can be waited for".to_owned())
            }
            _ => Err("expected a length of time above zero, such as 500ms, 5s or 2m".to_owned()),
        }
    }
}

/// Deserialises a value from its text, or from a bare integer.
struct FromText<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

macro_rules! deserialize_from_text {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
                source.deserialize_any(FromText(std::marker::PhantomData))
            }
        }
    )*};
}

deserialize_from_text!(Budget, Ip, Name, Ports, RegionAddress, Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_one_or_a_range() {
        assert_eq!("5250".parse(), Ok(Ports(5250..=5250)));
        assert_eq!("5250-5299".parse(), Ok(Ports(5250..=5299)));
        assert_eq!("0".parse(), Ok(Ports(0..=0)));
        assert_eq!(Ports::default().to_string(), "5250-5299");
        assert_eq!(
            "9-7".parse::<Ports>().unwrap_err(),
            "the range ends before it begins: write 7-9"
        );
        assert!("0-9".parse::<Ports>().is_err());
        assert!("70000".parse::<Ports>().unwrap_err().contains("`70000` is not a port"));
    }

    #[test]
    fn an_address_to_listen_on_is_no_name_and_has_no_port() {
        let refusal = |text: &str| text.parse::<Ip>().unwrap_err();
        assert_eq!("::1".parse(), Ok(Ip(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST))));
        assert_eq!(
            refusal("localhost"),
            "`localhost` is not an IP address: write 127.0.0.1 or ::1 for this machine alone, or \
             :: for everyone"
        );
        assert!(refusal("tower").ends_with("names are not looked up"));
        assert!(refusal("[::1]").ends_with("without brackets"));
        assert!(refusal("127.0.0.1:5250").contains("without the port"));
    }

    #[test]
    fn a_region_address_needs_its_port() {
        assert_eq!("[::1]:5250".parse(), Ok(RegionAddress("[::1]:5250".to_owned())));
        assert_eq!(
            "tower".parse::<RegionAddress>().unwrap_err(),
            "the port is missing: write tower:5250"
        );
        assert!("::1:5250".parse::<RegionAddress>().unwrap_err().contains("brackets"));
        assert_eq!(
            "http://127.0.0.1:80/".parse::<RegionAddress>().unwrap_err(),
            "it is not a URL: write HOST:PORT, such as 127.0.0.1:80"
        );
        for with_password in ["postgres://ada:geheim@db:5432/mesh", "x:///?password=geheim"] {
            let refusal = with_password.parse::<RegionAddress>().unwrap_err();
            assert_eq!(refusal, "it is not a URL: write HOST:PORT, such as region.example:5250");
        }
        assert!("ada@tower:1".parse::<RegionAddress>().is_err());
        assert!("tower:0".parse::<RegionAddress>().is_err());
        assert!(":5250".parse::<RegionAddress>().is_err());
    }

    #[test]
    fn a_span_has_a_unit_or_is_in_seconds() {
        assert_eq!("500ms".parse(), Ok(Span(Duration::from_millis(500))));
        assert_eq!("1.5".parse(), Ok(Span(Duration::from_millis(1500))));
        assert_eq!("2m".parse(), Ok(Span(Duration::from_secs(120))));
        assert!("5 parsecs".parse::<Span>().unwrap_err().contains("`parsecs`"));
        assert!("0s".parse::<Span>().is_err());
        assert!("-1s".parse::<Span>().is_err());
        assert!("inf".parse::<Span>().is_err());
        for long in ["99999999999999999999s", "9000h"] {
            assert_eq!(long.parse::<Span>().unwrap_err(), "no more than a year can be waited for");
        }
    }

    #[test]
    fn names_are_fit_for_file_names() {
        assert!("rack-7.north_1".parse::<Name>().is_ok());
        for bad in ["", ".hidden", "-x", "a/b", "a b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
        assert_eq!(Name::from_any("..my host/7").as_str(), "my-host-7");
        assert_eq!(Name::from_any("…").as_str(), "unnamed");
    }

    #[test]
    fn a_word_that_stands_for_targets_is_no_name() {
        for target in ["all", "any", "region"] {
            assert!(target.parse::<Name>().unwrap_err().contains("choose another"), "{target}");
        }
        assert_eq!(Name::from_any("region").as_str(), "region-host");
    }
}
