//! Calls that are carried out once, however often and through whomever they are tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amp_proto::{Arguments, CallError, Command, CommandError, Limits, responders};
use futures_util::future::join_all;
use mesh::CallId;
use mesh_harness::{Mesh, MeshBuilder, TestResult};

/// Take a cheez out of the cellar.
#[derive(Clone, Debug, Command)]
#[command(answered_by = Cluster, response = Taken, errors = NoneLeft)]
struct TakeOut {
    name: String,
    takes_ms: u64,
}

#[derive(Debug, PartialEq, Arguments)]
struct Taken {
    left: u32,
    label: Vec<u8>,
}

#[derive(Debug, PartialEq, CommandError, thiserror::Error)]
enum NoneLeft {
    #[code("NONE_LEFT")]
    #[error("no {0} is left")]
    NoneLeft(String),
}

struct Shelf {
    left: AtomicU32,
    label: Vec<u8>,
}

#[responders]
impl Shelf {
    #[responder]
    async fn take_out(&self, it: TakeOut) -> Result<Taken, NoneLeft> {
        let left = self.left.load(Ordering::Relaxed);
        let left = left.checked_sub(1).ok_or(NoneLeft::NoneLeft(it.name))?;
        self.left.store(left, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(it.takes_ms)).await;
        Ok(Taken { left, label: self.label.clone() })
    }
}

/// Two region processes, and a cluster with this many cheezes.
fn shelf(left: u32) -> (Arc<Shelf>, MeshBuilder) {
    let shelf = Arc::new(Shelf { left: AtomicU32::new(left), label: b"label".to_vec() });
    let answering = Arc::clone(&shelf);
    let mesh = Mesh::builder().regions(2).cluster_responders_arc(move |_| Arc::clone(&answering));
    (shelf, mesh)
}

fn take_out() -> TakeOut {
    TakeOut { name: "Gouda".to_owned(), takes_ms: 0 }
}

fn taken(left: u32) -> Taken {
    Taken { left, label: b"label".to_vec() }
}

/// An id that was made so long ago.
fn made_ago(ago: Duration) -> CallId {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    CallId::made_at(now.checked_sub(ago).unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_same_id_gets_the_same_answer_through_any_region_process() -> TestResult {
    let (shelf, mesh) = shelf(10);
    let mesh = mesh.start().await?;
    let id = CallId::generate();
    for region in [0, 1, 0] {
        let client = mesh.region(region).get_client_for(Mesh::uuid_of(0)).await?;
        assert_eq!(client.once(id).call(take_out()).await, Ok(taken(9)));
    }
    let client = mesh.region(1).get_client_for(Mesh::uuid_of(0)).await?;
    assert_eq!(client.clone().once(CallId::generate()).call(take_out()).await, Ok(taken(8)));
    assert_eq!(client.call(take_out()).await, Ok(taken(7)));
    assert_eq!(shelf.left.load(Ordering::Relaxed), 7);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_run_outlives_its_connection_and_answers_whoever_tries_again() -> TestResult {
    let (shelf, mesh) = shelf(10);
    let mesh = mesh.start().await?;
    let (id, slowly) = (CallId::generate(), TakeOut { takes_ms: 2000, ..take_out() });
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?.once(id);
    let (lost, ()) = tokio::join!(client.call(slowly.clone()), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        mesh.link(0, 0).cut();
    });
    assert!(matches!(lost, Err(CallError::Lost { maybe_done: true, .. })), "{lost:?}");

    let other = mesh.region(1).get_client_for(Mesh::uuid_of(0)).await?.once(id);
    assert_eq!(other.call(slowly.clone()).await, Ok(taken(9)));
    mesh.link(0, 0).heal();
    mesh.settled().await?;
    let again = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?.once(id);
    assert_eq!(again.call(slowly).await, Ok(taken(9)));
    assert_eq!(shelf.left.load(Ordering::Relaxed), 9);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn fifty_tries_at_once_are_one_run() -> TestResult {
    let (shelf, mesh) = shelf(10);
    let mesh = mesh.start().await?;
    let (id, slowly) = (CallId::generate(), TakeOut { takes_ms: 100, ..take_out() });
    let regions = [mesh.region(0), mesh.region(1)];
    let tries = (0..50).map(|number| {
        let (region, slowly) = (&regions[number % 2], slowly.clone());
        async move {
            let client = region.get_client_for(Mesh::uuid_of(0)).await.unwrap();
            client.once(id).call(slowly).await
        }
    });
    assert!(join_all(tries).await.into_iter().all(|answer| answer == Ok(taken(9))));
    assert_eq!(shelf.left.load(Ordering::Relaxed), 9);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_does_not_stop_a_run_that_others_may_ask_for() -> TestResult {
    let (shelf, mesh) = shelf(10);
    let mesh = mesh.start().await?;
    let (id, slowly) = (CallId::generate(), TakeOut { takes_ms: 1000, ..take_out() });
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?.once(id);
    let late = client.clone().within(Duration::from_millis(300)).call(slowly.clone()).await;
    assert!(matches!(late, Err(CallError::TimedOut { maybe_done: true, .. })), "{late:?}");
    assert_eq!(client.call(slowly).await, Ok(taken(9)));
    assert_eq!(shelf.left.load(Ordering::Relaxed), 9);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_declared_error_is_remembered_as_well() -> TestResult {
    let (shelf, mesh) = shelf(0);
    let mesh = mesh.start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?.once(CallId::generate());
    let none_left = Err(CallError::Declared(NoneLeft::NoneLeft("Gouda".to_owned())));
    assert_eq!(client.call(take_out()).await, none_left);
    shelf.left.store(5, Ordering::Relaxed);
    assert_eq!(client.call(take_out()).await, none_left);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_past_the_window_is_refused_and_not_run_again() -> TestResult {
    let (shelf, mesh) = shelf(10);
    let mesh = mesh.start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let first = client.clone().once(CallId::generate());
    assert_eq!(first.call(take_out()).await, Ok(taken(9)));
    tokio::time::sleep(Limits::default().once_window + Duration::from_secs(1)).await;
    let refused = first.call(take_out()).await.unwrap_err();
    assert!(matches!(refused, CallError::OnceExpired { .. }), "{refused:?}");
    assert!(refused.maybe_done() && !refused.is_retryable());
    let (past, to_come) = (made_ago(Duration::from_secs(3600)), Duration::from_secs(4_000_000_000));
    for id in [past, CallId::made_at(to_come)] {
        let refused = client.clone().once(id).call(take_out()).await.unwrap_err();
        assert!(matches!(refused, CallError::OnceExpired { .. }), "{refused:?}");
    }
    assert_eq!(shelf.left.load(Ordering::Relaxed), 9);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_started_after_an_id_was_made_does_not_run_it() -> TestResult {
    let (shelf, mesh) = shelf(10);
    let mesh = mesh.start().await?;
    let id = made_ago(Duration::from_millis(5));
    mesh.cluster(0).restart().await?;
    mesh.settled().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?.once(id);
    let refused = client.call(take_out()).await.unwrap_err();
    assert!(matches!(refused, CallError::OnceExpired { .. }), "{refused:?}");
    assert_eq!(shelf.left.load(Ordering::Relaxed), 10);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_id_belongs_to_one_call() -> TestResult {
    let (shelf, mesh) = shelf(10);
    let mesh = mesh.start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?.once(CallId::generate());
    assert_eq!(client.call(take_out()).await, Ok(taken(9)));
    let other = TakeOut { name: "Brie".to_owned(), ..take_out() };
    assert_eq!(client.call(other).await, Err(CallError::OnceReused));
    assert_eq!(shelf.left.load(Ordering::Relaxed), 9);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_bounded_and_nothing_is_forgotten_early() -> TestResult {
    let (shelf, mesh) = shelf(10);
    let limits = Limits { once_answers_max: 2, ..Limits::default() };
    let mesh = mesh.limits(limits).start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let ids = [CallId::generate(), CallId::generate()];
    for (id, left) in ids.into_iter().zip([9, 8]) {
        assert_eq!(client.clone().once(id).call(take_out()).await, Ok(taken(left)));
    }
    let third = client.clone().once(CallId::generate());
    assert_eq!(third.call(take_out()).await, Err(CallError::Overloaded));
    assert_eq!(client.clone().once(ids[0]).call(take_out()).await, Ok(taken(9)));
    assert_eq!(client.call(take_out()).await, Ok(taken(7)), "other calls go on");
    tokio::time::sleep(Limits::default().once_window + Duration::from_secs(1)).await;
    let made = SystemTime::now().duration_since(UNIX_EPOCH)? + Limits::default().once_window;
    let later = client.once(CallId::made_at(made));
    assert_eq!(later.call(take_out()).await, Ok(taken(6)));
    assert_eq!(shelf.left.load(Ordering::Relaxed), 6);
    Ok(())
}
