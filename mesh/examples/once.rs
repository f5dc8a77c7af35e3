//! A call that is carried out once, however often it is tried.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};

use amp_proto::{Arguments, Command, Never, responders};
use cluster::ClusterController;
use mesh::{Backoff, BackoffSettings, CallId, ClusterId, Listen, Secret};
use region::RegionController;

/// Take a cheez off the shelf.
#[derive(Clone, Debug, Command)]
#[command(answered_by = Cluster, response = Left)]
struct TakeOut {
    name: String,
}

#[derive(Debug, PartialEq, Arguments)]
struct Left {
    left: u32,
}

struct Shelf(AtomicU32);

#[responders]
impl Shelf {
    #[responder]
    async fn take_out(&self, _: TakeOut) -> Result<Left, Never> {
        Ok(Left { left: self.0.fetch_sub(1, Ordering::Relaxed) - 1 })
    }
}

// ANCHOR: once
async fn take_out(
    region: &RegionController,
    cellar: ClusterId,
    id: CallId,
) -> Result<Left, Box<dyn Error>> {
    let gouda = TakeOut { name: "Gouda".into() };
    let mut pauses = Backoff::new(BackoffSettings::default());
    loop {
        let client = region.get_client_for(cellar).await?.once(id);
        match client.call(gouda.clone()).await {
            Ok(left) => return Ok(left),
            // The same id again: what was carried out is not carried out once more.
            Err(failed) if failed.is_retryable_once() => println!("again: {failed}"),
            Err(failed) => return Err(failed.into()),
        }
        tokio::time::sleep(pauses.after_failure()).await;
    }
}
// ANCHOR_END: once

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (secret, uuid) = (Secret::generate(), ClusterId::random());
    let region = RegionController::builder().listen(Listen::loopback()).secret(secret.clone());
    let region = region.start().await?;
    let cluster = ClusterController::builder().uuid(uuid).region(region.address()).secret(secret);
    let cluster = cluster.responders(Shelf(AtomicU32::new(10))).start().await?;
    region.get_client_for(uuid).await?;

    let id = CallId::generate();
    println!("{} left", take_out(&region, uuid, id).await?.left);
    println!("{} left, it was the same call", take_out(&region, uuid, id).await?.left);
    println!("{} left", take_out(&region, uuid, CallId::generate()).await?.left);

    cluster.shutdown().await;
    region.shutdown().await;
    Ok(())
}
