//! Commands beside which items flow: one that answers with a stream, and one that takes one.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use amp_proto::{
    Arguments, Cluster, Command, Failure, ItemRefused, ItemSender, Items, Never, responders,
};
use cluster::ClusterController;
use mesh::{Client, ClusterId, Listen, Secret};
use region::RegionController;

// ANCHOR: declare
/// Watch how warm a cellar is.
#[derive(Debug, Command)]
#[command(answered_by = Cluster, answers = stream Reading)]
struct WatchTemperature {
    readings: u32,
}

/// Put cheezes on the shelf.
#[derive(Debug, Command)]
#[command(answered_by = Cluster, takes = stream Cheez, response = Stocked)]
struct Stock;

#[derive(Debug, PartialEq, Arguments)]
struct Reading {
    celsius: i32,
}
// ANCHOR_END: declare

#[derive(Debug, PartialEq, Arguments)]
struct Cheez {
    name: String,
}

#[derive(Debug, PartialEq, Arguments)]
struct Stocked {
    cheezes: u32,
}

struct Cellar;

// ANCHOR: answer
#[responders]
impl Cellar {
    #[responder]
    async fn watch(
        &self,
        it: WatchTemperature,
        mut readings: ItemSender<Reading>,
    ) -> Result<(), Failure<Never>> {
        for celsius in (1..=12).cycle().take(it.readings.try_into().map_err(Failure::undeclared)?) {
            match readings.send(Reading { celsius }).await {
                Ok(()) => {}
                // Nobody wants more. The caller still waits for the response.
                Err(ItemRefused::Stopped(_)) => break,
                // The item is too large.
                Err(refused) => return Err(Failure::undeclared(refused)),
            }
        }
        Ok(())
    }

    #[responder]
    async fn stock(&self, _: Stock, mut shelf: Items<Cheez>) -> Result<Stocked, Failure<Never>> {
        let mut cheezes = 0;
        while let Some(Cheez { .. }) = shelf.next().await.map_err(Failure::undeclared)? {
            cheezes += 1;
        }
        Ok(Stocked { cheezes })
    }
}
// ANCHOR_END: answer

// ANCHOR: call
async fn look_after(cellar: &Client<Cluster>) -> Result<(), Box<dyn Error>> {
    let mut readings = cellar.stream(WatchTemperature { readings: 3 })?;
    while let Some(Reading { celsius }) = readings.next().await? {
        println!("{celsius} °C");
    }

    let mut stocking = cellar.stream(Stock)?;
    for name in ["Idiazabal", "Gouda"] {
        stocking.send(Cheez { name: name.into() }).await?;
    }
    println!("{} cheezes", stocking.finish().await?.cheezes);
    Ok(())
}
// ANCHOR_END: call

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (secret, uuid) = (Secret::generate(), ClusterId::random());
    let region = RegionController::builder().listen(Listen::loopback()).secret(secret.clone());
    let region = region.start().await?;
    let cluster = ClusterController::builder().uuid(uuid).region(region.address()).secret(secret);
    let cluster = cluster.responders(Cellar).start().await?;
    let cellar = region.get_client_for(uuid).await?;

    look_after(&cellar).await?;

    cluster.shutdown().await;
    region.shutdown().await;
    Ok(())
}
