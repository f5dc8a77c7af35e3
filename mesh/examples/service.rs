//! A service beside a cluster: it reads a thermometer, and tells any region.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use amp_proto::{Command, Never, Peer, responders};
use cluster::ClusterController;
use region::{Listen, RegionController, Secret};
use tokio::sync::mpsc;

/// Tell a region how warm it is.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Region)]
struct ReportWarmth {
    celsius: f64,
}

struct Tower {
    reports: mpsc::Sender<(Option<String>, f64)>,
}

#[responders]
impl Tower {
    #[responder]
    async fn report_warmth(&self, it: ReportWarmth, peer: &Peer) -> Result<(), Never> {
        let _listening = self.reports.send((peer.ident(), it.celsius)).await;
        Ok(())
    }
}

// ANCHOR: service
/// Reads the thermometer for as long as the cluster runs.
async fn watch_warmth(cluster: ClusterController) {
    let mut every = tokio::time::interval(Duration::from_millis(50));
    let mut celsius = 11.5;
    loop {
        every.tick().await;
        celsius += 0.5;
        // A new client every time: the region that took the last report may be gone.
        let told = match cluster.get_client().await {
            Ok(client) => client.call(ReportWarmth { celsius }).await,
            Err(nobody) => {
                println!("{nobody}");
                continue;
            }
        };
        if let Err(failed) = told {
            println!("the next report will do: {failed}");
        }
    }
}
// ANCHOR_END: service

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (secret, (reports, mut told)) = (Secret::generate(), mpsc::channel(8));
    let region = RegionController::builder().listen(Listen::loopback()).secret(secret.clone());
    let region = region.responders(Tower { reports }).start().await?;

    let cluster = ClusterController::builder().region(region.address()).secret(secret);
    let cluster = cluster.service(watch_warmth).start().await?;

    for _ in 0..3 {
        let (from, celsius) = told.recv().await.ok_or("nobody reports any more")?;
        println!("{}: {celsius} °C", from.unwrap_or_default());
    }
    cluster.shutdown().await;
    region.shutdown().await;
    Ok(())
}
