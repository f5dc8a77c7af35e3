//! What two of us do for each other beyond plain AMP, and do not do to a stock peer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;
use std::time::Duration;

use amp_proto::{
    CallError, Cluster, Command, Limits, Never, Peer, Region, Responders, Role, RoleName,
    responders,
};
use mesh::commands::Ident;
use mesh::{CallContext, Client, Common, Features, PeerExt as _, TraceParent, connect_trusted};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Wait until somebody drops it.
#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Dawdle;

/// Ask the asker back what it knows of the call.
#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Relay;

/// Fail so long before the time of the call is over.
#[derive(Debug, Command)]
#[command(answered_by = any)]
struct FailBefore {
    milliseconds_before_its_time_is_over: u64,
}

/// Tell what is known of the call.
#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Tell;

#[derive(Debug, PartialEq)]
enum Seen {
    Began,
    Dropped,
    Context(CallContext),
}

struct Worker {
    seen: mpsc::Sender<Seen>,
}

struct OnDrop(mpsc::Sender<Seen>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _told = self.0.try_send(Seen::Dropped);
    }
}

#[responders]
impl Worker {
    #[responder]
    async fn dawdle(&self, _: Dawdle) -> Result<(), Never> {
        let _dropped = OnDrop(self.seen.clone());
        let _told = self.seen.try_send(Seen::Began);
        std::future::pending().await
    }

    #[responder]
    async fn relay(&self, _: Relay, peer: &Peer) -> Result<(), amp_proto::Failure<Never>> {
        tokio::task::yield_now().await;
        let asker = peer.client::<Cluster>().expect("the asker is connected");
        asker.call(Tell).await.map_err(amp_proto::Failure::undeclared)
    }

    #[responder]
    async fn fail_before(&self, it: FailBefore) -> Result<(), amp_proto::Failure<Never>> {
        let before = Duration::from_millis(it.milliseconds_before_its_time_is_over);
        tokio::time::sleep_until(CallContext::current().deadline().unwrap() - before).await;
        Err(amp_proto::Failure::undeclared("there is no time".to_owned()))
    }

    #[responder]
    async fn tell(&self, _: Tell) -> Result<(), Never> {
        let _told = self.seen.try_send(Seen::Context(CallContext::current()));
        Ok(())
    }
}

/// One end: its client, and what its responders saw.
fn end<R: Role>(
    stream: DuplexStream,
    role: RoleName,
    running: &mut JoinSet<()>,
) -> (Client<R>, mpsc::Receiver<Seen>) {
    let (seen, seeing) = mpsc::channel(16);
    let ident = Ident { ident: "one".to_owned(), name: None, version: None };
    let mut responders = Responders::new();
    responders.add(Arc::new(Common::new(role, ident, None))).unwrap();
    responders.add(Arc::new(Worker { seen })).unwrap();
    let (client, driving) =
        connect_trusted::<R, _>(stream, Arc::new(responders), Limits::default());
    running.spawn(async move {
        driving.await;
    });
    (client, seeing)
}

struct Two {
    region: Client<Region>,
    seen_by_region: mpsc::Receiver<Seen>,
    seen_by_cluster: mpsc::Receiver<Seen>,
    _cluster: Client<Cluster>,
    _running: JoinSet<()>,
}

async fn two() -> Two {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let mut running = JoinSet::new();
    let (region, seen_by_cluster) = end::<Region>(near, RoleName::Cluster, &mut running);
    let (cluster, seen_by_region) = end::<Cluster>(far, RoleName::Region, &mut running);
    let (here, there) = tokio::join!(region.negotiate(), cluster.negotiate());
    here.unwrap();
    there.unwrap();
    Two { region, seen_by_region, seen_by_cluster, _cluster: cluster, _running: running }
}

#[tokio::test(start_paused = true)]
async fn two_of_us_agree_on_every_feature() {
    let two = two().await;
    let agreement = two.region.link().agreement().unwrap();
    assert_eq!(agreement.features, Features::all());
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_stops_it_at_the_peer() {
    let mut two = two().await;
    let call = two.region.clone();
    let mut calling = JoinSet::new();
    calling.spawn(async move { call.call(Dawdle).await });
    assert_eq!(two.seen_by_region.recv().await, Some(Seen::Began));
    calling.abort_all();
    assert_eq!(two.seen_by_region.recv().await, Some(Seen::Dropped));
    assert!(two.region.ping().await.is_ok(), "the connection lives");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_is_stopped_at_the_peer() {
    let mut two = two().await;
    let timed_out = two.region.clone().within(Duration::from_secs(2)).call(Dawdle).await;
    assert!(
        matches!(timed_out, Err(CallError::TimedOut { maybe_done: true, .. })),
        "{timed_out:?}"
    );
    assert_eq!(two.seen_by_region.recv().await, Some(Seen::Began));
    assert_eq!(two.seen_by_region.recv().await, Some(Seen::Dropped));
    assert!(two.region.ping().await.is_ok(), "the late refusal does no harm");
}

#[tokio::test(start_paused = true)]
async fn whoever_fails_when_its_time_is_over_had_too_little_of_it() {
    let two = two().await;
    let client = two.region.clone().within(Duration::from_secs(2));
    let fails = async |before| {
        client.call(FailBefore { milliseconds_before_its_time_is_over: before }).await.unwrap_err()
    };
    for before in [0, 1] {
        let failed = fails(before).await;
        assert!(matches!(failed, CallError::TimedOut { maybe_done: true, .. }), "{failed:?}");
    }
    let failed = fails(10).await;
    assert!(matches!(failed, CallError::Undeclared { .. }), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_within_a_call_tells_the_time_that_it_had() {
    let two = two().await;
    let soon = CallContext::default().until(Instant::now() + Duration::from_secs(2));
    let timed_out = soon.run(two.region.call(Dawdle)).await.unwrap_err();
    assert_eq!(timed_out, CallError::TimedOut { after: Duration::from_secs(2), maybe_done: true });
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_the_time_and_the_trace_go_over_every_hop() {
    let mut two = two().await;
    let trace = TraceParent::generate();
    let client = two.region.clone().within(Duration::from_secs(2));
    CallContext::default().traced(trace).run(client.call(Relay)).await.unwrap();
    let Some(Seen::Context(context)) = two.seen_by_cluster.recv().await else {
        panic!("the second hop saw something else");
    };
    assert!(context.time_left().unwrap() <= Duration::from_secs(2), "{context:?}");
    let last = context.trace().unwrap();
    assert_eq!(last.trace_id(), trace.trace_id());
    assert_ne!(last, trace, "every hop is a place of its own");
}

#[tokio::test(start_paused = true)]
async fn a_stock_peer_is_not_sent_anything_that_it_did_not_ask_for() {
    let (near, mut stock) = tokio::io::duplex(64 * 1024);
    let mut running = JoinSet::new();
    let (region, _seen) = end::<Region>(near, RoleName::Cluster, &mut running);
    let (mut negotiating, mut calling) = (JoinSet::new(), JoinSet::new());
    let negotiator = region.clone();
    negotiating.spawn(async move { negotiator.negotiate().await });
    let mut bytes = [0; 1024];
    let read = stock.read(&mut bytes).await.unwrap();
    assert!(bytes[..read].windows(9).any(|window| window == b"Negotiate"));
    let unhandled = b"\0\x06_error\0\x011\0\x0b_error_code\0\x09UNHANDLED\
        \0\x12_error_description\0\x02no\0\0";
    stock.write_all(unhandled).await.unwrap();
    assert_eq!(negotiating.join_all().await, [Ok(())]);
    assert_eq!(region.link().agreement(), None);

    let caller = region.clone();
    let trace = CallContext::default().traced(TraceParent::generate());
    calling.spawn(trace.run(async move { caller.call(Tell).await }));
    let read = stock.read(&mut bytes).await.unwrap();
    assert_eq!(&bytes[..read], b"\0\x04_ask\0\x012\0\x08_command\0\x04Tell\0\0");
    calling.abort_all();
    let nothing = tokio::time::timeout(Duration::from_secs(1), stock.read(&mut bytes)).await;
    assert!(nothing.is_err(), "a stock peer does not know `Cancel`");
}
