//! A stock Twisted process in our mesh, and our cluster in a stock Twisted region.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use amp_proto::{Arguments, CallError, Command, CommandError, Never, responders};
use cluster::ClusterController;
use mesh::{ClusterId, Listen, Secret};
use region::{MemoryRegistry, RegionController};

use super::python::Python;

/// Taste a cheez and rate it.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, response = CheezRating, errors = CheezError)]
pub(super) struct EatCheez {
    pub(super) name: String,
    pub(super) origin: String,
    pub(super) age_months: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(super) struct CheezRating {
    pub(super) rating: u8,
}

#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
pub(super) enum CheezError {
    #[error("the cellar is locked")]
    #[code("CELLAR_LOCKED")]
    CellarLocked,
    #[error("{0}")]
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez(String),
}

/// Add a rating to a cheez's.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Region, response = Ratings)]
pub(super) struct RateCheez {
    pub(super) name: String,
    pub(super) rating: u8,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(super) struct Ratings {
    pub(super) total: u32,
}

pub(super) struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn eat_cheez(&self, cheez: EatCheez) -> Result<CheezRating, CheezError> {
        match cheez.name.as_str() {
            "Idiazabal" => Ok(CheezRating { rating: 9 }),
            _ => Err(CheezError::NoSuchCheez(cheez.name)),
        }
    }
}

#[derive(Default)]
pub(super) struct Tower {
    total: AtomicU32,
}

#[responders]
impl Tower {
    #[responder]
    async fn rate_cheez(&self, it: RateCheez) -> Result<Ratings, Never> {
        let before = self.total.fetch_add(u32::from(it.rating), Ordering::Relaxed);
        Ok(Ratings { total: before + u32::from(it.rating) })
    }
}

pub(super) fn cheez(name: &str) -> EatCheez {
    EatCheez { name: name.to_owned(), origin: "Navarre".to_owned(), age_months: None }
}

pub(super) fn secret_file(secret: &Secret) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secret.to_hex()).unwrap();
    file
}

async fn region(registry: &MemoryRegistry, secret: &Secret) -> RegionController {
    RegionController::builder()
        .listen(Listen::loopback())
        .registry(Arc::new(registry.clone()))
        .secret(secret.clone())
        .responders(Tower::default())
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_twisted_cluster_joins_every_region_is_called_and_calls_back() {
    let (registry, secret) = (MemoryRegistry::new(), Secret::generate());
    let (first, second) = (region(&registry, &secret).await, region(&registry, &secret).await);
    let (file, uuid) = (secret_file(&secret), ClusterId::random());
    let file = file.path().to_str().unwrap();
    let arguments = ["--secret-file", file, "--uuid", &uuid.to_string(), "--rate", "Gouda=6"];
    let mut twisted =
        Python::start("twisted_cluster.py", arguments.into_iter().chain([first.address()]));

    for region in [&first, &second] {
        let client = region.get_client_for(uuid).await.unwrap();
        assert_eq!(client.call(cheez("Idiazabal")).await.unwrap().rating, 9);
        let refused = client.call(cheez("Plastic")).await;
        assert!(matches!(refused, Err(CallError::Declared(CheezError::NoSuchCheez(_)))));
        let locked = client.call(cheez("Casu marzu")).await;
        assert_eq!(locked, Err(CallError::Declared(CheezError::CellarLocked)));
        assert!(client.ping().await.is_ok());
        let described = client.describe().await;
        assert!(matches!(described, Err(CallError::Unhandled { .. })), "{described:?}");
    }
    let rated = twisted.event("rated").await;
    assert_eq!((rated["name"].as_str(), rated["total"].as_u64()), (Some("Gouda"), Some(6)));

    // A third region process appears: the Twisted cluster is told, and connects.
    let third = region(&registry, &secret).await;
    let client = third.get_client_for(uuid).await.unwrap();
    assert_eq!(client.call(cheez("Stilton")).await.unwrap().rating, 8);
    for region in [first, second, third] {
        region.shutdown().await;
    }
}

#[tokio::test]
async fn our_cluster_joins_a_twisted_region_is_called_and_calls_back() {
    let secret = Secret::generate();
    let file = secret_file(&secret);
    let mut twisted =
        Python::start("twisted_region.py", ["--secret-file", file.path().to_str().unwrap()]);
    let port = twisted.event("listening").await["port"].as_u64().unwrap();
    let cluster = ClusterController::builder()
        .region(format!("127.0.0.1:{port}"))
        .secret(secret)
        .responders(Cellar)
        .start()
        .await
        .unwrap();

    let (mut events, mut answered) = (BTreeSet::new(), serde_json::Value::Null);
    while !events.contains("done") {
        let line = twisted.line().await;
        let event = line["event"].as_str().unwrap().to_owned();
        assert!(!["failed", "early"].contains(&event.as_str()), "{line}");
        if event == "answered" {
            answered = line["answer"]["rating"].clone();
        }
        events.insert(event);
    }
    assert_eq!(answered, 9);
    for event in ["authenticated", "identified", "refused", "unhandled"] {
        assert!(events.contains(event), "{event} is not among {events:?}");
    }

    let client = cluster.get_client().await.unwrap();
    let rate = RateCheez { name: "Gouda".to_owned(), rating: 6 };
    assert_eq!(client.call(rate).await.unwrap().total, 6);
    assert!(client.ping().await.is_ok());
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_twisted_cluster_with_a_wrong_secret_is_refused() {
    let registry = MemoryRegistry::new();
    let region = region(&registry, &Secret::generate()).await;
    let (file, uuid) = (secret_file(&Secret::generate()), ClusterId::random().to_string());
    let arguments = ["--secret-file", file.path().to_str().unwrap(), "--uuid", &uuid];
    let mut twisted =
        Python::start("twisted_cluster.py", arguments.into_iter().chain([region.address()]));
    let line = twisted.line().await;
    assert!(["failed", "lost", "refused"].contains(&line["event"].as_str().unwrap()), "{line}");
    assert!(region.get_all_clients().is_empty());
    region.shutdown().await;
}
