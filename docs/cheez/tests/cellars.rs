use cheez::{Cellar, CheezError, EatCheez};
use mesh_harness::{Mesh, TestResult};
use region::{CallError, ClientError};

fn eat(name: &str) -> EatCheez {
    EatCheez { name: name.into(), age_months: None }
}

// ANCHOR: mesh
#[tokio::test(start_paused = true)]
async fn every_cellar_knows_idiazabal() -> TestResult {
    let cellars = Mesh::builder().clusters(3).cluster_responders(|_uuid| Cellar::stocked());
    let mesh = cellars.start().await?;

    for client in mesh.region(0).get_all_clients() {
        assert_eq!(client.call(eat("Idiazabal")).await?.rating, 9);
        let refused = client.call(eat("Plastic")).await.unwrap_err();
        assert_eq!(refused, CallError::Declared(CheezError::NoSuchCheez("Plastic".into())));
    }
    Ok(())
}
// ANCHOR_END: mesh

// ANCHOR: crash
#[tokio::test(start_paused = true)]
async fn a_cellar_that_crashed_is_missed_until_it_is_back() -> TestResult {
    let cellars = Mesh::builder().regions(2).cluster_responders(|_uuid| Cellar::stocked());
    let mesh = cellars.start().await?;
    let (region, cellar) = (mesh.region(1), mesh.cluster(0));

    cellar.crash().await;
    let missed = region.get_client_for(cellar.uuid()).await;
    assert!(matches!(missed, Err(ClientError::NoConnections { .. })));

    cellar.restart().await?;
    mesh.settled().await?;
    let client = region.get_client_for(cellar.uuid()).await?;
    assert_eq!(client.call(eat("Gouda")).await?.rating, 6);
    Ok(())
}
// ANCHOR_END: crash
