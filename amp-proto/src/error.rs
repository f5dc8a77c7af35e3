//! What can go wrong, sorted by whose fault it is.
//!
//! Encoding fails because of what *we* wanted to send; decoding because of what the peer sent in
//! one ask; [`PeerMisbehaved`] means the byte stream itself cannot be trusted any more and the
//! connection has to close. Every error here is a value that tests can compare.

use alloc::string::String;

/// A value, or the box around it, cannot be put on the wire. The fault is the sender's, and nothing
/// of the box was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A value has more bytes than AMP's two-byte length can say. Shorten it or split it.
    #[error("value of `{key}` has {bytes} bytes, AMP carries at most 65535")]
    ValueTooLong {
        /// The key that the value stands under.
        key: String,
        /// Its length in bytes.
        bytes: usize,
    },
    /// An element of a list has more bytes than AMP's two-byte length can say.
    #[error("a list element has {bytes} bytes, AMP carries at most 65535")]
    ElementTooLong {
        /// The element's length in bytes.
        bytes: usize,
    },
    /// A command or response uses a key that says what a box is. Choose another.
    #[error("`{key}` is a key of AMP's own")]
    ReservedKey {
        /// The key.
        key: String,
    },
    /// A key is empty (which would end the box) or longer than 255 bytes.
    #[error("a key has {bytes} bytes, AMP allows 1 to 255")]
    KeyLength {
        /// The key's length in bytes.
        bytes: usize,
    },
    /// A box has more keys than [`Limits::keys_per_box_max`](crate::Limits::keys_per_box_max).
    #[error("the box has more than {max} keys")]
    TooManyKeys {
        /// The limit.
        max: usize,
    },
    /// A box has more bytes than [`Limits::box_bytes_max`](crate::Limits::box_bytes_max).
    #[error("the box has {bytes} bytes, the limit is {max}")]
    BoxTooLarge {
        /// The box's length in bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A value has no form on the wire, such as a relative path where an absolute one is due.
    #[error("{reason}")]
    Unencodable {
        /// What is the matter with the value, in a few words.
        reason: String,
    },
}

/// A box arrived whole, but a value in it is not what the command declares. The fault is the
/// sender's; only this one ask or answer is affected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argument `{key}`: {reason}")]
pub struct DecodeError {
    /// The key whose value is missing or malformed. Nested keys are joined by dots.
    pub key: String,
    /// What is the matter with it.
    pub reason: ValueError,
}

/// Why a value does not decode. [`DecodeError`] adds the key it stands under.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The key is not in the box, and the argument is not optional.
    #[error("it is required, and missing")]
    Missing,
    /// The bytes are not of the expected form.
    #[error("expected {expected}, found {found}")]
    Malformed {
        /// The expected form, in a few words: `an integer`.
        expected: &'static str,
        /// The start of what was found, made printable.
        found: String,
    },
    /// The value is of the right form but outside what the Rust type holds.
    #[error("{found} is out of the range {range}")]
    OutOfRange {
        /// The range, as `0..=255`.
        range: String,
        /// The start of what was found.
        found: String,
    },
    /// A list or a nested box ends in the middle of an element.
    #[error("it ends in the middle of an element")]
    Truncated,
    /// A nested value is malformed.
    #[error("`{key}` inside it: {reason}")]
    Nested {
        /// The inner key.
        key: String,
        /// What is the matter with the inner value.
        reason: alloc::boxed::Box<Self>,
    },
    /// A compressed value would grow beyond
    /// [`Limits::decompressed_bytes_max`](crate::Limits::decompressed_bytes_max).
    #[error("it decompresses to more than {max} bytes")]
    DecompressedTooLarge {
        /// The limit.
        max: usize,
    },
}

impl ValueError {
    /// The bytes are not `expected`; quotes the first of them.
    #[must_use]
    pub fn malformed(expected: &'static str, found: &[u8]) -> Self {
        Self::Malformed { expected, found: printable(found) }
    }

    /// Names the key that the value stands under.
    #[must_use]
    pub fn at(self, key: &str) -> DecodeError {
        match self {
            Self::Nested { key: inner, reason } => {
                DecodeError { key: alloc::format!("{key}.{inner}"), reason: *reason }
            }
            reason => DecodeError { key: key.into(), reason },
        }
    }
}

/// The peer broke the protocol. The connection is closed; asks in flight fail as lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// A key's length prefix is over 255. Usually the peer does not speak AMP at all.
    #[error("a key length of {bytes}, AMP allows 1 to 255{}", .looks_like.hint())]
    KeyTooLong {
        /// The length that was announced.
        bytes: usize,
        /// What the bytes look like.
        looks_like: LooksLike,
    },
    /// A box grew beyond [`Limits::box_bytes_max`](crate::Limits::box_bytes_max).
    #[error("a box of more than {max} bytes")]
    BoxTooLarge {
        /// The limit.
        max: usize,
    },
    /// A box has more keys than [`Limits::keys_per_box_max`](crate::Limits::keys_per_box_max).
    #[error("a box with more than {max} keys")]
    TooManyKeys {
        /// The limit.
        max: usize,
    },
    /// A box without any key.
    #[error("an empty box")]
    EmptyBox,
    /// A box with none of `_command`, `_answer` and `_error`.
    #[error("a box that neither asks nor answers")]
    NoReservedKey,
    /// An answer to something never asked, or answered before.
    #[error("an answer to `{tag}`, which is not in flight")]
    UnknownTag {
        /// The tag, made printable.
        tag: String,
    },
    /// More was sent before the handshake's end than
    /// [`Limits`](crate::Limits) allows a stranger.
    #[error("more than {max} {what} before the handshake was over")]
    TooEager {
        /// `bytes` or `asks`.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// It sends too many large boxes at once.
    #[error("more than {max} large boxes at once")]
    TooManyLarge {
        /// The limit.
        max: usize,
    },
    /// The pieces of a large box make no box, or more than one.
    #[error("the pieces of a large box are not one box")]
    NotOneBox,
    /// It sent an item of a stream, or a piece of a large box, without having credit for it.
    #[error("more than may be sent ahead")]
    OverCredit,
}

/// What the first bytes of a stream that is not AMP look like, for the log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LooksLike {
    /// An HTTP request line.
    Http,
    /// A TLS ClientHello.
    Tls,
    /// An SSH banner.
    Ssh,
    /// Nothing we know.
    Unknown,
}

impl LooksLike {
    /// Guesses from the first bytes of a stream.
    #[must_use]
    pub fn guess(start: &[u8]) -> Self {
        const METHODS: [&[u8]; 7] = [b"GET", b"POS", b"PUT", b"HEA", b"DEL", b"OPT", b"PRI"];
        if METHODS.iter().any(|method| start.starts_with(method)) {
            Self::Http
        } else if start.starts_with(&[0x16, 0x03]) {
            Self::Tls
        } else if start.starts_with(b"SSH") {
            Self::Ssh
        } else {
            Self::Unknown
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::Http => "; this looks like an HTTP request",
            Self::Tls => "; this looks like a TLS ClientHello",
            Self::Ssh => "; this looks like an SSH client",
            Self::Unknown => "",
        }
    }
}

/// A peer's words on one line: what might break a line or move a cursor is escaped.
#[derive(Clone, Copy, Debug)]
pub struct OneLine<'a>(
    /// The words.
    pub &'a str,
);

impl core::fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for part in self.0.split_inclusive(char::is_control) {
            let plain = part.trim_end_matches(char::is_control);
            f.write_str(plain)?;
            for control in part.get(plain.len()..).unwrap_or_default().chars() {
                write!(f, "{}", control.escape_default())?;
            }
        }
        Ok(())
    }
}

/// The first 64 bytes of something a peer sent, on one line: what is no printable ASCII is escaped.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(
    /// All the bytes.
    pub &'a [u8],
);

impl Escaped<'_> {
    const SHOWN_MAX: usize = 64;
}

impl core::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let shown = self.0.get(..Self::SHOWN_MAX).unwrap_or(self.0);
        shown.escape_ascii().fmt(f)
    }
}

/// The first bytes of something a peer sent in quotes, and how many there are if not all are shown.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text = alloc::format!("\"{}\"", Escaped(bytes));
    if bytes.len() > Escaped::SHOWN_MAX {
        text.push_str(&alloc::format!("… ({} bytes)", bytes.len()));
    }
    text
}
