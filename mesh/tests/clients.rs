//! What a client does at the edges of its settings, and on a connection that is gone.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;
use std::time::Duration;

use amp_proto::{
    CallError, Cluster, Command, Limits, Lost, Never, Region, Responders, Role as _, responders,
};
use mesh::commands::Ident;
use mesh::{Client, Common, Pool, connect_trusted};
use tokio::task::JoinSet;

#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Knock;

struct Doorman;

#[responders]
impl Doorman {
    #[responder]
    async fn knock(&self, _: Knock) -> Result<(), Never> {
        Ok(())
    }
}

/// A client for a region that answers, and the tasks of both ends.
fn region(limits: &Limits, tasks: &mut JoinSet<Lost>) -> Client<Region> {
    let (near, far) = tokio::io::duplex(4096);
    let ident = Ident { ident: "a-region".to_owned(), name: None, version: None };
    let mut responders = Responders::new();
    responders.add(Arc::new(Doorman)).unwrap();
    responders.add(Arc::new(Common::new(Region::NAME, ident, None))).unwrap();
    let (client, driving) =
        connect_trusted::<Region, _>(near, Arc::new(Responders::new()), limits.clone());
    let (_, answering) = connect_trusted::<Cluster, _>(far, Arc::new(responders), limits.clone());
    tasks.spawn(driving);
    tasks.spawn(answering);
    client
}

#[tokio::test(start_paused = true)]
async fn limits_without_end_are_no_limits() {
    let limits = Limits {
        asks_in_flight_max: usize::MAX,
        asks_forgotten_max: usize::MAX,
        responders_running_max: usize::MAX,
        outbound_bytes_max: usize::MAX,
        outbound_stalled_max: Duration::MAX,
        call_timeout: Duration::MAX,
        handshake_timeout: Duration::MAX,
        ping_after: Duration::MAX - Duration::from_nanos(1),
        dead_after: Duration::MAX,
        ..Limits::default()
    };
    limits.check().unwrap();
    let mut tasks = JoinSet::new();
    let client = region(&limits, &mut tasks);
    assert_eq!(client.call(Knock).await, Ok(()));
    assert_eq!(client.clone().within(Duration::MAX).call(Knock).await, Ok(()));
    assert!(client.ping().await.is_ok());
    client.leave().await;
    for lost in tasks.join_all().await {
        assert!(matches!(lost, Lost::ClosedHere | Lost::ClosedByPeer), "{lost:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_with_others_pings_and_leaves_only_its_own_connection() {
    let mut tasks = JoinSet::new();
    let (lost, open) =
        (region(&Limits::default(), &mut tasks), region(&Limits::default(), &mut tasks));
    let pool = Arc::new(Pool::new());
    pool.insert("open", Arc::clone(open.link()));
    let client = Client::<Region>::with_others(Arc::clone(lost.link()), pool);
    lost.link().close(Lost::ClosedHere);
    lost.closed().await;

    // A call may go anywhere; a ping asks for this connection's life.
    assert_eq!(client.call(Knock).await, Ok(()));
    let failed = client.ping().await.unwrap_err();
    assert!(matches!(failed, CallError::Lost { .. }), "{failed:?}");
    client.leave().await;
    assert!(open.is_open());
    assert_eq!(open.call(Knock).await, Ok(()));
}

#[test]
fn what_drives_a_connection_is_small_to_hand_about() {
    let (near, _far) = tokio::io::duplex(64);
    let (_client, driving) =
        connect_trusted::<Region, _>(near, Arc::new(Responders::new()), Limits::default());
    let bytes = size_of_val(&driving);
    assert!(bytes <= 64, "it takes {bytes} bytes wherever it is kept, in each future around it");
}
