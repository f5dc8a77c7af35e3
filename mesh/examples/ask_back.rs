//! A responder that knows who asks, and asks the same peer back.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use amp_proto::{Arguments, Cluster, Command, Failure, Never, Peer, responders};
use cluster::ClusterController;
use region::{Listen, PeerExt as _, RegionController, Secret};

/// Offer a cheez to a region.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Region, response = Verdict)]
struct OfferCheez {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
struct Verdict {
    taken: bool,
}

/// Ask a cluster how old its cheez is.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, response = Age)]
struct AskAge {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
struct Age {
    months: u8,
}

struct Tower;

// ANCHOR: peer
#[responders]
impl Tower {
    #[responder]
    async fn offer(&self, it: OfferCheez, peer: &Peer) -> Result<Verdict, Failure<Never>> {
        let cellar = peer.client::<Cluster>().ok_or_else(|| Failure::undeclared("it is gone"))?;
        let age = cellar.call(AskAge { name: it.name }).await.map_err(Failure::undeclared)?;
        Ok(Verdict { taken: age.months >= 12 })
    }
}
// ANCHOR_END: peer

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn ask_age(&self, it: AskAge) -> Result<Age, Never> {
        Ok(Age { months: if it.name == "Gouda" { 18 } else { 3 } })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = Secret::generate();
    let region = RegionController::builder().listen(Listen::loopback()).secret(secret.clone());
    let region = region.responders(Tower).start().await?;

    let cluster = ClusterController::builder().region(region.address()).secret(secret);
    let cluster = cluster.responders(Cellar).start().await?;

    for name in ["Gouda", "Brie"] {
        let offer = OfferCheez { name: name.into() };
        let Verdict { taken } = cluster.get_client().await?.call(offer).await?;
        println!("{name}: {}", if taken { "taken" } else { "too young" });
    }

    cluster.shutdown().await;
    region.shutdown().await;
    Ok(())
}
