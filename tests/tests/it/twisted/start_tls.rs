//! Stock Twisted processes that start TLS, in either role, with certificates made for the test.

use std::path::PathBuf;
use std::time::Duration;

use amp_proto::CallError;
use cluster::{ClusterBuilder, ClusterController};
use mesh::{BackoffSettings, ClusterId, Listen, Secret, X509Identity};
use mesh_harness::Logs;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use region::{RegionBuilder, RegionController};
use tempfile::{NamedTempFile, TempDir};

use super::mesh::{Cellar, CheezError, RateCheez, Tower, cheez, secret_file};
use super::python::Python;

/// Far more than anything here takes, also on a machine with too much to do.
const SOON: Duration = Duration::from_secs(20);

/// Somebody who signs certificates, and the files with what was signed.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority"), &pem).unwrap();
        Self { folder, issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its private key, in PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        (certificate, key.serialize_pem())
    }

    fn ours(&self, believed: &Self) -> X509Identity {
        let (certificate, key) = self.sign("ours");
        let believed = believed.pem.as_bytes();
        X509Identity::from_pem(certificate.as_bytes(), key.as_bytes(), believed).unwrap()
    }

    /// The flags of a stock peer that shows a certificate of this authority.
    fn theirs(&self, believed: &Self) -> Vec<String> {
        let (certificate, key) = self.sign("theirs");
        let own = self.folder.path().join("theirs");
        std::fs::write(&own, certificate + &key).unwrap();
        [vec!["--certificate".to_owned(), text(own)], believed.believed()].concat()
    }

    fn believed(&self) -> Vec<String> {
        vec!["--authority".to_owned(), text(self.folder.path().join("authority"))]
    }
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap()
}

/// What both sides know.
struct Shared {
    secret: Secret,
    file: NamedTempFile,
}

impl Shared {
    fn new() -> Self {
        let secret = Secret::generate();
        Self { file: secret_file(&secret), secret }
    }

    fn flags(&self) -> [&str; 2] {
        ["--secret-file", self.file.path().to_str().unwrap()]
    }

    fn region(&self) -> RegionBuilder {
        let region = RegionController::builder().listen(Listen::loopback());
        region.secret(self.secret.clone()).responders(Tower::default())
    }

    fn cluster(&self, port: u64) -> ClusterBuilder {
        let (first, max) = (Duration::from_millis(10), Duration::from_millis(50));
        let backoff = BackoffSettings { first, max, ..BackoffSettings::default() };
        let cluster = ClusterController::builder().region(format!("127.0.0.1:{port}"));
        cluster.secret(self.secret.clone()).backoff(backoff).client_wait(SOON).responders(Cellar)
    }

    fn twisted_cluster(&self, script: &str, tls: &[String], uuid: &str, at: &str) -> Python {
        let tls = tls.iter().map(String::as_str);
        let own = ["--uuid", uuid, "--rate", "Gouda=6"];
        Python::start(script, self.flags().into_iter().chain(own).chain(tls).chain([at]))
    }

    async fn twisted_region(&self, script: &str, tls: &[String]) -> (Python, u64) {
        let tls = tls.iter().map(String::as_str);
        let mut twisted = Python::start(script, self.flags().into_iter().chain(tls));
        let port = twisted.event("listening").await["port"].as_u64().unwrap();
        (twisted, port)
    }
}

/// Waits until the log has a line with `event`, and gives it.
async fn logged(logs: &Logs, event: &str) -> String {
    let found = async {
        loop {
            if let Some(line) = logs.lines_with(event).into_iter().next() {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, found).await.unwrap_or_else(|_| panic!("{}", logs.text()))
}

#[tokio::test]
async fn a_twisted_cluster_starts_tls_is_called_and_calls_back() {
    let (authority, shared) = (Authority::new("the authority"), Shared::new());
    let region = shared.region().start_tls(authority.ours(&authority)).start().await.unwrap();
    let (uuid, tls) = (ClusterId::random(), authority.theirs(&authority));
    let id = uuid.to_string();
    let mut twisted = shared.twisted_cluster("start_tls_cluster.py", &tls, &id, region.address());
    let client = region.get_client_for_within(uuid, SOON).await.unwrap();
    assert_eq!(client.call(cheez("Idiazabal")).await.unwrap().rating, 9);
    let refused = client.call(cheez("Plastic")).await;
    assert!(matches!(refused, Err(CallError::Declared(CheezError::NoSuchCheez(_)))));
    client.ping().await.unwrap();
    assert_eq!(twisted.event("secured").await["name"], "ours");
    assert_eq!(twisted.event("rated").await["total"], 6);
    drop(twisted);
    region.shutdown().await;
}

#[tokio::test]
async fn our_cluster_starts_tls_with_a_twisted_region_is_called_and_calls_back() {
    let (authority, shared) = (Authority::new("the authority"), Shared::new());
    let tls = authority.theirs(&authority);
    let (mut twisted, port) = shared.twisted_region("start_tls_region.py", &tls).await;
    let cluster = shared.cluster(port).start_tls(authority.ours(&authority));
    let cluster = cluster.start().await.unwrap();
    // It is asked two cheezes and one thing that nobody answers, in this order.
    for event in ["authenticated", "identified", "answered", "refused", "unhandled", "done"] {
        twisted.event(event).await;
    }
    assert_eq!(twisted.event("secured").await["name"], "ours");
    let client = cluster.get_client().await.unwrap();
    let rate = RateCheez { name: "Gouda".to_owned(), rating: 6 };
    assert_eq!(client.call(rate).await.unwrap().total, 6);
    client.ping().await.unwrap();
    cluster.shutdown().await;
}

/// What our region says of a stock cluster that it refuses.
async fn region_refuses(script: &str, tls: &[String], identity: X509Identity) -> String {
    let (logs, shared) = (Logs::capture(), Shared::new());
    let region = shared.region().start_tls(identity).start().await.unwrap();
    let uuid = ClusterId::random().to_string();
    let _twisted = shared.twisted_cluster(script, tls, &uuid, region.address());
    let line = logged(&logs, "a connection was refused").await;
    assert!(region.get_all_clients().is_empty());
    assert!(logs.lines_with("a cluster is connected").is_empty());
    line
}

#[tokio::test]
async fn a_twisted_cluster_with_a_certificate_of_another_authority_is_refused() {
    let [authority, other] = ["the authority", "another"].map(Authority::new);
    let (ours, theirs) = (authority.ours(&authority), other.theirs(&authority));
    let line = region_refuses("start_tls_cluster.py", &theirs, ours).await;
    assert!(line.contains("invalid peer certificate: UnknownIssuer"), "{line}");
}

#[tokio::test]
async fn a_twisted_cluster_that_does_not_believe_our_authority_does_not_get_to_the_proof() {
    let [authority, other] = ["the authority", "another"].map(Authority::new);
    let (ours, theirs) = (other.ours(&authority), authority.theirs(&authority));
    let line = region_refuses("start_tls_cluster.py", &theirs, ours).await;
    assert!(line.contains("the peer refuses what we show: UnknownCA"), "{line}");
}

#[tokio::test]
async fn a_twisted_cluster_without_a_certificate_is_refused() {
    let authority = Authority::new("the authority");
    let (ours, theirs) = (authority.ours(&authority), authority.believed());
    let line = region_refuses("start_tls_cluster.py", &theirs, ours).await;
    assert!(line.contains("the peer shows no certificate"), "{line}");
}

#[tokio::test]
async fn a_twisted_cluster_that_does_not_start_tls_is_refused_where_it_is_required() {
    let authority = Authority::new("the authority");
    let line = region_refuses("twisted_cluster.py", &[], authority.ours(&authority)).await;
    assert!(line.contains("asked `Authenticate` in the clear"), "{line}");
}

/// What our cluster says of a stock region that it does not go on with.
async fn cluster_refuses(script: &str, tls: &[String], identity: X509Identity) -> String {
    let (logs, shared) = (Logs::capture(), Shared::new());
    let (_twisted, port) = shared.twisted_region(script, tls).await;
    let cluster = shared.cluster(port).start_tls(identity).start().await.unwrap();
    let line = tokio::select! {
        line = logged(&logs, "could not join a region") => line,
        line = logged(&logs, "a region refused us") => line,
    };
    assert!(logs.lines_with("connected to a region").is_empty());
    cluster.shutdown().await;
    line
}

#[tokio::test]
async fn a_twisted_region_with_a_certificate_of_another_authority_is_left() {
    let [authority, other] = ["the authority", "another"].map(Authority::new);
    let (ours, theirs) = (authority.ours(&authority), other.theirs(&authority));
    let line = cluster_refuses("start_tls_region.py", &theirs, ours).await;
    assert!(line.contains("invalid peer certificate: UnknownIssuer"), "{line}");
}

#[tokio::test]
async fn a_twisted_region_that_does_not_believe_our_authority_does_not_get_to_the_proof() {
    let [authority, other] = ["the authority", "another"].map(Authority::new);
    let (ours, theirs) = (other.ours(&authority), authority.theirs(&authority));
    let line = cluster_refuses("start_tls_region.py", &theirs, ours).await;
    assert!(line.contains("the peer refuses what we show: UnknownCA"), "{line}");
}

#[tokio::test]
async fn a_twisted_region_that_makes_a_certificate_up_as_twisted_does_is_left() {
    let authority = Authority::new("the authority");
    let line = cluster_refuses("start_tls_region.py", &[], authority.ours(&authority)).await;
    assert!(line.contains("TLS failed: invalid peer certificate"), "{line}");
}

#[tokio::test]
async fn a_twisted_region_that_asks_for_a_proof_in_the_clear_is_left() {
    let authority = Authority::new("the authority");
    let line = cluster_refuses("twisted_region.py", &[], authority.ours(&authority)).await;
    assert!(line.contains("asked `Authenticate` in the clear"), "{line}");
}
