//! How else a call ends without a response than `errors` shows.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use amp_proto::{Arguments, CallError, Command, Limits, Never, responders};
use cluster::ClusterController;
use region::{ClusterId, Listen, RegionController, Secret};

/// Rate a cheez.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, response = Rating)]
struct RateCheez {
    name: String,
}

#[derive(Debug, PartialEq, Arguments)]
struct Rating {
    rating: u8,
}

/// The same command as the cluster has it, which is of another version.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, name = "RateCheez", response = Words)]
struct DescribeCheez {
    name: String,
}

#[derive(Debug, PartialEq, Arguments)]
struct Words {
    words: String,
}

/// Let a cheez ripen.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, no_answer)]
struct RipenCheez;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn rate_cheez(&self, DescribeCheez { name }: DescribeCheez) -> Result<Words, Never> {
        Ok(Words { words: format!("{name} is nice") })
    }

    #[responder]
    async fn ripen_cheez(&self, _: RipenCheez) -> Result<(), Never> {
        std::future::pending().await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (secret, cellar) = (Secret::generate(), ClusterId::random());
    let region = RegionController::builder().listen(Listen::loopback()).secret(secret.clone());
    let region = region.start().await?;
    // One ask at a time, and nothing in pieces: a box may be larger.
    let little = Limits { responders_running_max: 1, large_bytes_max: 1024, ..Limits::default() };
    let cluster = ClusterController::builder().uuid(cellar).secret(secret).limits(little);
    let cluster = cluster.region(region.address()).responders(Cellar).start().await?;

    let client = region.get_client_for(cellar).await?.within(Duration::from_millis(500));
    for name in ["Gouda".to_owned(), "Gouda".repeat(20_000)] {
        match client.call(RateCheez { name }).await {
            Ok(rated) => println!("{rated:?}"),
            Err(CallError::Decode(error)) => println!("the response is of no use: {error}"),
            Err(CallError::Encode(error)) => println!("the name does not fit: {error}"),
            Err(failed) => println!("{failed}; maybe done: {}", failed.maybe_done()),
        }
    }
    // The cellar answers one ask at a time, and this one takes years.
    client.notify(RipenCheez).await?;
    match client.call(RipenCheez).await {
        Err(CallError::Overloaded) => println!("the cellar has too much to do"),
        other => println!("{other:?}"),
    }
    cluster.abort().await; // a shutdown would wait for it
    region.shutdown().await;
    Ok(())
}
