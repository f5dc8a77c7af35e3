//! Descriptions of types and fields that own what they describe.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::schema::{ArgumentType, FieldSchema};

/// The type of a value, in AMP's terms: [`ArgumentType`] for types that are known at run time
/// only.
///
/// It is parsed from, and displayed in, the notation of [`ArgumentType`]; `{:#}` displays it for
/// people.
///
/// # Examples
/// ```
/// use amp_proto::dynamic::TypeDescription;
///
/// let kind: TypeDescription = "list(boxes(name: text, age: integer(0..=255)?))".parse()?;
/// let TypeDescription::List(of) = &kind else { unreachable!() };
/// assert_eq!(of.to_string(), "boxes(name: text, age: integer(0..=255)?)");
/// # Ok::<(), amp_proto::dynamic::NotationError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TypeDescription {
    /// A decimal integer without bounds.
    Integer,
    /// A decimal integer within the bounds of a Rust type.
    IntegerWithin {
        /// The least value.
        min: i128,
        /// The greatest value.
        max: u128,
    },
    /// Bytes as they are.
    Bytes,
    /// UTF-8 text.
    Text,
    /// `True` or `False`.
    Boolean,
    /// A binary floating point number.
    Float,
    /// A decimal number.
    Decimal,
    /// A date and time with its offset from UTC.
    DateTime,
    /// A list of values of one type.
    List(Box<Self>),
    /// A list of boxes.
    Boxes(Vec<FieldDescription>),
    /// An absolute path.
    Path,
    /// JSON, compressed with zlib.
    Json,
    /// Another type's encoding, compressed with zlib.
    Compressed(Box<Self>),
    /// Another type's encoding, which may go on under further keys.
    Large(Box<Self>),
    /// An IP address.
    IpAddress,
    /// An IP network.
    IpNetwork,
    /// A URL in ASCII.
    Url,
    /// One of a few words.
    Choice(Vec<String>),
    /// A type of an application's own, by name. Its bytes are carried as they are.
    Custom(String),
}

/// One argument or one field of a response: [`FieldSchema`] for fields that are known at run time
/// only.
///
/// It is parsed from, and displayed in, the notation of [`FieldSchema`]. That says nothing of the
/// documentation, and cannot say a name that has `: ` in it or begins with `)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDescription {
    /// The key on the wire.
    pub name: String,
    /// The type of its value.
    pub kind: TypeDescription,
    /// Whether the key may be absent.
    pub optional: bool,
    /// Its documentation; empty if there is none.
    pub doc: String,
}

impl From<&ArgumentType> for TypeDescription {
    fn from(kind: &ArgumentType) -> Self {
        match *kind {
            ArgumentType::Integer => Self::Integer,
            ArgumentType::IntegerWithin { min, max } => Self::IntegerWithin { min, max },
            ArgumentType::Bytes => Self::Bytes,
            ArgumentType::Text => Self::Text,
            ArgumentType::Boolean => Self::Boolean,
            ArgumentType::Float => Self::Float,
            ArgumentType::Decimal => Self::Decimal,
            ArgumentType::DateTime => Self::DateTime,
            ArgumentType::List(of) => Self::List(Box::new(of.into())),
            ArgumentType::Boxes(fields) => Self::Boxes(fields.iter().map(Into::into).collect()),
            ArgumentType::Path => Self::Path,
            ArgumentType::Json => Self::Json,
            ArgumentType::Compressed(of) => Self::Compressed(Box::new(of.into())),
            ArgumentType::Large(of) => Self::Large(Box::new(of.into())),
            ArgumentType::IpAddress => Self::IpAddress,
            ArgumentType::IpNetwork => Self::IpNetwork,
            ArgumentType::Url => Self::Url,
            ArgumentType::Choice(words) => {
                Self::Choice(words.iter().copied().map(ToOwned::to_owned).collect())
            }
            ArgumentType::Custom(name) => Self::Custom(name.to_owned()),
        }
    }
}

impl From<ArgumentType> for TypeDescription {
    fn from(kind: ArgumentType) -> Self {
        Self::from(&kind)
    }
}

impl From<&FieldSchema> for FieldDescription {
    fn from(field: &FieldSchema) -> Self {
        let FieldSchema { name, doc, kind, optional } = field;
        Self {
            name: (*name).to_owned(),
            kind: kind.into(),
            optional: *optional,
            doc: (*doc).to_owned(),
        }
    }
}

impl fmt::Display for TypeDescription {
    /// The notation of [`ArgumentType`], exact to the letter. With `{:#}`, for people: bounds that
    /// are those of a type of 32 bits or more give way to its name, as `integer(u64)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer => f.write_str("integer"),
            Self::IntegerWithin { min, max } => match native(*min, *max) {
                Some(native) if f.alternate() => write!(f, "integer({native})"),
                _ => write!(f, "integer({min}..={max})"),
            },
            Self::Bytes => f.write_str("bytes"),
            Self::Text => f.write_str("text"),
            Self::Boolean => f.write_str("boolean"),
            Self::Float => f.write_str("float"),
            Self::Decimal => f.write_str("decimal"),
            Self::DateTime => f.write_str("datetime"),
            Self::List(of) => write_all(f, "list", core::iter::once(of)),
            Self::Boxes(fields) => write_all(f, "boxes", fields.iter()),
            Self::Path => f.write_str("path"),
            Self::Json => f.write_str("json"),
            Self::Compressed(of) => write_all(f, "compressed", core::iter::once(of)),
            Self::Large(of) => write_all(f, "large", core::iter::once(of)),
            Self::IpAddress => f.write_str("ip-address"),
            Self::IpNetwork => f.write_str("ip-network"),
            Self::Url => f.write_str("url"),
            Self::Choice(words) => write_all(f, "choice", words.iter().map(|word| Quoted(word))),
            Self::Custom(name) => write!(f, "custom({name})"),
        }
    }
}

/// The name of the integer type with these bounds, if they are too long to read.
fn native(min: i128, max: u128) -> Option<&'static str> {
    let types = [
        ("i32", i128::from(i32::MIN), i32::MAX.unsigned_abs().into()),
        ("i64", i128::from(i64::MIN), i64::MAX.unsigned_abs().into()),
        ("i128", i128::MIN, i128::MAX.unsigned_abs()),
        ("u32", 0, u32::MAX.into()),
        ("u64", 0, u64::MAX.into()),
        ("u128", 0, u128::MAX),
    ];
    let found = types.into_iter().find(|(_, least, most)| (*least, *most) == (min, max));
    found.map(|(name, ..)| name)
}

impl fmt::Display for FieldDescription {
    /// `name: text`, with a question mark where the key may be absent. With `{:#}`, the type as
    /// people read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, optional, .. } = self;
        write!(f, "{name}: ")?;
        kind.fmt(f)?;
        f.write_str(if *optional { "?" } else { "" })
    }
}

fn write_all<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    word: &str,
    parts: impl Iterator<Item = T>,
) -> fmt::Result {
    write!(f, "{word}(")?;
    for (index, part) in parts.enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        part.fmt(f)?;
    }
    f.write_str(")")
}

/// A word of a choice, as the notation has it.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_default())
    }
}
