//! Links that go silent, break, and heal; processes that stand still; readers that do not read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use amp_proto::{Arguments, CallError, Command, Limits, Lost, Never, responders};
use bytes::Bytes;
use futures_util::future::join_all;
use mesh_harness::{Mesh, MeshBuilder, TestResult};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::Instant;

use crate::desk::{Desk, Echo, Sum, Total, Wait};

fn desks() -> MeshBuilder {
    Mesh::builder().region_responders(|_| Desk::default()).cluster_responders(|_| Desk::default())
}

const SUM: Sum = Sum { a: 20, b: 22 };
const TOTAL: Total = Total { total: 42 };

#[tokio::test(start_paused = true)]
async fn a_link_that_went_silent_is_found_out_by_both_sides() -> TestResult {
    let mesh = desks().clusters(2).start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let back = mesh.cluster(0).get_client().await?;
    let frozen = Instant::now();
    mesh.link(0, 0).freeze();
    let silent = Limits::default().dead_after;
    let call = client.clone().within(Duration::from_secs(60));
    let (here, there, call) = tokio::join!(client.closed(), back.closed(), call.call(SUM));
    assert_eq!((here, there), (Lost::Silent { silent }, Lost::Silent { silent }));
    assert_eq!(call, Err(CallError::Lost { lost: Lost::Silent { silent }, maybe_done: true }));
    assert_eq!(frozen.elapsed(), silent);
    // Its neighbour has noticed nothing.
    let neighbour = mesh.region(0).get_client_for(Mesh::uuid_of(1)).await?;
    assert_eq!(neighbour.call(SUM).await, Ok(TOTAL));

    mesh.link(0, 0).heal();
    let healed = Instant::now();
    mesh.settled().await?;
    assert!(healed.elapsed() <= Duration::from_secs(5), "{:?}", healed.elapsed());
    assert_eq!(mesh.cluster(0).get_client().await?.call(SUM).await, Ok(TOTAL));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_link_that_heals_in_time_loses_nothing() -> TestResult {
    let mesh = desks().start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    for silence in [1, 4, 6, 14] {
        mesh.link(0, 0).freeze();
        let calls = join_all((0..10).map(|_| client.call(SUM)));
        let healing = async {
            tokio::time::sleep(Duration::from_secs(silence)).await;
            mesh.link(0, 0).heal();
        };
        let (outcomes, ()) = tokio::join!(calls, healing);
        assert!(outcomes.into_iter().all(|outcome| outcome == Ok(TOTAL)), "after {silence} s");
    }
    assert!(client.is_open());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_cut_is_broken_for_both_sides_at_once() -> TestResult {
    let mesh = desks().regions(2).clusters(2).start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let is_it = |it: &mesh::Client<_>| it.ident() == Some(mesh.region(0).id().to_string());
    let back = mesh.cluster(0).get_all_clients().into_iter().find(is_it).unwrap();
    let cut = Instant::now();
    let (there, here, lost, ()) = tokio::join!(
        client.call(Wait { ms: 9 }),
        back.call(Wait { ms: 9 }),
        back.closed(),
        async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            mesh.link(0, 0).cut();
        }
    );
    assert!(matches!(lost, Lost::Broken { .. }), "{lost:?}");
    for outcome in [there, here] {
        let Err(CallError::Lost { lost: Lost::Broken { .. }, maybe_done: true }) = outcome else {
            panic!("{outcome:?}");
        };
    }
    assert_eq!(cut.elapsed(), Duration::from_millis(5));
    // Either has others to talk to.
    assert_eq!(mesh.cluster(0).get_client().await?.call(SUM).await, Ok(TOTAL));
    assert_eq!(mesh.region(0).get_all_clients().len(), 1);

    mesh.link(0, 0).heal();
    mesh.settled().await?;
    assert!(cut.elapsed() <= Duration::from_secs(5), "{:?}", cut.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_link_may_be_cut_again_and_again() -> TestResult {
    let mesh = desks().regions(2).clusters(2).start().await?;
    for _ in 0..30 {
        mesh.link(1, 1).cut();
        mesh.link(1, 1).heal();
        mesh.settled().await?;
        let client = mesh.region(1).get_client_for(Mesh::uuid_of(1)).await?;
        assert_eq!(client.call(SUM).await, Ok(TOTAL));
    }
    Ok(())
}

#[tokio::test]
async fn faults_work_over_real_sockets_as_well() -> TestResult {
    let limits = Limits {
        ping_after: Duration::from_millis(300),
        // Long enough that nobody is silent for so long because the machine has more to do.
        dead_after: Duration::from_millis(1500),
        ..Limits::default()
    };
    let mesh = desks().regions(2).clusters(2).limits(limits).over_tcp().start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    mesh.link(0, 0).freeze();
    assert!(matches!(client.closed().await, Lost::Silent { .. }));
    mesh.link(0, 0).heal();
    mesh.settled().await?;

    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    mesh.link(0, 0).cut();
    assert!(matches!(client.closed().await, Lost::Broken { .. }));
    mesh.link(0, 0).heal();
    mesh.settled().await?;

    mesh.region(1).crash().await;
    mesh.region(1).restart().await?;
    mesh.cluster(1).restart().await?;
    mesh.settled().await?;
    for region in mesh.regions() {
        for client in region.get_all_clients() {
            assert_eq!(client.call(SUM).await, Ok(TOTAL));
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_stands_still_is_given_up_and_comes_back() -> TestResult {
    let mesh = desks().regions(3).clusters(2).start().await?;
    let mut clients = Vec::new();
    for region in mesh.regions() {
        clients.push(region.get_client_for(Mesh::uuid_of(0)).await?);
    }
    let paused = Instant::now();
    mesh.cluster(0).pause();
    for client in clients {
        assert!(matches!(client.closed().await, Lost::Silent { .. }));
    }
    assert_eq!(paused.elapsed(), Limits::default().dead_after);
    assert_eq!(mesh.region(0).get_all_clients().len(), 1);

    tokio::time::sleep(Duration::from_secs(60)).await;
    mesh.cluster(0).resume();
    let resumed = Instant::now();
    mesh.settled().await?;
    assert!(resumed.elapsed() <= Duration::from_secs(5), "{:?}", resumed.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_region_that_stands_still_is_given_up_and_comes_back() -> TestResult {
    let mesh = desks().regions(2).clusters(3).start().await?;
    mesh.region(0).pause();
    let paused = Instant::now();
    for cluster in mesh.clusters() {
        for client in cluster.get_all_clients() {
            if client.ident() == Some(mesh.region(0).id().to_string()) {
                assert!(matches!(client.closed().await, Lost::Silent { .. }));
            }
        }
        let other = cluster.get_client().await?.ident();
        assert_eq!(other, Some(mesh.region(1).id().to_string()));
    }
    assert_eq!(paused.elapsed(), Limits::default().dead_after);
    // Long enough for attempts that connect, and hear nothing.
    tokio::time::sleep(Duration::from_secs(60)).await;
    mesh.region(0).resume();
    let resumed = Instant::now();
    mesh.settled().await?;
    // An attempt that hears nothing lasts five seconds, and then comes the wait after it.
    assert!(resumed.elapsed() <= Duration::from_secs(9), "{:?}", resumed.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_pause_shorter_than_a_dead_peers_silence_is_no_loss() -> TestResult {
    let mesh = desks().regions(2).start().await?;
    let clients = mesh.cluster(0).get_all_clients();
    mesh.cluster(0).pause();
    tokio::time::sleep(Duration::from_secs(12)).await;
    mesh.cluster(0).resume();
    for client in clients {
        assert_eq!(client.call(SUM).await, Ok(TOTAL));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_stalls_itself_only() -> TestResult {
    let mesh = desks().clusters(2).start().await?;
    let slow = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let well = mesh.region(0).get_client_for(Mesh::uuid_of(1)).await?;
    let started = Instant::now();
    mesh.link(0, 0).freeze();
    let flood = (0..400).map(|_| slow.call(Echo { bytes: vec![1; 30_000].into(), note: None }));
    let flood = join_all(flood);
    let healthy = async {
        for _ in 0..100 {
            let asked = Instant::now();
            assert_eq!(well.call(SUM).await, Ok(TOTAL));
            assert_eq!(asked.elapsed(), Duration::ZERO);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (outcomes, ()) = tokio::join!(flood, healthy);
    let stalled = Limits::default().outbound_stalled_max;
    assert_eq!(started.elapsed(), stalled);
    let (mut sent, mut unsent) = (0, 0);
    for outcome in outcomes {
        match outcome {
            Err(CallError::Lost { lost: Lost::Stalled { .. }, maybe_done: true }) => sent += 1,
            Err(CallError::Lost { lost: Lost::Stalled { .. }, maybe_done: false }) => unsent += 1,
            other => panic!("{other:?}"),
        }
    }
    // What the buffers between the two take may have arrived; the rest certainly has not.
    assert!((1..=20).contains(&sent) && unsent >= 380, "{sent} sent, {unsent} not");
    mesh.link(0, 0).heal();
    mesh.settled().await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_room_while_a_reader_is_slow_and_all_of_them_arrive() -> TestResult {
    let limits = Limits { outbound_bytes_max: 100_000, ..Limits::default() };
    let mesh = desks().limits(limits).start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    mesh.link(0, 0).freeze();
    let flood = (0..200_u8).map(|byte| {
        let (client, bytes) = (&client, Bytes::from(vec![byte; 60_000]));
        async move {
            let echoed = client.call(Echo { bytes: bytes.clone(), note: None }).await;
            assert_eq!(echoed.map(|echoed| echoed.bytes == bytes), Ok(true));
        }
    });
    let healing = async {
        tokio::time::sleep(Duration::from_secs(8)).await;
        mesh.link(0, 0).heal();
    };
    tokio::join!(join_all(flood), healing);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn both_sides_may_flood_each_other_without_a_deadlock() -> TestResult {
    let limits = Limits { outbound_bytes_max: 100_000, ..Limits::default() };
    let mesh = desks().limits(limits).start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let back = mesh.cluster(0).get_client().await?;
    let echo = || Echo { bytes: vec![7; 65_535].into(), note: None };
    let (there, here) = tokio::join!(
        join_all((0..300).map(|_| client.call(echo()))),
        join_all((0..300).map(|_| back.call(echo()))),
    );
    assert!(there.iter().chain(&here).all(Result::is_ok));
    Ok(())
}

/// Do something that must not be done twice.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, response = Did)]
struct Do {
    id: u64,
    ms: u64,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
struct Did {
    id: u64,
}

/// Counts how often each thing was begun.
#[derive(Clone, Debug, Default)]
struct Ledger(Arc<Mutex<HashMap<u64, u32>>>);

#[responders]
impl Ledger {
    #[responder]
    async fn carry_out(&self, it: Do) -> Result<Did, Never> {
        *self.0.lock().unwrap().entry(it.id).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(it.ms)).await;
        Ok(Did { id: it.id })
    }
}

/// What a caller learnt of one thing that it wanted done; `None` if it found nobody to ask.
type Learnt = Option<Result<Did, CallError<Never>>>;

/// Breaks one thing after another, and mends it again. Gives how many.
async fn break_things(mesh: &Mesh, end: Instant) -> TestResult<usize> {
    let mut dice = StdRng::seed_from_u64(7);
    let mut broken = 0;
    while Instant::now() < end {
        let region = mesh.region(dice.random_range(0..3));
        let cluster = mesh.cluster(dice.random_range(0..4));
        let link = mesh.link(region.index(), cluster.index());
        let fault = dice.random_range(0..6);
        match fault {
            0 => region.crash().await,
            1 => cluster.crash().await,
            2 => cluster.stop().await,
            3 => link.freeze(),
            _ => link.cut(),
        }
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..300))).await;
        match fault {
            0 => region.restart().await?,
            1 | 2 => cluster.restart().await?,
            _ => link.heal(),
        }
        broken += 1;
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..150))).await;
    }
    Ok(broken)
}

/// Asks any region to have any cluster do something, again and again.
async fn want_things_done(mesh: &Mesh, caller: u64, end: Instant) -> Vec<(u64, Learnt)> {
    const FOUND_WITHIN: Duration = Duration::from_millis(50);
    const DONE_WITHIN: Duration = Duration::from_secs(2);
    let mut dice = StdRng::seed_from_u64(100 + caller);
    let mut learnt = Vec::new();
    for id in caller * 1_000_000.. {
        if Instant::now() >= end {
            break;
        }
        let region = mesh.region(dice.random_range(0..3)).controller();
        let cluster = Mesh::uuid_of(dice.random_range(0..4));
        let Ok(client) = region.get_client_for_within(cluster, FOUND_WITHIN).await else {
            learnt.push((id, None));
            continue;
        };
        let asked = Instant::now();
        let thing = Do { id, ms: dice.random_range(0..30) };
        let outcome = client.within(DONE_WITHIN).call(thing).await;
        assert!(asked.elapsed() <= DONE_WITHIN, "{:?}", asked.elapsed());
        learnt.push((id, Some(outcome)));
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..40))).await;
    }
    learnt
}

#[tokio::test(start_paused = true)]
async fn every_call_has_one_outcome_that_is_true_whatever_breaks_meanwhile() -> TestResult {
    let ledger = Ledger::default();
    let there = ledger.clone();
    let mesh = Mesh::builder().regions(3).clusters(4).cluster_responders(move |_| there.clone());
    let mesh = mesh.start().await?;
    let end = Instant::now() + Duration::from_secs(60);
    let callers = join_all((0..6).map(|caller| want_things_done(&mesh, caller, end)));
    let (broken, learnt) = tokio::join!(break_things(&mesh, end), callers);

    let done = ledger.0.lock().unwrap();
    let (mut answered, mut lost) = (0, 0);
    for (id, outcome) in learnt.into_iter().flatten() {
        let times = done.get(&id).copied().unwrap_or_default();
        match outcome {
            Some(Ok(did)) => {
                assert_eq!((did.id, times), (id, 1));
                answered += 1;
            }
            Some(Err(error)) if error.maybe_done() => {
                assert!(times <= 1, "{error:?}");
                lost += 1;
            }
            Some(Err(_)) | None => assert_eq!(times, 0),
        }
    }
    let broken = broken?;
    assert!(broken > 200 && answered > 4_000 && lost > 30, "{broken} {answered} {lost}");
    Ok(())
}
