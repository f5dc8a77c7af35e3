//! A process that has nearly all the memory that it may have: what is new is refused, what is under
//! way ends, and nothing is closed.
//!
//! The tests have memory of their own count as the process's, for all of this is one process.

use std::time::Duration;

use amp_proto::{Arguments, CallError, Command, ItemSender, Never, responders};
use bytes::Bytes;
use mesh::{MemoryBudget, MemoryPressure};
use mesh_harness::{Logs, Mesh, MeshBuilder, TestResult};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::raw::RawPeer;

/// Take it.
#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Store {
    bytes: Bytes,
}

/// Answer when you are told to.
#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Hold;

/// Answer with a drop.
#[derive(Debug, Command)]
#[command(answered_by = any, answers = stream Drop)]
struct Pour;

#[derive(Debug, PartialEq, Arguments)]
struct Drop {
    water: Bytes,
}

#[derive(Debug, Default)]
struct Cellar {
    begun: Notify,
    go_on: Notify,
}

#[responders]
impl Cellar {
    #[responder]
    async fn store(&self, Store { bytes }: Store) -> Result<(), Never> {
        drop(bytes);
        Ok(())
    }

    #[responder]
    async fn hold(&self, _: Hold) -> Result<(), Never> {
        self.begun.notify_one();
        self.go_on.notified().await;
        Ok(())
    }

    #[responder]
    async fn pour(&self, _: Pour, mut drops: ItemSender<Drop>) -> Result<(), Never> {
        let _sent = drops.send(Drop { water: Bytes::from_static(b"drop") }).await;
        Ok(())
    }
}

/// Far more than these tests take by themselves.
const BUDGET_BYTES: u64 = 384 * 1024 * 1024;

fn mesh(cellar: &Arc<Cellar>) -> MeshBuilder {
    let there = Arc::clone(cellar);
    Mesh::builder()
        .region_responders_arc(move |_| Arc::clone(&there))
        .configure_regions(|_, region| region.memory_budget(MemoryBudget::Bytes(BUDGET_BYTES)))
}

/// Takes memory until so many percent of the budget are used, and waits until that is seen.
async fn ballast(mesh: &Mesh, percent: u64, expected: MemoryPressure) -> TestResult<Vec<u8>> {
    let region = mesh.region(0).controller();
    let resident = region.memory().resident_bytes.unwrap();
    let wanted = (BUDGET_BYTES / 100 * percent).saturating_sub(resident);
    let ballast = vec![1; usize::try_from(wanted)?];
    region.memory_changes().wait_for(|pressure| *pressure == expected).await?;
    Ok(ballast)
}

async fn is_eased(mesh: &Mesh) -> TestResult {
    let mut changes = mesh.region(0).controller().memory_changes();
    changes.wait_for(|pressure| *pressure == MemoryPressure::Low).await?;
    Ok(())
}

fn store(bytes: usize) -> Store {
    Store { bytes: vec![3; bytes].into() }
}

const SMALL: usize = 10;
/// It goes in pieces.
const LARGE: usize = 4 * 1024 * 1024;

#[tokio::test]
async fn while_memory_is_short_what_is_new_is_refused_and_the_rest_goes_on() -> TestResult {
    let cellar = Arc::new(Cellar::default());
    let mesh = mesh(&cellar).start().await?;
    let client = mesh.cluster(0).get_client().await?;
    let (holder, calls) = (client.clone(), TaskTracker::new());
    let held = calls.spawn(async move { holder.call(Hold).await });
    cellar.begun.notified().await;

    let ballast = ballast(&mesh, 85, MemoryPressure::High).await?;
    for bytes in [SMALL, LARGE] {
        assert_eq!(client.call(store(bytes)).await, Err(CallError::Overloaded), "{bytes} bytes");
    }
    let mut stream = client.stream(Pour)?;
    assert_eq!(stream.next().await, Err(CallError::Overloaded));
    client.ping().await?;
    let another = mesh.add_cluster().await?;
    mesh.settled().await?;
    let theirs = another.get_client().await?;
    assert_eq!(theirs.call(store(SMALL)).await, Err(CallError::Overloaded));
    cellar.go_on.notify_one();
    assert_eq!(held.await?, Ok(()), "what was under way ends");

    drop(ballast);
    is_eased(&mesh).await?;
    for bytes in [SMALL, LARGE] {
        assert_eq!(client.call(store(bytes)).await, Ok(()), "{bytes} bytes");
    }
    assert!(client.link().is_open() && theirs.link().is_open(), "nothing was closed");
    Ok(())
}

#[tokio::test]
async fn nobody_is_accepted_while_nearly_all_memory_is_used_and_those_who_wait_are_later()
-> TestResult {
    let (logs, cellar) = (Logs::capture(), Arc::new(Cellar::default()));
    let mesh = mesh(&cellar).over_tcp().start().await?;
    let ballast = ballast(&mesh, 95, MemoryPressure::Critical).await?;

    let mut waiting = RawPeer::stranger(&mesh, 0).await?;
    let unheard = tokio::time::timeout(Duration::from_millis(500), waiting.next()).await;
    assert!(unheard.is_err(), "it is not accepted, so nobody asks it for a proof");
    let client = mesh.cluster(0).get_client().await?;
    client.ping().await?;
    assert_eq!(client.call(store(SMALL)).await, Err(CallError::Overloaded));

    drop(ballast);
    is_eased(&mesh).await?;
    let ask = waiting.next().await.unwrap();
    assert_eq!(ask.get("_command").unwrap(), "Authenticate");
    assert_eq!(client.call(store(SMALL)).await, Ok(()));
    let told = ["memory runs short", "cannot accept connections", "there is memory again"];
    assert_eq!(told.map(|line| logs.lines_with(line).len()), [1, 1, 1]);
    Ok(())
}
