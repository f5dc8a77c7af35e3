//! The certificate for StartTLS, as settings say where it is.

use std::path::PathBuf;

use mesh::{X509Error, X509Identity};

use super::{ConfigError, File};
use crate::cli::ProcessArgs;

/// Where the certificate is, its private key, and the authorities that are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartTlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    authorities: PathBuf,
}

impl StartTlsFiles {
    /// Lays `flags` over `file`. `None`: nobody names any of the three.
    ///
    /// # Errors
    /// [`ConfigError::StartTlsIncomplete`] when somebody names some of them.
    pub(crate) fn resolve(flags: &ProcessArgs, file: &File) -> Result<Option<Self>, ConfigError> {
        let layered =
            |flag: &Option<PathBuf>, own: &Option<PathBuf>| flag.as_ref().or(own.as_ref()).cloned();
        let files = [
            layered(&flags.start_tls_certificate_file, &file.start_tls_certificate_file),
            layered(&flags.start_tls_key_file, &file.start_tls_key_file),
            layered(&flags.start_tls_authorities_file, &file.start_tls_authorities_file),
        ];
        let missing = match files {
            [Some(certificate), Some(key), Some(authorities)] => {
                return Ok(Some(Self { certificate, key, authorities }));
            }
            [None, None, None] => return Ok(None),
            [None, ..] => "start-tls-certificate-file",
            [_, None, _] => "start-tls-key-file",
            [.., None] => "start-tls-authorities-file",
        };
        Err(ConfigError::StartTlsIncomplete { missing })
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`X509Error`].
    pub(crate) fn read(&self) -> Result<X509Identity, X509Error> {
        X509Identity::from_pem_files(&self.certificate, &self.key, &self.authorities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(certificate: Option<&str>, key: Option<&str>) -> ProcessArgs {
        ProcessArgs {
            start_tls_certificate_file: certificate.map(Into::into),
            start_tls_key_file: key.map(Into::into),
            ..ProcessArgs::default()
        }
    }

    #[test]
    fn a_certificate_is_whole_only_with_its_key_and_whom_to_believe() {
        let file = |text: &str| toml::from_str::<File>(text).unwrap();
        let nobody = StartTlsFiles::resolve(&flags(None, None), &File::default());
        assert_eq!(nobody.unwrap(), None);
        let missing = StartTlsFiles::resolve(&flags(Some("/c"), Some("/k")), &File::default());
        let words = missing.unwrap_err().to_string();
        assert!(words.contains("`start-tls-authorities-file` is missing"), "{words}");
        let missing =
            StartTlsFiles::resolve(&flags(None, None), &file("start-tls-key-file = '/k'"));
        let words = missing.unwrap_err().to_string();
        assert!(words.contains("`start-tls-certificate-file` is missing"), "{words}");

        let rest = file("start-tls-key-file = '/f'\nstart-tls-authorities-file = '/a'");
        let whole = StartTlsFiles::resolve(&flags(Some("/c"), Some("/k")), &rest).unwrap();
        let [certificate, key, authorities] = ["/c", "/k", "/a"].map(PathBuf::from);
        assert_eq!(whole, Some(StartTlsFiles { certificate, key, authorities }));
    }
}
