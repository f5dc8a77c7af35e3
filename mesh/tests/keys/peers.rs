//! Peers in TLS that are nothing of ours: they believe everybody, and show what they are told to.

use std::sync::Arc;

use amp_proto::checked_text;
use mesh::KeyPair;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, ResolvesClientCert};
use rustls::crypto::ring::default_provider;
use rustls::crypto::ring::sign::any_eddsa_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio_rustls::TlsConnector;

/// What both sides mean to speak within TLS.
const PROTOCOL: &[u8] = b"ampmesh/1";

/// Believes everybody; a raw key, or the certificate of whoever has one.
#[derive(Debug)]
struct Gullible {
    raw: bool,
}

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.raw
    }
}

impl ClientCertVerifier for Gullible {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.raw
    }
}

/// Says that it will show a raw key, and shows none.
#[derive(Debug)]
struct Bluff;

impl ResolvesClientCert for Bluff {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Bluff {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }
}

/// What somebody shows in TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shows<'a> {
    Nothing,
    LessThanItSays,
    Certificate,
    Key(&'a KeyPair),
}

/// A client of TLS 1.3 that believes everybody.
pub(crate) fn connector(raw: bool, shows: Shows<'_>) -> TlsConnector {
    TlsConnector::from(Arc::new(client(raw, shows, &TLS13)))
}

pub(crate) fn client(
    raw: bool,
    shows: Shows<'_>,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let mut config = client_of(raw, shows, version);
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config
}

fn client_of(
    raw: bool,
    shows: Shows<'_>,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible { raw }));
    match shows {
        Shows::Certificate => {
            let (chain, key) = certificate();
            config.with_client_auth_cert(chain, key).unwrap()
        }
        Shows::LessThanItSays => config.with_client_cert_resolver(Arc::new(Bluff)),
        Shows::Nothing => config.with_no_client_auth(),
        Shows::Key(pair) => {
            let key = AlwaysResolvesClientRawPublicKeys::new(certified(pair));
            config.with_client_cert_resolver(Arc::new(key))
        }
    }
}

/// A server of TLS that believes everybody, and gives out tickets.
pub(crate) fn server(
    raw: bool,
    shows: Shows<'_>,
    version: &'static SupportedProtocolVersion,
) -> ServerConfig {
    let mut config = server_of(raw, shows, version);
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config
}

fn server_of(
    raw: bool,
    shows: Shows<'_>,
    version: &'static SupportedProtocolVersion,
) -> ServerConfig {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(Arc::new(Gullible { raw }));
    match shows {
        Shows::Certificate => {
            let (chain, key) = certificate();
            config.with_single_cert(chain, key).unwrap()
        }
        Shows::Nothing | Shows::LessThanItSays => config.with_cert_resolver(Arc::new(Bluff)),
        Shows::Key(pair) => {
            let key = AlwaysResolvesServerRawPublicKeys::new(certified(pair));
            config.with_cert_resolver(Arc::new(key))
        }
    }
}

fn certificate() -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = include_bytes!("../data/throw-away-certificate.der").to_vec();
    let key = include_bytes!("../data/throw-away-key.der").to_vec();
    (vec![certificate.into()], PrivatePkcs8KeyDer::from(key).into())
}

/// A key pair as TLS wants it: both halves in the forms of RFC 8410.
fn certified(pair: &KeyPair) -> Arc<CertifiedKey> {
    const BEFORE_SEED: &[u8] = b"\x30\x2e\x02\x01\0\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    const BEFORE_KEY: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\0";
    let seed = checked_text::read("ampkey1", &pair.to_text()).unwrap();
    let private = PrivatePkcs8KeyDer::from([BEFORE_SEED, &seed].concat());
    let public = [BEFORE_KEY, pair.public().as_bytes()].concat();
    let signing = any_eddsa_type(&private).unwrap();
    Arc::new(CertifiedKey::new(vec![public.into()], signing))
}
