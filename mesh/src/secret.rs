//! The shared secret that lets a process into the mesh.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rand::RngExt as _;

use crate::regular::open_regular;

/// What every process of a mesh knows and nobody else. It is never printed.
#[derive(Clone)]
pub struct Secret {
    bytes: Vec<u8>,
}

/// Why there is no secret. The fault is this machine's set-up; the text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret file {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        error: std::io::Error,
    },
    /// The file can be read by others, so the secret is none.
    #[error("the secret file {} can be read by other users; `chmod 600` it", .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The text is not an even number of hexadecimal digits.
    #[error("the secret is not written in hexadecimal digits, two for each byte")]
    NotHex,
    /// The secret could be guessed.
    #[error("the secret has {bytes} bytes, at least {} are needed", Secret::BYTES_MIN)]
    TooShort {
        /// How many it has.
        bytes: usize,
    },
}

impl Secret {
    /// The shortest secret that is accepted, in bytes.
    pub const BYTES_MIN: usize = 16;

    /// Reads a secret from a file of hexadecimal digits, as MAAS keeps it. White space at the ends
    /// is ignored.
    ///
    /// # Errors
    /// [`SecretError`] when the file cannot be read, is open to others, or holds no secret.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SecretError> {
        let path = path.as_ref();
        let unreadable = |error| SecretError::Unreadable { path: path.to_owned(), error };
        let mut file = open_regular(path).map_err(unreadable)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // Of the file that is read, whatever stands at the path by now.
            let mode = file.metadata().map_err(unreadable)?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(SecretError::Exposed { path: path.to_owned() });
            }
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(unreadable)?;
        Self::from_hex(text.trim())
    }

    /// Reads a secret from hexadecimal digits.
    ///
    /// # Errors
    /// [`SecretError::NotHex`], [`SecretError::TooShort`].
    pub fn from_hex(digits: &str) -> Result<Self, SecretError> {
        let pair = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).ok().filter(|text| !text.starts_with('+'));
            text.and_then(|text| u8::from_str_radix(text, 16).ok())
        };
        if !digits.len().is_multiple_of(2) {
            return Err(SecretError::NotHex);
        }
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(pair).collect();
        Self::from_bytes(bytes.ok_or(SecretError::NotHex)?)
    }

    /// A secret of these bytes.
    ///
    /// # Errors
    /// [`SecretError::TooShort`].
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, SecretError> {
        let bytes = bytes.into();
        if bytes.len() < Self::BYTES_MIN {
            return Err(SecretError::TooShort { bytes: bytes.len() });
        }
        Ok(Self { bytes })
    }

    /// A new secret from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        let bytes: [u8; 32] = rand::rng().random();
        Self { bytes: bytes.to_vec() }
    }

    /// The hexadecimal digits, to be written to a file that nobody else can read.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_survives_the_way_through_hexadecimal() {
        let secret = Secret::generate();
        assert_eq!(Secret::from_hex(&secret.to_hex()).unwrap().bytes, secret.bytes);
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        assert!(matches!(Secret::from_hex("0g"), Err(SecretError::NotHex)));
        assert!(matches!(Secret::from_hex("abc"), Err(SecretError::NotHex)));
        assert!(matches!(Secret::from_hex("+1+1"), Err(SecretError::NotHex)));
        assert!(matches!(Secret::from_hex("0011"), Err(SecretError::TooShort { bytes: 2 })));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::from_bytes(*b"sixteen letters!").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
