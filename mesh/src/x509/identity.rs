//! What a process shows and believes, as it stands in PEM files.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::tls::Ends;
use crate::regular::open_regular;

/// A certificate with its private key, and the authorities whose certificates are believed, for
/// [`StartTls`](crate::commands::StartTls). The private key is never printed. It is read once: a
/// new certificate takes a new start of the process.
///
/// # Limits
/// [`X509Identity::PEM_BYTES_MAX`] for each file, [`X509Identity::CHAIN_MAX`] certificates of its
/// own, [`X509Identity::AUTHORITIES_MAX`] authorities.
#[derive(Clone)]
pub struct X509Identity {
    pub(super) ends: Ends,
    authorities: usize,
}

/// Why there is no identity by certificate. The fault is this machine's set-up; the text says what
/// to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum X509Error {
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        error: std::io::Error,
    },
    /// Others can read the file of the private key, so somebody else may have it.
    #[error(
        "the private key {} can be read by other users, who may have copied it: have a new \
         certificate made for a new key, or `chmod 600` it if you are sure that nobody has",
        .path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// A file is longer than [`X509Identity::PEM_BYTES_MAX`], so it is something else.
    #[error("{} is longer than {} bytes", .path.display(), X509Identity::PEM_BYTES_MAX)]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// What is between the lines of PEM is not what it should be.
    #[error("the {what} cannot be read as PEM: {reason}")]
    NotPem {
        /// What was looked for.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is none of what was looked for.
    #[error("there is no {what} in PEM, which begins with `-----BEGIN {label}-----`")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// How it would begin.
        label: &'static str,
    },
    /// There are more certificates than a chain, or a list of authorities, may have.
    #[error("there are more than {max} {what}s")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// An authority's certificate is none that signatures can be held against.
    #[error("an authority cannot be used: {reason}")]
    BadAuthority {
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate is of another key than the private one, or either is of a kind that TLS 1.3
    /// does not know.
    #[error("the certificate and the private key cannot be used together: {reason}")]
    Unusable {
        /// What is wrong.
        reason: String,
    },
}

const CERTIFICATE: &str = "certificate";
const AUTHORITY: &str = "authority's certificate";
const PRIVATE_KEY: &str = "private key";

impl X509Identity {
    /// The most bytes that a file is read of: 1 MiB, some hundreds of certificates.
    pub const PEM_BYTES_MAX: u64 = 1024 * 1024;
    /// The most certificates that a process shows: its own and those between it and an authority.
    pub const CHAIN_MAX: usize = 10;
    /// The most authorities that are believed.
    pub const AUTHORITIES_MAX: usize = 256;

    /// Reads three PEM files: the own certificate, followed by those between it and an authority,
    /// if there are any; the private key to it, in a file that nobody else can read; the
    /// certificates of the authorities that are believed.
    ///
    /// The key is PKCS #8, PKCS #1 or SEC 1, and not encrypted.
    ///
    /// # Errors
    /// [`X509Error`].
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
        authorities: impl AsRef<Path>,
    ) -> Result<Self, X509Error> {
        let certificate = read(certificate.as_ref(), MayRead::Everybody)?;
        let key = read(key.as_ref(), MayRead::OwnerAlone)?;
        let authorities = read(authorities.as_ref(), MayRead::Everybody)?;
        Self::from_pem(&certificate, &key, &authorities)
    }

    /// As [`X509Identity::from_pem_files`], from what stands in such files.
    ///
    /// # Errors
    /// [`X509Error`].
    pub fn from_pem(certificate: &[u8], key: &[u8], authorities: &[u8]) -> Result<Self, X509Error> {
        let chain = certificates(certificate, CERTIFICATE, Self::CHAIN_MAX)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| explain(&error, PRIVATE_KEY, "PRIVATE KEY"))?;
        let believed = certificates(authorities, AUTHORITY, Self::AUTHORITIES_MAX)?;
        let mut roots = RootCertStore::empty();
        for authority in believed {
            let added = roots.add(authority);
            added.map_err(|error| X509Error::BadAuthority { reason: error.to_string() })?;
        }
        let authorities = roots.len();
        let ends = Ends::new(chain, key, roots)
            .map_err(|error| X509Error::Unusable { reason: error.to_string() })?;
        Ok(Self { ends, authorities })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MayRead {
    Everybody,
    OwnerAlone,
}

fn read(path: &Path, who: MayRead) -> Result<Zeroizing<Vec<u8>>, X509Error> {
    let unreadable = |error| X509Error::Unreadable { path: path.to_owned(), error };
    let file = open_regular(path).map_err(unreadable)?;
    #[cfg(unix)]
    if who == MayRead::OwnerAlone {
        use std::os::unix::fs::PermissionsExt as _;
        // Of the file that is read, whatever stands at the path by now.
        let mode = file.metadata().map_err(unreadable)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(X509Error::Exposed { path: path.to_owned() });
        }
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(8 * 1024));
    file.take(X509Identity::PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read > X509Identity::PEM_BYTES_MAX) {
        return Err(X509Error::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

fn certificates(
    pem: &[u8],
    what: &'static str,
    max: usize,
) -> Result<Vec<CertificateDer<'static>>, X509Error> {
    let found = CertificateDer::pem_slice_iter(pem).take(max + 1);
    let found = found.collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| explain(&error, what, "CERTIFICATE"))?;
    match found.len() {
        0 => Err(X509Error::Missing { what, label: "CERTIFICATE" }),
        some if some > max => Err(X509Error::TooMany { what, max }),
        _ => Ok(found),
    }
}

/// What is wrong with the PEM, without a byte of it: it may be a private key's.
fn explain(
    error: &rustls::pki_types::pem::Error,
    what: &'static str,
    label: &'static str,
) -> X509Error {
    use rustls::pki_types::pem::Error;
    let reason = match error {
        Error::NoItemsFound => return X509Error::Missing { what, label },
        Error::MissingSectionEnd { .. } => "a section has no end",
        Error::IllegalSectionStart { .. } => "a section begins in no known way",
        Error::Base64Decode(_) => "a section is not base 64",
        _ => "it is malformed",
    };
    X509Error::NotPem { what, reason: reason.to_owned() }
}

impl fmt::Debug for X509Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Identity")
            .field("authorities", &self.authorities)
            .finish_non_exhaustive()
    }
}
