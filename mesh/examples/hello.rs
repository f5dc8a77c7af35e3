//! A command, answered on a cluster and called from a region: the whole of it in one process.

use amp_proto::{Arguments, Cluster, Command, CommandError, assert_answers, responders};
use cluster::ClusterController;
use mesh::{ClusterId, Listen, Secret};
use region::RegionController;

/// Taste a cheez and rate it.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, response = CheezRating, errors = CheezError)]
pub struct EatCheez {
    pub name: String,
    pub origin: String,
    /// Absent: as old as the cellar has it.
    pub age_months: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub struct CheezRating {
    pub rating: u8,
}

#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
#[non_exhaustive]
pub enum CheezError {
    #[error("no such cheez: {0}")]
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez(String),
}

struct Cellar;

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

assert_answers!(Cellar: EatCheez);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (secret, stockholm) = (Secret::generate(), ClusterId::random());

    let region = RegionController::builder()
        .listen(Listen::loopback())
        .secret(secret.clone())
        .start()
        .await?;
    let cluster = ClusterController::builder()
        .uuid(stockholm)
        .region(region.address())
        .secret(secret)
        .responders(Cellar)
        .start()
        .await?;

    let client = region.get_client_for(stockholm).await?;
    let idiazabal =
        EatCheez { name: "Idiazabal".into(), origin: "Navarre".into(), age_months: None };
    let CheezRating { rating } = client.call(idiazabal).await?;
    println!("Idiazabal is a {rating}");

    cluster.shutdown().await;
    region.shutdown().await;
    Ok(())
}
