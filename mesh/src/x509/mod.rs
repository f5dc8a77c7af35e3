//! Certificates, for peers that know no raw keys: TLS by X.509 within Twisted's `StartTLS`.
//!
//! A process has a chain of certificates of its own, the private key to it, and the authorities
//! that it believes. Both sides show a certificate, and each is judged by whether one of the
//! authorities stands behind it. That protects the way, and says nothing of who may do what:
//! whoever comes this way still has to know the shared secret. [`X509Identity`] is where to start.

mod identity;
mod tls;

pub use self::identity::{X509Error, X509Identity};
pub(crate) use self::tls::words_of;
