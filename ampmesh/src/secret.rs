//! The shared secret as a file.

use std::path::Path;

use mesh::{Secret, SecretError};

use crate::config::{ConfigError, SecretPlace};
use crate::private;

/// The secret of a region process: what the file holds, or a new one where there is none. Gives
/// whether it is new.
///
/// # Errors
/// [`SecretError`], [`ConfigError::BadSecret`], [`private::PrivateError`].
pub(crate) fn read_or_make(place: &SecretPlace) -> anyhow::Result<(Secret, bool)> {
    match place {
        SecretPlace::Given(path) => Ok((from_file(path)?, false)),
        SecretPlace::Usual(path) => {
            let made = make(path)?;
            Ok((from_file(path)?, made))
        }
    }
}

/// The secret of a cluster process. It is never made here: it would be no other process's.
///
/// # Errors
/// [`ConfigError::NoSecret`], [`ConfigError::BadSecret`], [`SecretError`].
pub(crate) fn read(place: &SecretPlace) -> anyhow::Result<Secret> {
    let path = place.path();
    match Secret::from_file(path) {
        Err(SecretError::Unreadable { error, .. })
            if error.kind() == std::io::ErrorKind::NotFound =>
        {
            Err(ConfigError::NoSecret { path: path.to_owned() }.into())
        }
        read => read.map_err(|error| naming(path, error)),
    }
}

fn from_file(path: &Path) -> anyhow::Result<Secret> {
    Secret::from_file(path).map_err(|error| naming(path, error))
}

/// The error with the name of the file, if it has not told that itself.
fn naming(path: &Path, error: SecretError) -> anyhow::Error {
    match error {
        SecretError::NotHex | SecretError::TooShort { .. } => {
            ConfigError::BadSecret { path: path.to_owned(), error }.into()
        }
        told => told.into(),
    }
}

/// Writes a new secret to `path`, unless there is a file. Gives whether it did.
///
/// # Errors
/// [`private::PrivateError`].
pub(crate) fn make(path: &Path) -> Result<bool, private::PrivateError> {
    private::write_new_file(path, || format!("{}\n", Secret::generate().to_hex()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_region_makes_its_secret_once() {
        let scratch = Scratch::new().unwrap();
        let place = SecretPlace::Usual(scratch.path().join("secret"));
        let (first, made) = read_or_make(&place).unwrap();
        assert!(made);
        let (again, made) = read_or_make(&place).unwrap();
        assert!(!made);
        assert_eq!(first.to_hex(), again.to_hex());
    }

    #[test]
    fn a_secret_that_was_named_is_never_made() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("secret");
        assert!(read_or_make(&SecretPlace::Given(path.clone())).is_err());
        assert!(!path.exists());
        let error = read(&SecretPlace::Usual(path)).unwrap_err();
        assert!(error.to_string().contains("copy the file `secret`"), "{error}");
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused_with_what_to_do() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("secret");
        make(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = read(&SecretPlace::Given(path)).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_file_without_a_secret_in_it_is_named_and_its_content_is_not() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().join("secret");
        private::write_new_file(&path, || "drowssap-drowssap".to_owned()).unwrap();
        let place = SecretPlace::Usual(path.clone());
        for error in [read(&place).unwrap_err(), read_or_make(&place).unwrap_err()] {
            assert_eq!(
                format!("{error:#}"),
                format!(
                    "the secret file {} cannot be used: the secret is not written in hexadecimal \
                     digits, two for each byte",
                    path.display()
                )
            );
        }
    }
}
