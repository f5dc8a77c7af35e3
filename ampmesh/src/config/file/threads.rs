//! How many threads carry the connections of a process, as it is written: `1` to `255`.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected, Visitor};

/// A number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threads(pub(crate) NonZeroU8);

/// What is told to whoever wrote something else.
const EXPECTED: &str = "a whole number from 1 to 255";

impl FromStr for Threads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.trim().parse().map(Self).map_err(|_| format!("expected {EXPECTED}"))
    }
}

/// Takes the number of a file.
struct Number;

impl Number {
    fn take<E: de::Error>(self, number: Option<u8>, written: Unexpected<'_>) -> Result<Threads, E> {
        let number = number.and_then(NonZeroU8::new);
        number.map(Threads).ok_or_else(|| E::invalid_value(written, &self))
    }
}

impl Visitor<'_> for Number {
    type Value = Threads;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Threads, E> {
        self.take(u8::try_from(number).ok(), Unexpected::Signed(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Threads, E> {
        self.take(u8::try_from(number).ok(), Unexpected::Unsigned(number))
    }
}

impl<'de> Deserialize<'de> for Threads {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_i64(Number)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::File;
    use super::*;

    #[test]
    fn threads_are_a_whole_number_from_1_to_255() {
        let threads = |text: &str| text.parse::<Threads>().map(|threads| threads.0.get());
        assert_eq!(threads("1"), Ok(1));
        assert_eq!(threads("255"), Ok(255));
        for bad in ["0", "256", "-1", "1.5", "two", "", "99999999999999999999"] {
            assert_eq!(threads(bad).unwrap_err(), "expected a whole number from 1 to 255", "{bad}");
        }
    }

    #[test]
    fn a_file_that_has_another_number_of_threads_is_told_which_there_may_be() {
        let parse = |value: &str| File::parse(Path::new("f.toml"), &format!("threads = {value}\n"));
        let threads = |value: &str| parse(value).unwrap().threads.unwrap().0.get();
        assert_eq!((threads("1"), threads("255")), (1, 255));
        let zero = parse("0").unwrap_err().to_string();
        let told = "f.toml:1:11: invalid value: integer `0`, expected a whole number from 1 to 255";
        assert_eq!(zero, told);
        for bad in ["256", "-1", "1.5", "'two'", "true", "9223372036854775807"] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.ends_with(", expected a whole number from 1 to 255"), "{bad}: {error}");
        }
    }
}
