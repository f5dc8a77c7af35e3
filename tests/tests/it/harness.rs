//! What the harness promises to those who build on it.

use std::sync::Arc;
use std::time::Duration;

use amp_proto::{CallError, Cluster};
use mesh::Secret;
use mesh_harness::{ClientDouble, Direction, Mesh, MeshError, Recorder, TestResult};
use tokio::time::Instant;

use crate::desk::{Desk, Echo, Fail, FailError, How, Sum, Total};

fn adding() -> Arc<Recorder<Sum>> {
    Arc::new(Recorder::answering(|sum: &Sum| Ok(Total { total: sum.a + sum.b })))
}

#[tokio::test(start_paused = true)]
async fn a_recorder_keeps_what_every_cluster_was_asked() -> TestResult {
    let recorder = adding();
    let there = Arc::clone(&recorder);
    let mesh = Mesh::builder().clusters(3).cluster_responders_arc(move |_| Arc::clone(&there));
    let mesh = mesh.start().await?;
    for (a, cluster) in (0..).zip(mesh.clusters()) {
        let client = mesh.region(0).get_client_for(cluster.uuid()).await?;
        assert_eq!(client.call(Sum { a, b: 1 }).await?, Total { total: a + 1 });
    }
    let expected = [0, 1, 2].map(|a| Sum { a, b: 1 });
    assert_eq!(recorder.wait_for(3).await, expected);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_double_answers_and_fails_as_the_test_says() -> TestResult {
    let sums = adding();
    let client = ClientDouble::<Cluster>::answered_by(Arc::clone(&sums));
    let other = client.clone();
    let (asked, waited) = tokio::join!(other.call(Sum { a: 1, b: 2 }), sums.wait_for(1));
    assert_eq!((asked?, waited), (Total { total: 3 }, vec![Sum { a: 1, b: 2 }]));
    let unhandled = client.call(Fail { how: How::Declared }).await;
    assert!(matches!(unhandled, Err(CallError::Unhandled { .. })), "{unhandled:?}");
    drop(client);
    assert!(matches!(other.call(Sum { a: 1, b: 2 }).await, Err(CallError::Lost { .. })));

    let fails = Recorder::answering(|_: &Fail| Err(FailError::NoSuchThing("luck".to_owned())));
    let client = ClientDouble::<Cluster>::answered_by(Arc::new(fails));
    let failed = client.call(Fail { how: How::Declared }).await;
    assert_eq!(failed, Err(CallError::Declared(FailError::NoSuchThing("luck".to_owned()))));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_mesh_that_does_not_start_says_which_process_and_why() -> TestResult {
    let twice = Mesh::builder()
        .regions(2)
        .cluster_responders(|_| Desk::default())
        .cluster_responders(|_| Desk::default());
    let error = twice.start().await.unwrap_err();
    assert!(matches!(error, MeshError::Cluster { index: 0, .. }), "{error:?}");
    assert_eq!(error.to_string(), "cluster-0 did not start");

    let apart = Mesh::builder().clusters(3).configure_clusters(|index, cluster| match index {
        1 => cluster.secret(Secret::generate()),
        _ => cluster,
    });
    let started = Instant::now();
    let error = apart.settle_within(Duration::from_secs(3)).start().await.unwrap_err();
    assert_eq!(error.to_string(), "not connected within 3000 ms: region-0 and cluster-1");
    assert_eq!(started.elapsed(), Duration::from_secs(3));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_transcript_tells_every_box_and_no_proof() -> TestResult {
    let mesh = Mesh::builder().cluster_responders(|_| Desk::default()).start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    client
        .call(Echo { bytes: vec![b'x'; 1000].into(), note: Some("snow \u{2603}".into()) })
        .await?;
    let transcript = mesh.transcript().of_link(0, 0);
    let [.., asked, answered] = &transcript.lines[..] else { panic!("{transcript}") };
    assert_eq!(asked.direction, Some(Direction::ToCluster));
    assert_eq!(answered.direction, Some(Direction::ToRegion));
    let shown = "bytes=\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"… (1000 bytes)";
    assert_eq!(
        asked.text,
        format!("ask 4 Echo  _deadline_ms=\"30000\"  {shown}  note=\"snow \u{2603}\"")
    );
    assert_eq!(answered.text, format!("answer 4 Echo  {shown}  note=\"snow \u{2603}\""));

    let proofs = transcript.lines.iter().filter(|line| line.text.starts_with("answer 1 Auth"));
    let proofs: Vec<_> = proofs.map(|line| line.text.as_str()).collect();
    assert_eq!(proofs, ["answer 1 Authenticate  digest=(withheld)  salt=(withheld)"; 2]);
    assert!(!transcript.to_string().contains(&mesh.secret().to_hex()));
    Ok(())
}

#[tokio::test]
async fn a_region_whose_address_was_taken_comes_back_at_another() -> TestResult {
    let mesh = Mesh::builder().regions(2).over_tcp().start().await?;
    let region = mesh.region(1);
    let address = region.address();
    region.crash().await;
    let squatter = std::net::TcpListener::bind(&address)?;
    region.restart().await?;
    assert_ne!(region.address(), address);
    mesh.settled().await?;
    drop(squatter);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_handle_stays_good_over_a_restart() -> TestResult {
    let mesh = Mesh::builder().cluster_responders(|_| Desk::default()).start().await?;
    let (region, cluster) = (mesh.region(0), mesh.cluster(0));
    let (id, uuid) = (region.id(), cluster.uuid());
    region.restart().await?;
    cluster.restart().await?;
    mesh.settled().await?;
    assert!(region.id() != id && cluster.uuid() == uuid);
    let client = region.get_client_for(cluster.uuid()).await?;
    assert_eq!(client.call(Sum { a: 1, b: 1 }).await?, Total { total: 2 });
    Ok(())
}
