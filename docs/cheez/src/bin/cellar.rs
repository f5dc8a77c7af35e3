//! A cluster process: answers until it is interrupted.

use anyhow::Context as _;
use cheez::Cellar;
use cluster::{ClusterController, ClusterId, Secret};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut args = std::env::args().skip(1);
    let uuid: ClusterId = args.next().context("usage: cellar UUID HOST:PORT")?.parse()?;
    let region = args.next().context("usage: cellar UUID HOST:PORT")?;

    let cluster = ClusterController::builder()
        .uuid(uuid)
        .name("stockholm")
        .region(region)
        .secret(Secret::from_file("secret")?)
        .responders(Cellar::stocked())
        .start()
        .await?;
    println!("{} looks for a region", cluster.name());

    tokio::signal::ctrl_c().await?;
    cluster.shutdown().await;
    Ok(())
}
