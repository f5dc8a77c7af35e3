//! Whose key a peer shows, and that it has the private half.
//!
//! Both sides show the SubjectPublicKeyInfo of an Ed25519 key, nothing else, and sign the handshake
//! with it. Who may do what with which key is for others to say, but for one thing: a cluster does
//! not finish a handshake with a region whose key it does not know.

use std::sync::Arc;

use amp_proto::PublicKey;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, SignatureScheme,
};

use super::pins::Pins;

/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const BEFORE_KEY: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

pub(super) fn to_spki(key: &PublicKey) -> Vec<u8> {
    [&BEFORE_KEY[..], key.as_bytes()].concat()
}

pub(super) fn from_spki(spki: &[u8]) -> Option<PublicKey> {
    let key = spki.strip_prefix(&BEFORE_KEY)?;
    key.try_into().ok().map(PublicKey::from_bytes)
}

/// The region's key is none that is known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key {0} is not known here")]
pub(super) struct NotPinned(pub(super) PublicKey);

/// How a cluster judges the key of a region.
#[derive(Debug)]
pub(super) struct OfRegions {
    pub(super) pins: Pins,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// How a region judges the key of a cluster, as far as TLS goes: it has to be one, and the
/// cluster's. Whether it is enrolled is looked up afterwards.
#[derive(Debug)]
pub(super) struct OfClusters {
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

fn shown(
    end_entity: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> Result<PublicKey, Error> {
    let key = from_spki(end_entity).filter(|_| others.is_empty());
    key.ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn verify(
    message: &[u8],
    shown: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let spki = SubjectPublicKeyInfoDer::from(shown.as_ref());
    verify_tls13_signature_with_raw_key(message, &spki, signed, algorithms)
}

/// There is no TLS 1.2 here, and raw keys are not for it.
fn refuse_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
}

impl ServerCertVerifier for OfRegions {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = shown(end_entity, intermediates)?;
        if self.pins.contains(&key) {
            return Ok(ServerCertVerified::assertion());
        }
        let error = OtherError(Arc::new(NotPinned(key)));
        Err(Error::InvalidCertificate(CertificateError::Other(error)))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(message, shown, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for OfClusters {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        shown(end_entity, intermediates).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        refuse_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify(message, shown, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
