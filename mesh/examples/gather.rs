//! One question to every cluster, and the answers in the order in which they arrive.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use amp_proto::{Arguments, Cluster, Command, Never, responders};
use cluster::ClusterController;
use region::{Client, Listen, RegionController, Secret, gather};

/// Count what lies on the shelves.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, response = Stock)]
struct TakeStock;

#[derive(Clone, Debug, PartialEq, Arguments)]
struct Stock {
    cheezes: u32,
}

struct Cellar {
    cheezes: u32,
}

#[responders]
impl Cellar {
    #[responder]
    async fn take_stock(&self, _: TakeStock) -> Result<Stock, Never> {
        tokio::time::sleep(Duration::from_millis(self.cheezes.into())).await;
        Ok(Stock { cheezes: self.cheezes })
    }
}

// ANCHOR: gather
async fn count_all(clients: Vec<Client<Cluster>>) -> u32 {
    let mut total = 0;
    let mut answers = gather(clients, TakeStock);
    while let Some((cellar, answer)) = answers.next().await {
        match answer {
            Ok(Stock { cheezes }) => {
                println!("{}: {cheezes}", cellar.name());
                total += cheezes;
            }
            Err(error) => println!("{}: {error}", cellar.name()),
        }
    }
    total
}
// ANCHOR_END: gather

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = Secret::generate();
    let region = RegionController::builder().listen(Listen::loopback()).secret(secret.clone());
    let region = region.start().await?;

    let mut clusters = Vec::new();
    for (name, cheezes) in [("stockholm", 300), ("bilbao", 200), ("parma", 100)] {
        let cluster = ClusterController::builder().name(name).secret(secret.clone());
        let cluster = cluster.region(region.address()).responders(Cellar { cheezes });
        clusters.push(cluster.start().await?);
    }
    region.pool().wait_until(|pool| (pool.all().len() == 3).then_some(())).await;
    println!("all together: {}", count_all(region.get_all_clients()).await);

    for cluster in clusters {
        cluster.shutdown().await;
    }
    region.shutdown().await;
    Ok(())
}
