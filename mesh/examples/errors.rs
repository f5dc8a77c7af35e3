//! How a call ends without a response. What takes more to bring about is in `more_errors`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use amp_proto::{CallError, Command, CommandError, Failure, responders};
use cluster::ClusterController;
use region::{ClusterId, Listen, RegionController, Secret};

/// Open a cheez.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, errors = CheezError)]
struct OpenCheez {
    name: String,
}

// ANCHOR: declare
#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
enum CheezError {
    #[error("no such cheez: {0}")]
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez(String),
    #[error("the cellar is on fire")]
    #[code("FIRE", fatal)]
    Fire,
}
// ANCHOR_END: declare

/// Close a cheez. Nobody here answers it.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster)]
struct CloseCheez;

struct Cellar;

// ANCHOR: fail
#[responders]
impl Cellar {
    #[responder]
    async fn open_cheez(&self, OpenCheez { name }: OpenCheez) -> Result<(), Failure<CheezError>> {
        match name.as_str() {
            "Gouda" => Ok(()),
            "Roquefort" => "mould".parse::<u8>().map(drop).map_err(Failure::undeclared),
            "Parmesan" => std::future::pending().await, // it takes years
            "Raclette" => Err(CheezError::Fire)?,
            _ => Err(CheezError::NoSuchCheez(name))?,
        }
    }
}
// ANCHOR_END: fail

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (secret, cellar) = (Secret::generate(), ClusterId::random());
    let region = RegionController::builder().listen(Listen::loopback()).secret(secret.clone());
    let region = region.start().await?;
    let cluster = ClusterController::builder().uuid(cellar).secret(secret);
    let cluster = cluster.region(region.address()).responders(Cellar).start().await?;

    let client = region.get_client_for(cellar).await?.within(Duration::from_millis(200));
    for name in ["Gouda", "Plastic", "Roquefort", "Parmesan", "Raclette", "Brie"] {
        match client.call(OpenCheez { name: name.into() }).await {
            Ok(()) => println!("{name}: open"),
            Err(CallError::Declared(refused)) => println!("{name}: refused, {refused}"),
            Err(failed) => println!("{name}: {failed}; maybe done: {}", failed.maybe_done()),
        }
    }
    let client = region.get_client_for(cellar).await?;
    println!("CloseCheez: {:?}", client.call(CloseCheez).await);

    cluster.shutdown().await;
    region.shutdown().await;
    Ok(())
}
