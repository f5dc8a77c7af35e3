//! Who counts as alive, and for how long nobody has to wait for those who do not.

use std::time::Duration;

use amp_proto::{CallError, Limits, Lost};
use mesh_harness::{Logs, Mesh, TestResult};
use tokio::time::Instant;

use crate::desk::{Desk, Sum, Wait};
use crate::raw::{RawPeer, box_of};

async fn mesh() -> TestResult<Mesh> {
    let mesh = Mesh::builder().clusters(0).region_responders(|_| Desk::default());
    Ok(mesh.start().await?)
}

async fn peer(mesh: &Mesh) -> TestResult<RawPeer> {
    let mut peer = RawPeer::admitted(mesh, &Mesh::uuid_of(0).to_string()).await?;
    assert!(peer.replies_until_ping().await?.is_empty());
    Ok(peer)
}

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_asked_twice_and_then_given_up() -> TestResult {
    let logs = Logs::capture();
    let mesh = mesh().await?;
    let mut peer = peer(&mesh).await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let silent_since = Instant::now();
    for asked in 1..=2 {
        let ping = peer.next_within(PATIENCE).await.unwrap();
        assert_eq!(ping.get("_command").unwrap(), "Ping");
        assert_eq!(silent_since.elapsed(), Limits::default().ping_after * asked);
    }
    assert_eq!(peer.next_within(PATIENCE).await, None);
    assert_eq!(silent_since.elapsed(), Limits::default().dead_after);
    assert_eq!(client.closed().await, Lost::Silent { silent: Limits::default().dead_after });
    assert_eq!(logs.lines_with("the peer has been silent for 15 s").len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_knows_no_ping_is_alive_all_the_same() -> TestResult {
    let mesh = mesh().await?;
    let mut stock = peer(&mesh).await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    for _ in 0..20 {
        let ping = stock.next_within(PATIENCE).await.unwrap();
        let tag = ping.get("_ask").unwrap();
        stock.send(&box_of([("_error", tag), ("_error_code", b"UNHANDLED")])).await?;
    }
    assert!(client.is_open());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn peers_that_talk_are_not_asked_whether_they_live() -> TestResult {
    let mesh = mesh().await?;
    let mut peer = peer(&mesh).await?;
    for round in 0..20 {
        tokio::time::sleep(Duration::from_millis(4900)).await;
        peer.send(&box_of([("_command", b"Tell"), ("note", b"still here")])).await?;
        assert!(peer.replies_until_ping().await?.is_empty(), "round {round}");
    }
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    assert!(client.round_trip().is_some(), "from the time when it said who it is");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_only_listens_lets_itself_be_heard_now_and_then() -> TestResult {
    let mesh = mesh().await?;
    let mut peer = peer(&mesh).await?;
    let (started, mut pings) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(17) {
        peer.send(&box_of([("_command", b"Tell"), ("note", b"on and on")])).await?;
        let heard = tokio::time::timeout(Duration::from_millis(500), peer.next());
        if let Ok(ping) = heard.await {
            // It is not answered, for the answer would have to wait behind the notes.
            assert_eq!(ping.unwrap().get("_command").unwrap(), "Ping");
            pings += 1;
        }
    }
    assert_eq!(pings, 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_sends_no_more_still_gets_what_is_due_for_a_while() -> TestResult {
    let mesh = mesh().await?;
    let mut peer = peer(&mesh).await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let ask = |tag: &'static [u8], ms: &'static [u8]| {
        box_of([("_ask", tag), ("_command", b"Wait"), ("ms", ms)])
    };
    peer.send(&[ask(b"short", b"3000"), ask(b"long", b"9000")].concat()).await?;
    peer.shut_down().await?;
    let closed = Instant::now();
    // Nothing will be answered on it, so nothing is asked.
    client.closed().await;
    assert_eq!(closed.elapsed(), Duration::ZERO);
    let unsent = client.call(Sum { a: 1, b: 1 }).await;
    assert_eq!(unsent, Err(CallError::Lost { lost: Lost::ClosedByPeer, maybe_done: false }));

    let answer = peer.next_within(PATIENCE).await.unwrap();
    assert_eq!(answer.get("_answer").unwrap(), "short");
    assert_eq!(closed.elapsed(), Duration::from_secs(3));
    assert_eq!(peer.next_within(PATIENCE).await, None);
    assert_eq!(closed.elapsed(), Duration::from_secs(5));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_asks_and_does_not_read_is_cut_off_before_it_costs_much() -> TestResult {
    let logs = Logs::capture();
    let mesh = mesh().await?;
    let peer = peer(&mesh).await?;
    let (_not_read, mut writer) = peer.split();
    let started = Instant::now();
    let grow = box_of([("_ask", b"g"), ("_command", b"Grow"), ("bytes", b"65535")]);
    let mut asked = 0;
    // Asks without end: sooner or later nobody takes them any more, and then the stream ends.
    while writer.send(&grow).await.is_ok() {
        asked += 1;
        assert!(asked < 100_000, "somebody takes everything");
    }
    assert_eq!(started.elapsed(), Limits::default().outbound_stalled_max);
    assert_eq!(logs.lines_with("the peer has read nothing for 10 s").len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_is_waited_for() -> TestResult {
    const ASKS: usize = 60;
    let mesh = mesh().await?;
    let peer = peer(&mesh).await?;
    let (mut reader, mut writer) = peer.split();
    let asking = async {
        let grow = box_of([("_ask", b"g"), ("_command", b"Grow"), ("bytes", b"65535")]);
        for _ in 0..ASKS {
            writer.send(&grow).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..ASKS {
            tokio::time::sleep(Duration::from_secs(8)).await;
            let answer = reader.next_reply().await.unwrap();
            assert_eq!(answer.get("bytes").unwrap().len(), 65_535);
        }
    };
    tokio::join!(asking, reading);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_at_the_last_moment_is_answered_before_the_end() -> TestResult {
    let mesh = mesh().await?;
    let mut peer = peer(&mesh).await?;
    let region = mesh.region(0);
    let stopping = region.stop();
    let answering = async {
        let leave = loop {
            let asked = peer.next().await.unwrap();
            if asked.get("_command").is_some_and(|command| command == "Leave") {
                break asked;
            }
            // The set of regions changes as well.
            let done = box_of([("_answer", asked.get("_ask").unwrap())]);
            peer.send(&done).await.unwrap();
        };
        // It crossed our ask on the way.
        let last = box_of([("_ask", b"last"), ("_command", b"Wait"), ("ms", b"2000")]);
        let answer = box_of([("_answer", leave.get("_ask").unwrap())]);
        peer.send(&[last, answer].concat()).await.unwrap();
        let replies = peer.replies_until_closed().await;
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0].get("_answer").unwrap(), "last");
    };
    let started = Instant::now();
    tokio::join!(stopping, answering);
    assert_eq!(started.elapsed(), Duration::from_secs(2));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_is_not_kept_waiting_by_a_dead_link_when_another_is_there() -> TestResult {
    let mesh = Mesh::builder().regions(2).region_responders(|_| Desk::default()).start().await?;
    let cluster = mesh.cluster(0);
    mesh.link(0, 0).freeze();
    // Calls that went to the frozen link are lost with it, and say so; the next go elsewhere.
    let limit = Duration::from_secs(60);
    let calls = (0..20).map(|_| async {
        cluster.get_client().await.unwrap().within(limit).call(Wait { ms: 1 }).await
    });
    let started = Instant::now();
    for outcome in futures_util::future::join_all(calls).await {
        let is_lost = matches!(outcome, Err(CallError::Lost { maybe_done: true, .. }));
        assert!(outcome.is_ok() || is_lost, "{outcome:?}");
    }
    assert_eq!(started.elapsed(), Limits::default().dead_after);
    for _ in 0..20 {
        assert_eq!(cluster.get_client().await?.call(Wait { ms: 1 }).await, Ok(()));
    }
    Ok(())
}
