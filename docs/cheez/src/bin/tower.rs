//! A region process: waits for a cellar, and tastes what it has.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use cheez::EatCheez;
use region::{CallError, ClusterId, Listen, RegionController, Secret};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let cellar: ClusterId = std::env::args().nth(1).context("usage: tower UUID")?.parse()?;

    let region = RegionController::builder()
        .name("tower")
        .listen(Listen { ip: Ipv4Addr::LOCALHOST.into(), ..Listen::default() })
        .secret(Secret::from_file("secret")?)
        .start()
        .await?;
    println!("listening on {}", region.address());

    let client = region.get_client_for_within(cellar, Duration::from_secs(60)).await?;
    println!("{} is here", client.name());
    for name in ["Idiazabal", "Gouda", "Plastic"] {
        match client.call(EatCheez { name: name.into(), age_months: None }).await {
            Ok(cheez) => println!("{name}: {}", cheez.rating),
            Err(CallError::Declared(refused)) => println!("{refused}"),
            Err(failed) => return Err(failed.into()),
        }
    }

    region.shutdown().await;
    Ok(())
}
