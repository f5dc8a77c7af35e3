//! Who is connected to whom, and who is asked when somebody is gone.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amp_proto::{CallError, Limits, Lost};
use mesh_harness::{Mesh, MeshBuilder, RegionProcess, TestResult};
use region::{Admission, ClientError};
use tokio::time::Instant;

use crate::desk::{Desk, Hold, Sum, Total, Wait};
use crate::raw::RawPeer;

fn desks() -> MeshBuilder {
    Mesh::builder().region_responders(|_| Desk::default()).cluster_responders(|_| Desk::default())
}

/// A mesh whose clusters, or whose region processes, all answer at one desk.
fn one_desk() -> (Desk, MeshBuilder) {
    let desk = Desk::default();
    let (regions, clusters) = (desk.clone(), desk.clone());
    let builder = Mesh::builder()
        .region_responders(move |_| regions.clone())
        .cluster_responders(move |_| clusters.clone());
    (desk, builder)
}

fn connections(mesh: &Mesh) -> usize {
    mesh.transcript().lines.iter().filter(|line| line.text == "connected").count()
}

/// The region process behind an identity.
fn region_of(mesh: &Mesh, ident: &str) -> RegionProcess {
    mesh.regions().into_iter().find(|region| region.id().as_str() == ident).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_cluster_is_connected_to_every_region_process() -> TestResult {
    let mesh = desks().regions(4).clusters(6).start().await?;
    for region in mesh.regions() {
        assert_eq!(region.get_all_clients().len(), 6);
        for cluster in mesh.clusters() {
            let client = region.get_client_for(cluster.uuid()).await?;
            assert_eq!(client.ident(), Some(cluster.uuid().to_string()));
            assert_eq!(client.call(Sum { a: 2, b: 2 }).await?, Total { total: 4 });
        }
    }
    for cluster in mesh.clusters() {
        let regions: HashSet<_> =
            cluster.get_all_clients().into_iter().filter_map(|client| client.ident()).collect();
        assert_eq!(regions, mesh.regions().iter().map(|it| it.id().to_string()).collect());
    }
    // Once each: nobody connects twice and throws one away.
    assert_eq!(connections(&mesh), 24);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_knows_all_addresses_ends_up_with_one_connection_to_each() -> TestResult {
    let mesh = desks().regions(3).clusters(2).every_region_is_a_seed().start().await?;
    // Whatever was opened twice is closed by now, in good order.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for region in mesh.regions() {
        for client in region.get_all_clients() {
            assert_eq!(client.call(Sum { a: 2, b: 2 }).await?, Total { total: 4 });
        }
    }
    let closed = |text: &str| {
        let lines = mesh.transcript().lines;
        lines.iter().filter(|line| line.text == text).count()
    };
    assert_eq!(closed("connected") - closed("the cluster's end is closed"), 6);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn no_call_is_lost_while_spare_connections_are_closed() -> TestResult {
    for _ in 0..20 {
        let mesh = desks().regions(3).clusters(0).every_region_is_a_seed().start().await?;
        let cluster = mesh.add_cluster().await?;
        let calls = mesh.regions().into_iter().map(|region| async move {
            let mut outcomes = Vec::new();
            for _ in 0..50 {
                let client = region.get_client_for(cluster_uuid()).await.unwrap();
                outcomes.push(client.call(Wait { ms: 7 }).await);
            }
            outcomes
        });
        for outcome in futures_util::future::join_all(calls).await.into_iter().flatten() {
            assert_eq!(outcome, Ok(()));
        }
        assert_eq!(cluster.uuid(), cluster_uuid());
    }
    Ok(())
}

fn cluster_uuid() -> mesh::ClusterId {
    Mesh::uuid_of(0)
}

#[tokio::test(start_paused = true)]
async fn a_late_cluster_finds_everybody() -> TestResult {
    let mesh = desks().regions(3).clusters(1).start().await?;
    let late = mesh.add_cluster().await?;
    mesh.settled().await?;
    assert_eq!(late.get_all_clients().len(), 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_late_region_process_is_told_to_every_cluster() -> TestResult {
    let mesh = desks().regions(1).clusters(5).start().await?;
    let started = Instant::now();
    for count in 2..=4 {
        mesh.add_region().await?;
        mesh.settled().await?;
        assert_eq!(mesh.cluster(4).get_all_clients().len(), count);
    }
    // They were told: nobody had to ask again and again.
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_late_cluster_waits_for_it() -> TestResult {
    let mesh = desks().clusters(0).start().await?;
    let region = mesh.region(0);
    let (client, added) = tokio::join!(region.get_client_for(Mesh::uuid_of(0)), async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        mesh.add_cluster().await
    });
    added?;
    assert_eq!(client?.call(Sum { a: 1, b: 1 }).await?, Total { total: 2 });
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_cluster_that_never_comes_is_told_so_in_time() -> TestResult {
    let mesh = desks().clusters(0).start().await?;
    let (region, cluster) = (mesh.region(0).controller(), Mesh::uuid_of(0));
    let started = Instant::now();
    let waited = Duration::from_secs(10);
    let nobody = region.get_client_for(cluster).await;
    assert_eq!(nobody.unwrap_err(), ClientError::NoConnections { cluster, waited });
    assert_eq!(started.elapsed(), waited);

    let waited = Duration::from_millis(250);
    let nobody = region.get_client_for_within(cluster, waited).await;
    assert_eq!(nobody.unwrap_err(), ClientError::NoConnections { cluster, waited });
    assert_eq!(started.elapsed(), Duration::from_millis(10_250));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_any_region_says_so_in_time() -> TestResult {
    let mesh = desks().start().await?;
    mesh.region(0).crash().await;
    let started = Instant::now();
    // The loss is noticed at the next turn of the task that owns the connection.
    while mesh.cluster(0).get_all_clients().len() == 1 {
        tokio::task::yield_now().await;
    }
    let nobody = mesh.cluster(0).get_client().await;
    let waited = Duration::from_secs(10);
    assert_eq!(nobody.unwrap_err(), cluster::ClientError::NoConnections { waited });
    assert_eq!(started.elapsed(), waited);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn two_connections_of_one_cluster_count_once() -> TestResult {
    let mesh = desks().start().await?;
    let (region, uuid) = (mesh.region(0), mesh.cluster(0).uuid());
    let first = region.get_client_for(uuid).await?;
    let mut twin = RawPeer::admitted(&mesh, &uuid.to_string()).await?;
    assert!(twin.replies_until_ping().await?.is_empty());

    assert_eq!(region.get_all_clients().len(), 1);
    let newest = region.get_client_for(uuid).await?;
    assert!(!Arc::ptr_eq(first.link(), newest.link()));
    // The newer one goes, and the older one is as good as ever.
    drop(twin);
    newest.closed().await;
    let again = region.get_client_for(uuid).await?;
    assert!(Arc::ptr_eq(first.link(), again.link()));
    assert_eq!(again.call(Sum { a: 1, b: 1 }).await?, Total { total: 2 });
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_asks_every_region_process_in_its_turn() -> TestResult {
    let mesh = desks().regions(4).start().await?;
    let cluster = mesh.cluster(0);
    let mut asked = HashSet::new();
    // Each of 4 is missed by 200 random picks once in 10^24.
    for _ in 0..200 {
        asked.insert(cluster.get_client().await?.ident());
    }
    assert_eq!(asked.len(), 4);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_to_another_region_process_when_the_first_is_gone() -> TestResult {
    let mesh = desks().regions(3).start().await?;
    let client = mesh.cluster(0).get_client().await?;
    region_of(&mesh, &client.ident().unwrap()).crash().await;
    client.closed().await;
    assert_eq!(client.call(Sum { a: 1, b: 1 }).await, Ok(Total { total: 2 }));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_sent_is_not_made_again_elsewhere() -> TestResult {
    let (desk, builder) = one_desk();
    let mesh = builder.regions(3).start().await?;
    let client = mesh.cluster(0).get_client().await?;
    let region = region_of(&mesh, &client.ident().unwrap());
    let (outcome, ()) = tokio::join!(client.call(Hold), async {
        desk.held(1).await;
        region.crash().await;
    });
    let lost = CallError::Lost { lost: Lost::ClosedByPeer, maybe_done: true };
    assert_eq!(outcome, Err(lost));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_region_that_crashes_fails_its_calls_at_once_and_is_back_within_five_seconds()
-> TestResult {
    let (desk, builder) = one_desk();
    let mesh = builder.regions(2).clusters(3).start().await?;
    let (region, cluster) = (mesh.region(0), mesh.cluster(0));
    let to_region = cluster.get_all_clients().into_iter();
    let to_region =
        to_region.map(|it| (it.ident(), it)).find(|(it, _)| *it == Some(region.id().to_string()));
    let (_, to_region) = to_region.unwrap();
    let to_cluster = region.get_client_for(cluster.uuid()).await?;

    let started = Instant::now();
    let (there, back, ()) = tokio::join!(to_region.call(Hold), to_cluster.call(Hold), async {
        desk.held(2).await;
        region.crash().await;
    });
    assert_eq!(there, Err(CallError::Lost { lost: Lost::ClosedByPeer, maybe_done: true }));
    assert_eq!(back, Err(CallError::Lost { lost: Lost::ClosedHere, maybe_done: true }));
    assert_eq!(started.elapsed(), Duration::ZERO);

    // The other region process is asked meanwhile.
    for _ in 0..20 {
        let client = cluster.get_client().await?;
        assert_eq!(client.ident(), Some(mesh.region(1).id().to_string()));
        assert_eq!(client.call(Sum { a: 1, b: 1 }).await?, Total { total: 2 });
    }
    for down in [1, 10, 60] {
        tokio::time::sleep(Duration::from_secs(down)).await;
        let address = region.address();
        region.restart().await?;
        assert_eq!(region.address(), address);
        let back = Instant::now();
        mesh.settled().await?;
        assert!(back.elapsed() <= Duration::from_secs(5), "{:?} after {down} s", back.elapsed());
        region.crash().await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_only_region_process_is_found_again_when_it_is_back() -> TestResult {
    let mesh = desks().clusters(3).start().await?;
    for down in [0, 1, 30, 600] {
        mesh.region(0).crash().await;
        tokio::time::sleep(Duration::from_secs(down)).await;
        mesh.region(0).restart().await?;
        let back = Instant::now();
        mesh.settled().await?;
        assert!(back.elapsed() <= Duration::from_secs(5), "{:?} after {down} s", back.elapsed());
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_crashes_fails_its_calls_at_once_and_is_back_within_five_seconds()
-> TestResult {
    let (desk, builder) = one_desk();
    let mesh = builder.regions(2).clusters(2).start().await?;
    let (region, cluster) = (mesh.region(0), mesh.cluster(1));
    let client = region.get_client_for(cluster.uuid()).await?;
    let started = Instant::now();
    let (outcome, ()) = tokio::join!(client.call(Hold), async {
        desk.held(1).await;
        cluster.crash().await;
    });
    assert_eq!(outcome, Err(CallError::Lost { lost: Lost::ClosedByPeer, maybe_done: true }));
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert_eq!(region.get_all_clients().len(), 1);
    let unsent = client.call(Sum { a: 1, b: 1 }).await;
    assert_eq!(unsent, Err(CallError::Lost { lost: Lost::ClosedByPeer, maybe_done: false }));

    cluster.restart().await?;
    let back = Instant::now();
    mesh.settled().await?;
    assert!(back.elapsed() <= Duration::from_secs(5), "{:?}", back.elapsed());
    let client = region.get_client_for(cluster.uuid()).await?;
    assert_eq!(client.call(Sum { a: 1, b: 1 }).await?, Total { total: 2 });
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_region_that_stops_finishes_what_runs_and_is_asked_nothing_more() -> TestResult {
    let (desk, builder) = one_desk();
    let mesh = builder.regions(2).clusters(1).start().await?;
    let (region, cluster) = (mesh.region(0), mesh.cluster(0));
    let is_it = |client: &mesh::Client<_>| client.ident() == Some(region.id().to_string());
    let client = cluster.get_all_clients().into_iter().find(is_it).unwrap();
    let back = region.get_client_for(cluster.uuid()).await?;

    let stopping = async {
        desk.held(2).await;
        region.stop().await;
    };
    let meanwhile = async {
        desk.held(2).await;
        while client.is_open() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let refused = client.call(Sum { a: 1, b: 1 }).await;
        assert_eq!(refused, Err(CallError::Lost { lost: Lost::PeerLeaving, maybe_done: false }));
        let refused = back.call(Sum { a: 1, b: 1 }).await;
        assert_eq!(refused, Err(CallError::Lost { lost: Lost::ClosedHere, maybe_done: false }));
        // Whoever asks for any region gets the other one.
        for _ in 0..20 {
            let other = cluster.get_client().await.unwrap();
            assert_eq!(other.ident(), Some(mesh.region(1).id().to_string()));
        }
        desk.release();
    };
    let (there, returned, (), ()) =
        tokio::join!(client.call(Hold), back.call(Hold), stopping, meanwhile);
    assert_eq!((there, returned), (Ok(()), Ok(())));
    assert_eq!(client.closed().await, Lost::ClosedByPeer);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_stops_finishes_what_runs_and_is_asked_nothing_more() -> TestResult {
    let (desk, builder) = one_desk();
    let mesh = builder.regions(2).clusters(2).start().await?;
    let (region, cluster) = (mesh.region(0), mesh.cluster(0));
    let client = region.get_client_for(cluster.uuid()).await?;
    let stopping = async {
        desk.held(1).await;
        cluster.stop().await;
    };
    let meanwhile = async {
        desk.held(1).await;
        while client.is_open() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let refused = client.call(Sum { a: 1, b: 1 }).await;
        assert_eq!(refused, Err(CallError::Lost { lost: Lost::PeerLeaving, maybe_done: false }));
        assert_eq!(region.get_all_clients().len(), 1);
        desk.release();
    };
    let (there, (), ()) = tokio::join!(client.call(Hold), stopping, meanwhile);
    assert_eq!(there, Ok(()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_to_finish_stops_at_once() -> TestResult {
    let mesh = desks().regions(2).clusters(3).start().await?;
    let started = Instant::now();
    mesh.cluster(0).stop().await;
    mesh.region(0).stop().await;
    mesh.region(1).stop().await;
    mesh.cluster(1).stop().await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_dropped_at_the_end_of_the_drain_timeout() -> TestResult {
    let (desk, builder) = one_desk();
    let builder = builder.configure_clusters(|_, it| it.drain_timeout(Duration::from_secs(3)));
    let mesh = builder.start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let started = Instant::now();
    let (outcome, ()) = tokio::join!(client.call(Hold), async {
        desk.held(1).await;
        mesh.cluster(0).stop().await;
    });
    assert!(matches!(outcome, Err(CallError::Lost { maybe_done: true, .. })), "{outcome:?}");
    assert_eq!(started.elapsed(), Duration::from_secs(3));
    assert_eq!(desk.released(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_long_farewell_lives_on_signs_of_life() -> TestResult {
    let builder = desks().configure_clusters(|_, it| it.drain_timeout(Duration::from_secs(120)));
    let mesh = builder.start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let patient = client.within(Duration::from_secs(120));
    let (outcome, ()) = tokio::join!(patient.call(Wait { ms: 60_000 }), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        mesh.cluster(0).stop().await;
    });
    assert_eq!(outcome, Ok(()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_admitted_does_not_hold_up_the_end() -> TestResult {
    let builder = desks().clusters(0);
    let builder = builder.configure_regions(|_, it| it.admission(Admission::Application));
    let mesh = builder.start().await?;
    let mut waiting = RawPeer::admitted(&mesh, &Mesh::uuid_of(0).to_string()).await?;
    assert!(waiting.replies_until_ping().await?.is_empty());
    let started = Instant::now();
    let answering = async {
        // It answers whatever it is asked on the way out.
        while let Some(asked) = waiting.next().await {
            let tag = asked.get("_ask").unwrap();
            waiting.send(&crate::raw::box_of([("_answer", tag)])).await.unwrap();
        }
    };
    let region = mesh.region(0);
    tokio::join!(region.stop(), answering);
    assert!(started.elapsed() <= Duration::from_secs(1), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stranger_who_says_nothing_does_not_hold_up_the_end() -> TestResult {
    let mesh = desks().clusters(0).start().await?;
    let mut silent = RawPeer::stranger(&mesh, 0).await?;
    assert!(silent.next().await.is_some());
    let started = Instant::now();
    mesh.region(0).stop().await;
    assert!(started.elapsed() <= Duration::from_secs(1), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_paused_cluster_does_not_keep_the_news_from_others() -> TestResult {
    let mesh = desks().regions(1).clusters(2).start().await?;
    mesh.cluster(0).pause();
    let lost = mesh.add_region().await?;
    let told = Instant::now();
    while mesh.cluster(1).get_all_clients().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    lost.stop().await;
    // Only the first region process can tell of the third, and it is waiting for the paused one.
    let third = mesh.add_region().await?;
    let is_third = |client: &mesh::Client<_>| client.ident() == Some(third.id().to_string());
    while !mesh.cluster(1).get_all_clients().iter().any(is_third) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_report_shows_the_whole_mesh() -> TestResult {
    let mesh = desks().regions(2).clusters(3).start().await?;
    // Links are written down together, a moment after they were made.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let report = mesh.region(1).controller().report().await?;
    let regions: Vec<_> = report.regions.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(regions, ["region-0", "region-1"]);
    let links: HashSet<_> =
        report.links.iter().map(|it| (it.region.clone(), it.cluster_name.clone())).collect();
    assert_eq!(links.len(), 6);

    mesh.cluster(2).crash().await;
    mesh.region(0).stop().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let report = mesh.region(1).controller().report().await?;
    assert_eq!(report.regions.len(), 1);
    let links: Vec<_> = report.links.iter().map(|it| it.cluster_name.as_str()).collect();
    assert_eq!(links, ["cluster-0", "cluster-1"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_crowd_does_not_come_back_all_at_once() -> TestResult {
    let mesh = desks().clusters(40).start().await?;
    mesh.region(0).crash().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    mesh.region(0).restart().await?;
    let back = mesh.transcript().lines.last().unwrap().at;
    mesh.settled().await?;
    let lines = mesh.transcript().lines.into_iter();
    let times: Vec<_> =
        lines.filter(|it| it.text == "connected" && it.at > back).map(|it| it.at).collect();
    // One each: nobody connects twice and throws one away.
    assert_eq!(times.len(), 40);
    // Within any quarter of a second come few of them: 2.5 of 40 on average.
    let busiest = times.iter().map(|first| {
        let end = *first + Duration::from_millis(250);
        times.iter().filter(|it| (*first..end).contains(*it)).count()
    });
    assert!(busiest.max().unwrap() <= 16);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn dropping_a_mesh_leaves_nothing_running() -> TestResult {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let mesh = desks().regions(2).clusters(2).limits(Limits::default()).start().await?;
    let handle = mesh.region(0);
    assert!(alive() > before);
    drop(mesh);
    let started = Instant::now();
    while alive() > before {
        tokio::task::yield_now().await;
        assert_eq!(started.elapsed(), Duration::ZERO, "{} tasks are left", alive());
    }
    assert!(handle.get_all_clients().is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_mesh_that_cannot_settle_says_what_is_missing() -> TestResult {
    let mesh = desks().regions(2).clusters(2).start().await?;
    mesh.link(1, 0).cut();
    let missing = mesh.settled().await.unwrap_err();
    assert_eq!(missing.missing, [(1, 0)]);
    assert_eq!(missing.to_string(), "not connected within 8000 ms: region-1 and cluster-0");
    mesh.link(1, 0).heal();
    mesh.settled().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn services_and_calls_survive_a_region_that_moves() -> TestResult {
    let mesh = desks().regions(2).clusters(2).start().await?;
    let seen = Arc::new(Mutex::new(HashSet::new()));
    for _ in 0..5 {
        mesh.region(0).stop().await;
        mesh.region(0).restart().await?;
        mesh.settled().await?;
        seen.lock().unwrap().insert(mesh.region(0).id().to_string());
    }
    // A new identity every time, and none of the old ones is dialled any more.
    assert_eq!(seen.lock().unwrap().len(), 5);
    assert_eq!(mesh.cluster(0).get_all_clients().len(), 2);
    Ok(())
}
