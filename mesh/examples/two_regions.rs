//! Two region processes that know of each other, and a cluster that is told of one of them.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;

use amp_proto::{Arguments, Command, Never, responders};
use cluster::ClusterController;
use region::{Listen, MemoryRegistry, RegionController, Secret};

/// Ask a tower what it is called.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Region, response = TowerName)]
struct NameTower;

#[derive(Clone, Debug, PartialEq, Arguments)]
struct TowerName {
    name: String,
}

struct Tower {
    name: &'static str,
}

#[responders]
impl Tower {
    #[responder]
    async fn name_tower(&self, _: NameTower) -> Result<TowerName, Never> {
        Ok(TowerName { name: self.name.into() })
    }
}

// ANCHOR: start
async fn start_region(
    name: &'static str,
    secret: &Secret,
    registry: &MemoryRegistry,
) -> Result<RegionController, region::StartError> {
    RegionController::builder()
        .name(name)
        .listen(Listen::loopback())
        .secret(secret.clone())
        .registry(Arc::new(registry.clone()))
        .responders(Tower { name })
        .start()
        .await
}
// ANCHOR_END: start

// ANCHOR: any
async fn ask_any(cluster: &ClusterController) -> Result<String, Box<dyn Error>> {
    let TowerName { name } = cluster.get_client().await?.call(NameTower).await?;
    Ok(name)
}
// ANCHOR_END: any

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (secret, registry) = (Secret::generate(), MemoryRegistry::new());
    let north = start_region("north", &secret, &registry).await?;
    let south = start_region("south", &secret, &registry).await?;

    let cluster = ClusterController::builder().region(north.address()).secret(secret);
    let cluster = cluster.start().await?;
    cluster.pool().wait_until(|pool| (pool.all().len() == 2).then_some(())).await;
    println!("told of one, connected to {}", cluster.get_all_clients().len());
    println!("any region: {}", ask_any(&cluster).await?);

    north.shutdown().await;
    println!("without north: {}", ask_any(&cluster).await?);

    cluster.shutdown().await;
    south.shutdown().await;
    Ok(())
}
