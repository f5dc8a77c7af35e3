//! Services that run beside the mesh with the controller in hand.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh::{CallError, gather};
use mesh_harness::{Logs, Mesh, TestResult};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::desk::{Desk, Hold, Sum, Tell, Total, Wait, WhoAsks};

/// Tells a random region process something every second, and raises a flag when it is dropped.
async fn gossip(cluster: cluster::ClusterController, ended: watch::Sender<u32>) {
    struct Flag(watch::Sender<u32>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.send_modify(|ended| *ended += 1);
        }
    }
    let _flag = Flag(ended);
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        let Ok(region) = cluster.get_client().await else { continue };
        let note = format!("{} to {}", cluster.name(), region.name());
        let _told = region.notify(Tell { note }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_of_a_cluster_asks_any_region_for_as_long_as_the_cluster_runs() -> TestResult {
    let desk = Desk::default();
    let there = desk.clone();
    let ended = watch::Sender::new(0);
    let flag = ended.clone();
    let mesh = Mesh::builder().regions(3).clusters(2).region_responders(move |_| there.clone());
    let mesh = mesh.configure_clusters(move |_, cluster| {
        let flag = flag.clone();
        cluster.service(move |controller| gossip(controller, flag))
    });
    let mesh = mesh.start().await?;
    let notes: HashSet<String> = desk.notes(200).await.into_iter().collect();
    assert_eq!(notes.len(), 6, "each of the clusters told each of the regions: {notes:?}");

    mesh.region(1).crash().await;
    let so_far = desk.notes(0).await.len();
    let notes = desk.notes(so_far + 50).await;
    assert!(notes[so_far..].iter().all(|note| !note.ends_with("region-1")));

    assert_eq!(*ended.borrow(), 0);
    mesh.cluster(0).stop().await;
    assert_eq!(*ended.borrow(), 1);
    mesh.cluster(1).crash().await;
    assert_eq!(*ended.borrow(), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_service_of_a_region_asks_every_cluster() -> TestResult {
    let seen: Arc<Mutex<Vec<HashSet<String>>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let mesh = Mesh::builder().clusters(4).cluster_responders(|_| Desk::default());
    let mesh = mesh.configure_regions(move |_, region| {
        let kept = Arc::clone(&kept);
        region.service(move |controller| async move {
            let mut every = tokio::time::interval(Duration::from_secs(5));
            loop {
                every.tick().await;
                let mut answers = gather(controller.get_all_clients(), WhoAsks);
                let mut round = HashSet::new();
                while let Some((client, answer)) = answers.next().await {
                    assert_eq!(answer.unwrap().ident.as_deref(), Some(controller.id().as_str()));
                    round.insert(client.name());
                }
                kept.lock().unwrap().push(round);
            }
        })
    });
    let mesh = mesh.start().await?;
    tokio::time::sleep(Duration::from_secs(11)).await;
    mesh.cluster(2).crash().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let rounds: Vec<usize> = seen.lock().unwrap().iter().map(HashSet::len).collect();
    // At first nobody was there yet.
    assert_eq!(rounds, [0, 4, 4, 3]);
    Ok(())
}

/// Ends its own process once `told`.
async fn end_when_told(told: Arc<Notify>, ending: impl Future<Output = ()>) {
    told.notified().await;
    ending.await;
    unreachable!("a process does not outlive its end");
}

#[tokio::test(start_paused = true)]
async fn a_service_may_shut_its_own_process_down() -> TestResult {
    let logs = Logs::capture();
    let (desk, told) = (Desk::default(), Arc::new(Notify::new()));
    let (there, region_told, cluster_told) = (desk.clone(), Arc::clone(&told), Arc::clone(&told));
    let mesh = Mesh::builder().cluster_responders(move |_| there.clone());
    let mesh = mesh.configure_regions(move |_, region| {
        let told = Arc::clone(&region_told);
        region.service(|region| end_when_told(told, async move { region.shutdown().await }))
    });
    let mesh = mesh.configure_clusters(move |_, cluster| {
        let told = Arc::clone(&cluster_told);
        cluster.service(|cluster| end_when_told(told, async move { cluster.shutdown().await }))
    });
    let mesh = mesh.start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let (begun, region, cluster) = (Instant::now(), mesh.region(0), mesh.cluster(0));
    let ending = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        told.notify_waiters();
        tokio::join!(region.stop(), cluster.stop());
    };
    let (waited, ()) = tokio::join!(client.call(Wait { ms: 3000 }), ending);
    assert!(waited.is_ok(), "what was under way has finished: {waited:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(logs.lines_with("has left the mesh role=region").len(), 1);
    assert_eq!(logs.lines_with("has left the mesh role=cluster").len(), 1);
    assert!(logs.lines_with("not everything finished").is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_service_that_shuts_its_process_down_takes_no_longer_than_the_drain_time() -> TestResult {
    let logs = Logs::capture();
    let (desk, told) = (Desk::default(), Arc::new(Notify::new()));
    let (there, region_told) = (desk.clone(), Arc::clone(&told));
    let mesh = Mesh::builder().cluster_responders(move |_| there.clone());
    let mesh = mesh.configure_regions(move |_, region| {
        let told = Arc::clone(&region_told);
        let region = region.drain_timeout(Duration::from_secs(5));
        region.service(|region| end_when_told(told, async move { region.shutdown().await }))
    });
    let mesh = mesh.start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let telling = async {
        desk.held(1).await;
        told.notify_waiters();
    };
    // Nobody else waits for the end.
    let (held, ()) = tokio::join!(client.call(Hold), telling);
    assert!(matches!(held, Err(CallError::Lost { .. })), "{held:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(logs.lines_with("not everything finished").len(), 1);
    assert_eq!(logs.lines_with("has left the mesh role=region").len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_takes_nobody_with_it() -> TestResult {
    let mesh = Mesh::builder().cluster_responders(|_| Desk::default());
    let mesh = mesh.configure_clusters(|_, cluster| {
        cluster.service(|_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            panic!("the service fell over");
        })
    });
    let mesh = mesh.start().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    assert_eq!(client.call(Sum { a: 1, b: 1 }).await?, Total { total: 2 });
    mesh.cluster(0).stop().await;
    Ok(())
}
