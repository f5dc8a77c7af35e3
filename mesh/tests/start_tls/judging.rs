//! Whose certificate is believed.

use mesh::{HandshakeError, X509Identity};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt as _, DuplexStream};

use crate::certificates::{Authority, Flaw, NAME, Shown, acceptor, connector};
use crate::world::{Part, agree, meet};

/// A peer that shows this, if anything, and believes `believed`.
struct Peer<'a> {
    shown: Option<Shown>,
    believed: &'a Authority,
    version: &'static SupportedProtocolVersion,
}

impl Peer<'_> {
    /// Takes its part in TLS. Gives what was said within, or what went wrong.
    async fn play(self, part: Part, mut stream: DuplexStream) -> Result<Vec<u8>, String> {
        let Self { shown, believed, version } = self;
        agree(part, &mut stream).await;
        let mut said = vec![0; 256];
        let read = match part {
            Part::Accepts => {
                let connector = connector(shown.as_ref(), believed, version);
                let name = ServerName::try_from(NAME).unwrap();
                let stream = connector.connect(name, stream).await;
                stream.map_err(|error| error.to_string())?.read(&mut said).await
            }
            Part::Dials => {
                let acceptor = acceptor(&shown.unwrap(), believed, version);
                let stream = acceptor.accept(stream).await;
                stream.map_err(|error| error.to_string())?.read(&mut said).await
            }
        };
        said.truncate(read.map_err(|error| error.to_string())?);
        Ok(said)
    }
}

/// How it ends for us, and for the peer.
async fn judged(
    part: Part,
    identity: X509Identity,
    peer: Peer<'_>,
) -> (String, Result<Vec<u8>, String>) {
    let (ours, theirs) = meet(part, identity, async |stream| peer.play(part, stream).await).await;
    // Whoever gets into TLS is asked for a proof, and gives none here.
    (ours.unwrap_err().to_string(), theirs)
}

fn is_challenge(said: &[u8]) -> bool {
    said.windows(12).any(|window| window == b"Authenticate")
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_the_authority_gets_a_peer_into_tls_and_to_the_challenge() {
    for part in [Part::Dials, Part::Accepts] {
        let authority = Authority::new();
        let shown = Some(authority.sign());
        let peer = Peer { shown, believed: &authority, version: &TLS13 };
        let (_, said) = judged(part, authority.identity(), peer).await;
        assert!(is_challenge(&said.unwrap()), "{part:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_with_somebody_in_between_is_followed() {
    for part in [Part::Dials, Part::Accepts] {
        let authority = Authority::new();
        let between = authority.delegate();
        let mut shown = between.sign();
        shown.certificate.push_str(&between.pem);
        let (ours, theirs) = (shown.believing(&authority), Some(shown));
        let peer = Peer { shown: theirs, believed: &authority, version: &TLS13 };
        let (_, said) = judged(part, ours, peer).await;
        assert!(is_challenge(&said.unwrap()), "{part:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_another_authority_is_refused_also_of_one_by_the_same_name() {
    for part in [Part::Dials, Part::Accepts] {
        for (name, what) in [("another", "UnknownIssuer"), ("an authority", "BadSignature")] {
            let (authority, other) = (Authority::new(), Authority::named(name));
            let shown = Some(other.sign());
            let peer = Peer { shown, believed: &authority, version: &TLS13 };
            let (refused, said) = judged(part, authority.identity(), peer).await;
            let expected = format!("TLS failed: invalid peer certificate: {what}");
            assert_eq!(refused, expected, "{part:?}");
            assert!(!said.is_ok_and(|said| is_challenge(&said)), "{part:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_refuses_our_certificate_is_told_of_as_such() {
    for part in [Part::Dials, Part::Accepts] {
        let (authority, other) = (Authority::new(), Authority::named("another"));
        let shown = Some(authority.sign());
        let peer = Peer { shown, believed: &authority, version: &TLS13 };
        let (refused, said) = judged(part, other.sign().believing(&authority), peer).await;
        assert_eq!(refused, "TLS failed: the peer refuses what we show: UnknownCA", "{part:?}");
        assert!(said.is_err(), "{part:?}: {said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_shows_no_certificate_is_refused() {
    let authority = Authority::new();
    let peer = Peer { shown: None, believed: &authority, version: &TLS13 };
    let (refused, said) = judged(Part::Accepts, authority.identity(), peer).await;
    assert_eq!(refused, "TLS failed: the peer shows no certificate");
    assert!(!said.is_ok_and(|said| is_challenge(&said)));
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_is_out_of_its_time_or_for_something_else_is_refused() {
    for part in [Part::Dials, Part::Accepts] {
        for flaw in [Flaw::Expired, Flaw::NotYet, Flaw::ForMailAlone, Flaw::IsAnAuthority] {
            let authority = Authority::new();
            let shown = Some(authority.sign_with(flaw));
            let peer = Peer { shown, believed: &authority, version: &TLS13 };
            let (refused, said) = judged(part, authority.identity(), peer).await;
            let start = "TLS failed: invalid peer certificate: ";
            assert!(refused.starts_with(start), "{part:?} {flaw:?}: {refused}");
            assert!(!said.is_ok_and(|said| is_challenge(&said)), "{part:?} {flaw:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_tls_1_2_alone_is_refused() {
    for part in [Part::Dials, Part::Accepts] {
        let authority = Authority::new();
        let shown = Some(authority.sign());
        let peer = Peer { shown, believed: &authority, version: &TLS12 };
        let (refused, said) = judged(part, authority.identity(), peer).await;
        assert!(refused.starts_with("TLS failed: "), "{part:?}: {refused}");
        assert!(said.is_err(), "{part:?}: {said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_off_in_tls_is_lost_and_nothing_else() {
    for part in [Part::Dials, Part::Accepts] {
        let (refused, ()) = meet(part, Authority::new().identity(), async |mut stream| {
            agree(part, &mut stream).await;
        })
        .await;
        assert!(matches!(refused, Err(HandshakeError::Lost(_))), "{part:?}: {refused:?}");
    }
}
