//! Reads the notation of types, as a peer may have sent it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

use super::{FieldDescription, TypeDescription};
use crate::error::printable;
use crate::wire::KEY_BYTES_MAX;

/// How many types may stand inside one another: in `list(list(text))` it is three.
pub const TYPE_DEPTH_MAX: usize = 32;

/// How many fields a row of boxes may declare. More keys would not fit a box.
const FIELDS_MAX: usize = 256;

/// A description is not in the notation of types. The fault is the describer's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at byte {at} of the type {notation}")]
pub struct NotationError {
    /// What should have stood there, in a few words.
    pub expected: &'static str,
    /// Where, counted in bytes from the start.
    pub at: usize,
    /// The start of the notation, made printable.
    pub notation: String,
}

impl FromStr for TypeDescription {
    type Err = NotationError;

    /// Reads exactly what `Display` writes.
    fn from_str(notation: &str) -> Result<Self, NotationError> {
        Reader::whole(notation, |reader| reader.kind(TYPE_DEPTH_MAX))
    }
}

impl FromStr for FieldDescription {
    type Err = NotationError;

    /// Reads exactly what `Display` writes. The documentation is left empty.
    fn from_str(notation: &str) -> Result<Self, NotationError> {
        Reader::whole(notation, |reader| reader.field(TYPE_DEPTH_MAX))
    }
}

struct Reader<'a> {
    rest: &'a str,
}

/// What was expected, at the place where the reader stands.
struct Expected(&'static str);

impl<'a> Reader<'a> {
    fn whole<T>(
        notation: &'a str,
        read: impl FnOnce(&mut Self) -> Result<T, Expected>,
    ) -> Result<T, NotationError> {
        let mut reader = Self { rest: notation };
        let read = read(&mut reader).and_then(|it| match reader.rest {
            "" => Ok(it),
            _ => Err(Expected("the end")),
        });
        read.map_err(|Expected(expected)| NotationError {
            expected,
            at: notation.len() - reader.rest.len(),
            notation: printable(notation.as_bytes()),
        })
    }

    fn kind(&mut self, depth_left: usize) -> Result<TypeDescription, Expected> {
        let Some(depth_left) = depth_left.checked_sub(1) else {
            return Err(Expected("an end of the nesting"));
        };
        let start = self.rest;
        let word = self.take_while(|char| char.is_ascii_lowercase() || char == '-');
        Ok(match word {
            "integer" if self.skip("(") => self.bounds()?,
            "integer" => TypeDescription::Integer,
            "bytes" => TypeDescription::Bytes,
            "text" => TypeDescription::Text,
            "boolean" => TypeDescription::Boolean,
            "float" => TypeDescription::Float,
            "decimal" => TypeDescription::Decimal,
            "datetime" => TypeDescription::DateTime,
            "list" => TypeDescription::List(self.inner(depth_left)?),
            "boxes" => {
                TypeDescription::Boxes(self.each(FIELDS_MAX, |reader| reader.field(depth_left))?)
            }
            "path" => TypeDescription::Path,
            "json" => TypeDescription::Json,
            "compressed" => TypeDescription::Compressed(self.inner(depth_left)?),
            "large" => TypeDescription::Large(self.inner(depth_left)?),
            "ip-address" => TypeDescription::IpAddress,
            "ip-network" => TypeDescription::IpNetwork,
            "url" => TypeDescription::Url,
            "choice" => TypeDescription::Choice(self.each(usize::MAX, Self::quoted)?),
            "custom" => TypeDescription::Custom(self.name_in_parentheses()?),
            _ => {
                self.rest = start;
                return Err(Expected("a type"));
            }
        })
    }

    fn inner(&mut self, depth_left: usize) -> Result<Box<TypeDescription>, Expected> {
        self.expect("(", "`(`")?;
        let kind = self.kind(depth_left)?;
        self.expect(")", "`)`")?;
        Ok(Box::new(kind))
    }

    fn bounds(&mut self) -> Result<TypeDescription, Expected> {
        let digits = |char: char| char.is_ascii_digit() || char == '-';
        let min = self.take_while(digits).parse();
        let min: i128 = min.map_err(|_| Expected("the least value"))?;
        self.expect("..=", "`..=`")?;
        let max = self.take_while(digits).parse();
        let max: u128 = max.map_err(|_| Expected("the greatest value"))?;
        self.expect(")", "`)`")?;
        Ok(TypeDescription::IntegerWithin { min, max })
    }

    /// Parts in parentheses, with commas between them.
    fn each<T>(
        &mut self,
        max: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, Expected>,
    ) -> Result<Vec<T>, Expected> {
        self.expect("(", "`(`")?;
        let mut parts = Vec::new();
        while !self.skip(")") {
            if !parts.is_empty() {
                self.expect(", ", "`, ` or `)`")?;
            }
            if parts.len() == max {
                return Err(Expected("no more fields"));
            }
            parts.push(read(self)?);
        }
        Ok(parts)
    }

    fn field(&mut self, depth_left: usize) -> Result<FieldDescription, Expected> {
        let (name, rest) = self.rest.split_once(": ").ok_or(Expected("a name and `: `"))?;
        if name.is_empty() || name.len() > KEY_BYTES_MAX {
            return Err(Expected("a name of 1 to 255 bytes"));
        }
        self.rest = rest;
        let kind = self.kind(depth_left)?;
        let optional = self.skip("?");
        Ok(FieldDescription { name: name.into(), kind, optional, doc: String::new() })
    }

    fn quoted(&mut self) -> Result<String, Expected> {
        self.expect("\"", "`\"`")?;
        let mut word = String::new();
        while !self.skip("\"") {
            if self.skip("\\") {
                word.push(self.escaped().ok_or(Expected("what is escaped"))?);
            } else {
                word.push(self.next().ok_or(Expected("`\"`"))?);
            }
        }
        Ok(word)
    }

    /// What [`char::escape_default`] put behind a backslash.
    fn escaped(&mut self) -> Option<char> {
        match self.next()? {
            't' => Some('\t'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            itself @ ('\\' | '"' | '\'') => Some(itself),
            'u' => {
                let digits = self.rest.strip_prefix('{')?.split_once('}')?;
                self.rest = digits.1;
                char::from_u32(u32::from_str_radix(digits.0, 16).ok()?)
            }
            _ => None,
        }
    }

    /// A name that may have parentheses of its own, if every one of them is closed.
    fn name_in_parentheses(&mut self) -> Result<String, Expected> {
        self.expect("(", "`(`")?;
        let mut open = 0_usize;
        let end = self.rest.find(|char| {
            match char {
                '(' => open += 1,
                ')' if open == 0 => return true,
                ')' => open -= 1,
                _ => {}
            }
            false
        });
        let (name, _) =
            end.and_then(|end| self.rest.split_at_checked(end)).ok_or(Expected("`)`"))?;
        self.rest = self.rest.get(name.len() + 1..).unwrap_or_default();
        Ok(name.into())
    }

    fn take_while(&mut self, matches: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|char| !matches(char)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn skip(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str, expected: &'static str) -> Result<(), Expected> {
        if self.skip(token) { Ok(()) } else { Err(Expected(expected)) }
    }
}
