//! Absolute paths: Twisted's `Path`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::Argument;
use crate::error::{EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::Value;

/// An absolute path in UTF-8, of this system or the peer's.
///
/// It begins with `/`, or as paths of Windows do: `C:\`, `C:/`, `\\`. It holds no zero byte. It is
/// otherwise kept as it came: `..` may be in it, and that it names anything here, or that the peer
/// may ask for it, is for the program to judge.
///
/// Twisted completes a relative path with the receiver's working directory, whatever that is. Here
/// a relative path is refused.
///
/// # Examples
/// ```
/// use amp_proto::AbsolutePath;
///
/// let images = AbsolutePath::new("/srv/images")?;
/// assert_eq!(std::path::Path::new(images.as_str()).file_name().unwrap(), "images");
/// assert!(AbsolutePath::new("images").is_err());
/// # Ok::<(), amp_proto::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsolutePath(String);

impl AbsolutePath {
    /// The path that `path` spells.
    ///
    /// # Errors
    /// [`ValueError::Malformed`] if it is relative or has a zero byte in it.
    pub fn new(path: impl Into<String>) -> Result<Self, ValueError> {
        let path = path.into();
        if is_absolute(&path) && !path.contains('\0') {
            Ok(Self(path))
        } else {
            Err(ValueError::malformed("an absolute path", path.as_bytes()))
        }
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_absolute(path: &str) -> bool {
    match path.as_bytes() {
        [b'/', ..] | [b'\\', b'\\', ..] => true,
        [drive, b':', b'/' | b'\\', ..] => drive.is_ascii_alphabetic(),
        _ => false,
    }
}

impl Argument for AbsolutePath {
    const TYPE: ArgumentType = ArgumentType::Path;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.0.encode(out)
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        String::decode(value).and_then(Self::new)
    }
}

impl AsRef<str> for AbsolutePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<AbsolutePath> for String {
    fn from(path: AbsolutePath) -> Self {
        path.0
    }
}

impl TryFrom<String> for AbsolutePath {
    type Error = ValueError;

    fn try_from(path: String) -> Result<Self, ValueError> {
        Self::new(path)
    }
}

impl FromStr for AbsolutePath {
    type Err = ValueError;

    fn from_str(path: &str) -> Result<Self, ValueError> {
        Self::new(path)
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_of_every_system_are_taken() {
        for path in ["/", "/srv/☃", "C:\\", "c:/data", "\\\\host\\share"] {
            assert_eq!(AbsolutePath::new(path).map(String::from), Ok(path.into()));
        }
    }

    #[test]
    fn everything_else_is_not() {
        for path in ["", "srv", "./srv", "../srv", "~", "C:", "C:data", "1:/", "\\srv", "/a\0b"] {
            assert!(AbsolutePath::new(path).is_err(), "{path}");
        }
    }
}
