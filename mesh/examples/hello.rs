//! A command, answered on a cluster and called from a region: the whole of it in one process.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use amp_proto::{Arguments, Command, CommandError, assert_answers, responders};
use cluster::ClusterController;
use region::{ClusterId, Listen, RegionController, Secret};

// ANCHOR: declare
/// Taste a cheez and rate it.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, response = CheezRating, errors = CheezError)]
struct EatCheez {
    name: String,
    origin: String,
}
// ANCHOR_END: declare

// ANCHOR: response
#[derive(Clone, Debug, PartialEq, Arguments)]
struct CheezRating {
    rating: u8,
}
// ANCHOR_END: response

// ANCHOR: error
#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
enum CheezError {
    #[error("no such cheez: {0}")]
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez(String),
}
// ANCHOR_END: error

/// What a cluster has to answer from.
struct Cellar {
    shelf: Vec<(&'static str, u8)>,
}

// ANCHOR: answer
#[responders]
impl Cellar {
    #[responder]
    async fn eat_cheez(&self, cheez: EatCheez) -> Result<CheezRating, CheezError> {
        let found = self.shelf.iter().find(|(name, _)| *name == cheez.name);
        let (_, rating) = found.ok_or(CheezError::NoSuchCheez(cheez.name))?;
        Ok(CheezRating { rating: *rating })
    }
}
// ANCHOR_END: answer

assert_answers!(Cellar: EatCheez);

// ANCHOR: call
async fn taste(region: &RegionController, cellar: ClusterId) -> Result<u8, Box<dyn Error>> {
    let idiazabal = EatCheez { name: "Idiazabal".into(), origin: "Navarre".into() };
    let CheezRating { rating } = region.get_client_for(cellar).await?.call(idiazabal).await?;
    Ok(rating)
}
// ANCHOR_END: call

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (secret, stockholm) = (Secret::generate(), ClusterId::random());
    let region = RegionController::builder().listen(Listen::loopback()).secret(secret.clone());
    let region = region.start().await?;

    let cellar = Cellar { shelf: vec![("Idiazabal", 9), ("Gouda", 6)] };
    let cluster = ClusterController::builder().uuid(stockholm).secret(secret);
    let cluster = cluster.region(region.address()).responders(cellar).start().await?;

    println!("Idiazabal is a {}", taste(&region, stockholm).await?);

    cluster.shutdown().await;
    region.shutdown().await;
    Ok(())
}
