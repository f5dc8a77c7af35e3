//! TLS 1.3 over a stream, with raw public keys on both sides.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use amp_proto::PublicKey;
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{AlertDescription, CertificateError, ClientConfig, CommonState, Error, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::pair::KeyPair;
use super::pins::Pins;
use super::verify::{NotPinned, OfClusters, OfRegions, from_spki, to_spki};
use crate::transport::BoxStream;

/// The protocol within TLS, as both sides name it (ALPN): a stream meant for something else is not
/// taken for AMP.
const PROTOCOL: &[u8] = b"ampmesh/1";

/// The key that a process shows, and the keys that it believes.
pub(crate) struct Tls {
    pins: Pins,
    own: RwLock<Arc<Own>>,
}

/// What follows from the process's own key.
struct Own {
    key: PublicKey,
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

/// Why there is no TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TlsError {
    /// The region showed a key that is not pinned.
    NotPinned(PublicKey),
    /// One side did not want the other's way of doing TLS.
    Failed { reason: String },
    /// The stream broke.
    Broken { reason: String },
}

impl Tls {
    pub(crate) fn new(pair: &KeyPair, pins: Pins) -> Self {
        let own = RwLock::new(Arc::new(Own::new(pair, &pins)));
        Self { pins, own }
    }

    /// The regions that are believed.
    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The key that is shown.
    pub(crate) fn key(&self) -> PublicKey {
        self.own().key
    }

    /// Shows another key from now on.
    pub(crate) fn change_key(&self, pair: &KeyPair) {
        let own = Arc::new(Own::new(pair, &self.pins));
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = own;
    }

    fn own(&self) -> Arc<Own> {
        Arc::clone(&self.own.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens a stream to a region. Gives the region's key, and the own key that was shown.
    pub(crate) async fn connect(
        &self,
        stream: BoxStream,
    ) -> Result<(BoxStream, PublicKey, PublicKey), TlsError> {
        // It is not sent: a key is no matter of names.
        let nobody = ServerName::try_from("ampmesh.invalid");
        let nobody = nobody.map_err(|error| TlsError::Failed { reason: error.to_string() })?;
        let own = self.own();
        let stream = own.connector.connect(nobody, stream).await.map_err(|error| judge(&error))?;
        let key = key_of(stream.get_ref().1)?;
        Ok((Box::new(stream), key, own.key))
    }

    /// Accepts a stream from whoever shows a key. Gives it, and the own key that was shown.
    pub(crate) async fn accept(
        &self,
        stream: BoxStream,
    ) -> Result<(BoxStream, PublicKey, PublicKey), TlsError> {
        let own = self.own();
        let stream = own.acceptor.accept(stream).await.map_err(|error| judge(&error))?;
        let key = key_of(stream.get_ref().1)?;
        Ok((Box::new(stream), key, own.key))
    }
}

impl Own {
    #[expect(clippy::expect_used, reason = "what is put together here is fixed, but for the key")]
    fn new(pair: &KeyPair, pins: &Pins) -> Self {
        let provider = Arc::new(CryptoProvider {
            // What needs no agreement about curves beyond the one that everyone has.
            kx_groups: vec![rustls::crypto::ring::kx_group::X25519],
            ..rustls::crypto::ring::default_provider()
        });
        let algorithms = provider.signature_verification_algorithms;
        let key = pair.public();
        let pkcs8 = pair.to_pkcs8();
        let private = PrivatePkcs8KeyDer::from(pkcs8.as_slice());
        let signing =
            rustls::crypto::ring::sign::any_eddsa_type(&private).expect("an Ed25519 key pair");
        let shown = CertificateDer::from(to_spki(&key));
        let shown = Arc::new(CertifiedKey::new(vec![shown], signing));

        let of_regions = Arc::new(OfRegions { pins: pins.clone(), algorithms });
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3 is there")
            .dangerous()
            .with_custom_certificate_verifier(of_regions)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                Arc::clone(&shown),
            )));
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        client.enable_early_data = false;
        client.alpn_protocols = vec![PROTOCOL.to_vec()];

        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3 is there")
            .with_client_cert_verifier(Arc::new(OfClusters { algorithms }))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(shown)));
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];

        let (connector, acceptor) = (Arc::new(client).into(), Arc::new(server).into());
        Self { key, connector, acceptor }
    }
}

/// The key of a peer that means to speak AMP. TLS alone does not see to it: whoever offers no
/// protocol at all is not refused.
fn key_of(peer: &CommonState) -> Result<PublicKey, TlsError> {
    let failed = |reason: &str| TlsError::Failed { reason: reason.to_owned() };
    if peer.alpn_protocol() != Some(PROTOCOL) {
        return Err(failed("the peer does not name the protocol within TLS"));
    }
    let key = peer.peer_certificates().and_then(<[_]>::first).and_then(|spki| from_spki(spki));
    key.ok_or_else(|| failed("the peer shows no key"))
}

fn judge(error: &io::Error) -> TlsError {
    let Some(failed) = error.get_ref().and_then(|error| error.downcast_ref::<Error>()) else {
        return TlsError::Broken { reason: error.to_string() };
    };
    if let Error::InvalidCertificate(CertificateError::Other(other)) = failed
        && let Some(NotPinned(key)) = other.0.downcast_ref()
    {
        return TlsError::NotPinned(*key);
    }
    let reason = match failed {
        Error::InvalidMessage(_) => "the peer does not speak TLS".to_owned(),
        Error::AlertReceived(AlertDescription::CertificateUnknown) => {
            "the peer does not know our key".to_owned()
        }
        failed => failed.to_string(),
    };
    TlsError::Failed { reason }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("key", &self.key()).field("pins", &self.pins).finish()
    }
}
