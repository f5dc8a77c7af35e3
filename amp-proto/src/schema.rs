//! What a command looks like, as a constant: for reflection, the vocabulary page and the golden
//! file.

use core::fmt;

use crate::RoleName;

/// A command: its name, arguments, response and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandSchema {
    /// The name on the wire.
    pub name: &'static str,
    /// The first paragraph of its documentation.
    pub doc: &'static str,
    /// Which sides answer it.
    pub answered_by: &'static [RoleName],
    /// The arguments, in the order of declaration.
    pub arguments: &'static [FieldSchema],
    /// The fields of the response, in the order of declaration.
    pub response: &'static [FieldSchema],
    /// The fields of each item that the caller sends, if it sends any.
    pub takes: Option<&'static [FieldSchema]>,
    /// The fields of each item that the responder sends, if it sends any.
    pub gives: Option<&'static [FieldSchema]>,
    /// The declared errors.
    pub errors: &'static [ErrorSchema],
    /// Whether callers usually wait for an answer. A hint to callers, as in Twisted.
    pub requires_answer: bool,
}

/// One argument or one field of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSchema {
    /// The key on the wire.
    pub name: &'static str,
    /// The first paragraph of its documentation.
    pub doc: &'static str,
    /// The type of its value.
    pub kind: ArgumentType,
    /// Whether the key may be absent.
    pub optional: bool,
}

/// One declared error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorSchema {
    /// The code on the wire.
    pub code: &'static str,
    /// Whether the connection is closed after it.
    pub fatal: bool,
}

/// The type of a value, in AMP's terms.
///
/// `Display` writes the notation that `Describe` uses on the wire: `text`, `integer(0..=255)`,
/// `list(text)`, `boxes(name: text, age: integer?)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgumentType {
    /// A decimal integer without bounds. Twisted `Integer`.
    Integer,
    /// A decimal integer within the bounds of a Rust type. Twisted `Integer`.
    IntegerWithin {
        /// The least value.
        min: i128,
        /// The greatest value.
        max: u128,
    },
    /// Bytes as they are. Twisted `String`.
    Bytes,
    /// UTF-8 text. Twisted `Unicode`.
    Text,
    /// `True` or `False`. Twisted `Boolean`.
    Boolean,
    /// A binary floating point number. Twisted `Float`.
    Float,
    /// A decimal number. Twisted `Decimal`.
    Decimal,
    /// A date and time with its offset from UTC. Twisted `DateTime`.
    DateTime,
    /// A list of values of one type. Twisted `ListOf`.
    List(&'static Self),
    /// A list of boxes. Twisted `AmpList`.
    Boxes(&'static [FieldSchema]),
    /// An absolute path. Twisted `Path`.
    Path,
    /// JSON, compressed with zlib.
    Json,
    /// Another type's encoding, compressed with zlib.
    Compressed(&'static Self),
    /// Another type's encoding, which may go on under further keys.
    Large(&'static Self),
    /// An IP address, in 4 or 16 bytes.
    IpAddress,
    /// An IP network: its address and one byte for the prefix length.
    IpNetwork,
    /// A URL in ASCII.
    Url,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A type of an application's own, by name. Reflection carries its bytes as they are.
    Custom(&'static str),
}

impl fmt::Display for ArgumentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer => f.write_str("integer"),
            Self::IntegerWithin { min, max } => write!(f, "integer({min}..={max})"),
            Self::Bytes => f.write_str("bytes"),
            Self::Text => f.write_str("text"),
            Self::Boolean => f.write_str("boolean"),
            Self::Float => f.write_str("float"),
            Self::Decimal => f.write_str("decimal"),
            Self::DateTime => f.write_str("datetime"),
            Self::List(of) => write!(f, "list({of})"),
            Self::Boxes(fields) => {
                f.write_str("boxes(")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{field}")?;
                }
                f.write_str(")")
            }
            Self::Path => f.write_str("path"),
            Self::Json => f.write_str("json"),
            Self::Compressed(of) => write!(f, "compressed({of})"),
            Self::Large(of) => write!(f, "large({of})"),
            Self::IpAddress => f.write_str("ip-address"),
            Self::IpNetwork => f.write_str("ip-network"),
            Self::Url => f.write_str("url"),
            Self::Choice(words) => {
                f.write_str("choice(")?;
                for (index, word) in words.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}\"{}\"", word.escape_default())?;
                }
                f.write_str(")")
            }
            Self::Custom(name) => write!(f, "custom({name})"),
        }
    }
}

impl fmt::Display for FieldSchema {
    /// `name: text`, with a question mark where the key may be absent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, optional, .. } = self;
        write!(f, "{name}: {kind}{}", if *optional { "?" } else { "" })
    }
}
