//! Values on the wire: one Rust type for every argument type of Twisted, and those seen in the
//! field beside them.
//!
//! | Twisted | here |
//! |---|---|
//! | `Integer` | `i8` … `i128`, `u8` … `u128`, `isize`, `usize`, [`BigInt`](num_bigint::BigInt) |
//! | `String` | [`Bytes`](::bytes::Bytes), `Vec<u8>`, `[u8; N]` |
//! | `Unicode` | `String` |
//! | `Boolean`, `Float` | `bool`, `f64` |
//! | `Decimal` | [`Decimal`] |
//! | `DateTime` | [`DateTime`] |
//! | `ListOf(T)` | `Vec<T>` |
//! | `AmpList` | `Vec<S>` of a struct with `#[derive(Arguments)]` |
//! | `Path` | [`AbsolutePath`] |
//! | `optional=True` | `Option<T>` |
//!
//! | MAAS | here |
//! |---|---|
//! | `Bytes` | as Twisted's `String` |
//! | `Choice` | an enum with `#[derive(Choice)]` |
//! | `IPAddress` | [`IpAddr`](core::net::IpAddr), `Ipv4Addr`, `Ipv6Addr` |
//! | `IPNetwork` | [`IpNet`](ipnet::IpNet), `Ipv4Net`, `Ipv6Net` |
//! | `ParsedURL` | `url::Url`, with the feature `url` |
//! | `StructureAsJSON`, `AttrsClassArgument` | `Json<T>`, with the feature `json` |
//! | `CompressedAmpList` | `Compressed<Vec<S>>`, with the feature `json` |
//!
//! [`Large<T>`](Large) is any of them beyond 65,535 bytes.
//!
//! Twisted's `Descriptor` has no counterpart: it hands over file descriptors, which only sockets
//! of UNIX can do.
//!
//! What Twisted accepts is accepted, oddities included, except for a few things that would do harm:
//!
//! | input | Twisted | here |
//! |---|---|---|
//! | a list or a row of boxes that ends inside an element | drops the rest silently | refuses it |
//! | a relative path | completes it with its own working directory | refuses it |
//! | a path with a zero byte | accepts it | refuses it |
//! | an offset from UTC of 26 hours or more | accepts it, and fails to use it | refuses it |
//! | compressed data that inflates without end | inflates it | stops at a limit |
//! | `NaN`, `Infinity` or half a surrogate pair in JSON | accepts it | refuses it |
//!
//! [`Argument`] is the trait to implement for a type of your own.

mod address;
mod boolean;
mod bytes;
#[cfg(feature = "json")]
mod compressed;
mod decimal;
mod float;
#[cfg(feature = "json")]
mod json;
mod large;
mod list;
mod number;
mod path;
mod python;
mod text;
mod time;
#[cfg(feature = "url")]
mod url;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;

#[cfg(feature = "json")]
pub use self::compressed::Compressed;
#[cfg(feature = "json")]
pub(crate) use self::compressed::{deflate, inflate, inflated};
pub use self::decimal::Decimal;
#[cfg(feature = "json")]
pub use self::json::Json;
#[cfg(feature = "json")]
pub(crate) use self::json::{put_json, take_json};
pub use self::large::Large;
pub use self::list::{decode_boxes, encode_boxes};
#[cfg(feature = "json")]
pub(crate) use self::list::{decode_each_box, elements};
pub use self::path::AbsolutePath;
pub use self::time::DateTime;

use alloc::vec::Vec;

use crate::error::{DecodeError, EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::{BoxWriter, Fields, Value};

/// A type that has a form as an AMP value.
///
/// # Examples
/// ```
/// use amp_proto::{Argument, ArgumentType, EncodeError, Value, ValueError};
///
/// /// Degrees Celsius, as `21C`.
/// struct Celsius(i64);
///
/// impl Argument for Celsius {
///     const TYPE: ArgumentType = ArgumentType::Custom("celsius");
///
///     fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
///         self.0.encode(out)?;
///         out.push(b'C');
///         Ok(())
///     }
///
///     fn decode(value: Value<'_>) -> Result<Self, ValueError> {
///         let digits = value.bytes().strip_suffix(b"C");
///         let digits = digits.ok_or_else(|| ValueError::malformed("degrees", value.bytes()))?;
///         i64::decode(value.part(digits)).map(Celsius)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no AMP argument encoding",
    note = "implement `amp_proto::Argument` for it, or use one of the types listed there"
)]
pub trait Argument: Sized {
    /// What this type is in AMP's terms.
    const TYPE: ArgumentType;

    /// What a list of this type is in AMP's terms.
    const LIST_TYPE: ArgumentType = ArgumentType::List(&Self::TYPE);

    /// Appends the value's bytes to `out`, without a length.
    ///
    /// # Errors
    /// [`EncodeError`] when the value has no form on the wire. Whatever was appended is taken back
    /// by the caller.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// About how many bytes [`Argument::encode`] will append, if it can tell that there are many;
    /// zero if it cannot, or there are few. What is large is encoded where nobody waits for it.
    fn bytes_hint(&self) -> usize {
        0
    }

    /// Reads a value.
    ///
    /// # Errors
    /// [`ValueError`] when the bytes are not of this type.
    fn decode(value: Value<'_>) -> Result<Self, ValueError>;

    /// Puts the value into a box: under `key`, unless the type spreads long values over further
    /// keys as `Compressed` does.
    ///
    /// # Errors
    /// As [`Argument::encode`], and [`EncodeError::ValueTooLong`].
    #[inline(always)]
    fn put_under(&self, key: &str, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        out.put(key.as_bytes(), |out| self.encode(out))
    }

    /// Takes the value out of a box, or nothing when `key` is not there.
    ///
    /// # Errors
    /// As [`Argument::decode`].
    #[inline(always)]
    fn take_from(key: &str, fields: &Fields<'_>) -> Result<Option<Self>, ValueError> {
        fields.read_whole(key.as_bytes(), |value| Self::decode(value)).transpose()
    }

    /// Appends a list's bytes. Bytes are written as they are, everything else as `ListOf`.
    ///
    /// # Errors
    /// As [`Argument::encode`], and [`EncodeError::ElementTooLong`].
    fn encode_list(items: &[Self], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        list::encode_elements(items, out)
    }

    /// Reads a list.
    ///
    /// # Errors
    /// As [`Argument::decode`], and [`ValueError::Truncated`].
    fn decode_list(value: Value<'_>) -> Result<Vec<Self>, ValueError> {
        list::decode_elements(value)
    }
}

/// A type that can stand in a list: every [`Argument`], and structs with `#[derive(Arguments)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no AMP argument encoding, so a list of it has none either",
    note = "a list of structs needs `#[derive(Arguments)]` on the struct"
)]
pub trait ListItem: Sized {
    /// What a list of this type is in AMP's terms.
    const LIST_TYPE: ArgumentType;

    /// Appends a list's bytes to `out`, without a length.
    ///
    /// # Errors
    /// As [`Argument::encode`].
    fn encode_list(items: &[Self], out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Reads a list.
    ///
    /// # Errors
    /// As [`Argument::decode`].
    fn decode_list(value: Value<'_>) -> Result<Vec<Self>, ValueError>;
}

impl<T: Argument> ListItem for T {
    const LIST_TYPE: ArgumentType = <T as Argument>::LIST_TYPE;

    fn encode_list(items: &[Self], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        <T as Argument>::encode_list(items, out)
    }

    fn decode_list(value: Value<'_>) -> Result<Vec<Self>, ValueError> {
        <T as Argument>::decode_list(value)
    }
}

/// How a field of a command or response stands in its box: an [`Argument`] under one key, or an
/// `Option` of one, whose key is left out for `None`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no AMP argument encoding",
    note = "implement `amp_proto::Argument` for it, or use one of the types listed there"
)]
pub trait Parameter: Sized {
    /// What the value is in AMP's terms.
    const TYPE: ArgumentType;

    /// Whether the key may be absent.
    const OPTIONAL: bool;

    /// Puts the field under `key`, or nothing.
    ///
    /// # Errors
    /// [`EncodeError`] when the value does not fit.
    fn put(&self, key: &'static str, out: &mut BoxWriter<'_>) -> Result<(), EncodeError>;

    /// As [`Argument::bytes_hint`].
    fn bytes_hint(&self) -> usize;

    /// Takes the field from under `key`.
    ///
    /// # Errors
    /// [`DecodeError`] when the key is missing and not optional, or the value malformed.
    fn take(key: &'static str, fields: &Fields<'_>) -> Result<Self, DecodeError>;
}

impl<T: Argument> Parameter for T {
    const TYPE: ArgumentType = <T as Argument>::TYPE;
    const OPTIONAL: bool = false;

    #[inline(always)]
    fn put(&self, key: &'static str, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        self.put_under(key, out)
    }

    fn bytes_hint(&self) -> usize {
        Argument::bytes_hint(self)
    }

    #[inline(always)]
    fn take(key: &'static str, fields: &Fields<'_>) -> Result<Self, DecodeError> {
        let value = T::take_from(key, fields).map_err(|error| error.at(key))?;
        value.ok_or_else(|| ValueError::Missing.at(key))
    }
}

impl<T: Argument> Parameter for Option<T> {
    const TYPE: ArgumentType = <T as Argument>::TYPE;
    const OPTIONAL: bool = true;

    #[inline(always)]
    fn put(&self, key: &'static str, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        self.as_ref().map_or(Ok(()), |value| value.put(key, out))
    }

    fn bytes_hint(&self) -> usize {
        self.as_ref().map_or(0, Argument::bytes_hint)
    }

    #[inline(always)]
    fn take(key: &'static str, fields: &Fields<'_>) -> Result<Self, DecodeError> {
        T::take_from(key, fields).map_err(|error| error.at(key))
    }
}
