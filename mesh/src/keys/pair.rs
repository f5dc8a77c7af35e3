//! The key pair of a process.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use amp_proto::{PublicKey, checked_text};
use rand::RngExt as _;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::regular::open_regular;

/// An Ed25519 key pair. The private half is never printed, and is wiped from memory with the last
/// copy of it here; the library that signs keeps some of its own.
#[derive(Clone)]
pub struct KeyPair {
    seed: Zeroizing<[u8; SEED_BYTES]>,
    signing: Arc<Ed25519KeyPair>,
    public: PublicKey,
}

/// Why there is no key pair. The fault is this machine's set-up; the text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key file {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        error: std::io::Error,
    },
    /// Others can read the file, so somebody else may have the key.
    #[error(
        "the key file {} can be read by other users, who may have copied it: make a new key, or \
         `chmod 600` it if you are sure that nobody has",
        .path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The text is no private key.
    #[error("it holds no private key, which is `ampkey1` and 56 letters and digits")]
    NotAKey,
}

const SEED_BYTES: usize = 32;
const WORD: &str = "ampkey1";

impl KeyPair {
    /// A new key pair from the operating system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_seed(Zeroizing::new(rand::rng().random()))
    }

    #[expect(clippy::expect_used, reason = "every 32 bytes are a private key of Ed25519")]
    fn from_seed(seed: Zeroizing<[u8; SEED_BYTES]>) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).expect("a seed of 32 bytes");
        let public = pair.public_key().as_ref().try_into().expect("a key of 32 bytes");
        Self { seed, signing: Arc::new(pair), public: PublicKey::from_bytes(public) }
    }

    /// Reads a private key from a file that nobody else can read. White space at the ends is
    /// ignored.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        /// More than a key has, so that a file of something else is not read whole.
        const BYTES_MAX: u64 = 256;
        let path = path.as_ref();
        let unreadable = |error| KeyError::Unreadable { path: path.to_owned(), error };
        let file = open_regular(path).map_err(unreadable)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // Of the file that is read, whatever stands at the path by now.
            let mode = file.metadata().map_err(unreadable)?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(KeyError::Exposed { path: path.to_owned() });
            }
        }
        let mut text = Zeroizing::new(String::with_capacity(256));
        file.take(BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
        Self::from_text(text.trim())
    }

    /// Reads a private key from what [`KeyPair::to_text`] wrote.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(checked_text::read(WORD, text).ok_or(KeyError::NotAKey)?);
        let seed = bytes.as_slice().try_into().map_err(|_| KeyError::NotAKey)?;
        Ok(Self::from_seed(Zeroizing::new(seed)))
    }

    /// The private key as text, to be written to a file that nobody else can read.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(checked_text::write(WORD, &*self.seed))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs for a purpose: what is signed for one is no signature for another, nor for TLS.
    #[must_use]
    pub fn sign(&self, purpose: &str, message: &[u8]) -> Vec<u8> {
        self.signing.sign(&to_be_signed(purpose, message)).as_ref().to_vec()
    }

    /// The private key in the form that TLS reads: PKCS #8, version 1 (RFC 8410).
    pub(super) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        const BEFORE_SEED: [u8; 16] =
            [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let mut der = Zeroizing::new(Vec::with_capacity(BEFORE_SEED.len() + SEED_BYTES));
        der.extend_from_slice(&BEFORE_SEED);
        der.extend_from_slice(&*self.seed);
        der
    }

    /// Whether `signature` was made by the owner of `key` with [`KeyPair::sign`].
    #[must_use]
    pub fn is_signature(key: &PublicKey, purpose: &str, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, key.as_bytes());
        key.verify(&to_be_signed(purpose, message), signature).is_ok()
    }
}

fn to_be_signed(purpose: &str, message: &[u8]) -> Vec<u8> {
    [b"ampmesh: ", purpose.as_bytes(), b"\0", message].concat()
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_key_is_the_one_of_the_specification() {
        // RFC 8032, section 7.1, test 1.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let pair = KeyPair::from_seed(Zeroizing::new(bytes(seed)));
        assert_eq!(pair.public(), PublicKey::from_bytes(bytes(public)));
    }

    fn bytes(hex: &str) -> [u8; 32] {
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
    }

    #[test]
    fn a_key_survives_the_way_through_its_text_and_is_not_printed() {
        let pair = KeyPair::generate();
        let text = pair.to_text();
        assert_eq!(KeyPair::from_text(&text).unwrap().public(), pair.public());
        assert_eq!(format!("{pair:?}"), format!("KeyPair {{ public: {:?}, .. }}", pair.public()));
        let seed = pair.seed.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let shown = format!("{pair:?} {pair:#?}").to_lowercase();
        assert!(!shown.contains(&seed) && !shown.contains(&text[7..]), "{shown}");
    }

    #[test]
    fn a_public_key_is_no_private_key() {
        let text = KeyPair::generate().public().to_string();
        assert!(matches!(KeyPair::from_text(&text), Err(KeyError::NotAKey)));
    }

    #[cfg(unix)]
    #[test]
    fn a_private_key_file_that_others_can_read_is_refused() {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt as _;
        let path = std::env::temp_dir().join(format!("ampmesh-{}", uuid::Uuid::new_v4()));
        let pair = KeyPair::generate();
        std::fs::write(&path, format!("{}\n", *pair.to_text())).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o644] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let read = KeyPair::from_file(&path);
            assert!(matches!(read, Err(KeyError::Exposed { .. })), "{mode:o}: {read:?}");
        }
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let read = KeyPair::from_file(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.public(), pair.public());
        assert!(matches!(KeyPair::from_file(&path), Err(KeyError::Unreadable { .. })));
    }

    #[test]
    fn a_signature_is_for_one_purpose_one_message_and_one_key() {
        let (pair, other) = (KeyPair::generate(), KeyPair::generate());
        let signature = pair.sign("next key", b"message");
        let holds =
            |key, purpose, message| KeyPair::is_signature(&key, purpose, message, &signature);
        assert!(holds(pair.public(), "next key", b"message"));
        assert!(!holds(other.public(), "next key", b"message"));
        assert!(!holds(pair.public(), "another", b"message"));
        assert!(!holds(pair.public(), "next key", b"massage"));
    }
}
