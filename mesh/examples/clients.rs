//! Time limits, another try where it does no harm, and commands without an answer.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use amp_proto::{Arguments, Command, Never, responders};
use cluster::ClusterController;
use region::{CallError, ClusterId, Listen, RegionController, Secret};

/// Count what lies on the shelves.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, response = Stock)]
struct TakeStock;

#[derive(Clone, Debug, PartialEq, Arguments)]
struct Stock {
    cheezes: u32,
}

// ANCHOR: no_answer
/// Ring the bell at the door.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, no_answer)]
struct RingBell;
// ANCHOR_END: no_answer

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn take_stock(&self, _: TakeStock) -> Result<Stock, Never> {
        Ok(Stock { cheezes: 42 })
    }

    #[responder]
    async fn ring_bell(&self, _: RingBell) -> Result<(), Never> {
        println!("the bell rings");
        Ok(())
    }
}

// ANCHOR: retry
/// Counts, and tries again for as long as that cannot count anything twice.
async fn count(region: &RegionController, cellar: ClusterId) -> Result<u32, Box<dyn Error>> {
    for _ in 0..3 {
        let client = region.get_client_for(cellar).await?.within(Duration::from_secs(5));
        match client.call(TakeStock).await {
            Err(failed) if failed.is_retryable() => println!("again: {failed}"),
            outcome => return Ok(outcome?.cheezes),
        }
    }
    Err("three times in vain".into())
}
// ANCHOR_END: retry

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (secret, cellar) = (Secret::generate(), ClusterId::random());
    let region = RegionController::builder().listen(Listen::loopback()).secret(secret.clone());
    let region = region.start().await?;
    let cluster = ClusterController::builder().uuid(cellar).secret(secret);
    let cluster = cluster.region(region.address()).responders(Cellar).start().await?;

    println!("{} cheezes", count(&region, cellar).await?);
    let client = region.get_client_for(cellar).await?;
    client.notify(RingBell).await?;
    cluster.shutdown().await;

    println!("the client knows: {}", client.closed().await);
    let late = client.call(TakeStock).await;
    assert!(matches!(late, Err(CallError::Lost { maybe_done: false, .. })));
    region.shutdown().await;
    Ok(())
}
