//! Peers that prove who they are and then send far too much of something: nothing grows beyond its
//! bound, and other connections go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use amp_proto::{
    Arguments, Command, Connection, ItemSender, Items, Limits, Lost, Moment, Never, responders,
};
use bytes::Bytes;
use mesh::ClusterId;
use mesh_harness::{Mesh, TestResult};
use uuid::Uuid;

use crate::raw::{RawPeer, box_of};

/// Answer with drops, for ever.
#[derive(Debug, Command)]
#[command(answered_by = any, answers = stream Drop)]
struct Pour;

/// Take drops, and look at none of them.
#[derive(Debug, Command)]
#[command(answered_by = any, takes = stream Drop)]
struct Ignore;

/// Never answer.
#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Hold;

/// Take it.
#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Store {
    bytes: Bytes,
}

/// Answer with a bucket.
#[derive(Debug, Command)]
#[command(answered_by = any, response = Drop)]
struct Fetch;

#[derive(Debug, PartialEq, Arguments)]
struct Drop {
    water: Bytes,
}

const DROP_BYTES: usize = 1000;
const BUCKET_BYTES: usize = 16_000;

#[derive(Debug, Default)]
struct Well {
    /// How many bytes went into the hands of the connection.
    poured: AtomicUsize,
    held: AtomicUsize,
}

/// Tells that nobody holds any more.
struct Holding<'a>(&'a AtomicUsize);

impl std::ops::Drop for Holding<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Well {
    async fn hold(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
        let _holding = Holding(&self.held);
        std::future::pending().await
    }

    fn poured(&self) -> usize {
        self.poured.load(Ordering::Relaxed)
    }
}

#[responders]
impl Well {
    #[responder]
    async fn pour(&self, _: Pour, mut drops: ItemSender<Drop>) -> Result<(), Never> {
        while drops.send(Drop { water: vec![7; DROP_BYTES].into() }).await.is_ok() {
            self.poured.fetch_add(DROP_BYTES, Ordering::Relaxed);
        }
        Ok(())
    }

    #[responder]
    async fn ignore(&self, _: Ignore, _drops: Items<Drop>) -> Result<(), Never> {
        self.hold().await;
        Ok(())
    }

    #[responder]
    async fn hold_it(&self, _: Hold) -> Result<(), Never> {
        self.hold().await;
        Ok(())
    }

    #[responder]
    async fn store(&self, _: Store) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn fetch(&self, _: Fetch) -> Result<Drop, Never> {
        self.poured.fetch_add(BUCKET_BYTES, Ordering::Relaxed);
        Ok(Drop { water: vec![7; BUCKET_BYTES].into() })
    }
}

/// What memory streams and the harness hold between two processes, generously.
const ON_THE_WAY: usize = 1024 * 1024;

struct Flooded {
    mesh: Mesh,
    well: Arc<Well>,
    peer: RawPeer,
    client: mesh::Client<amp_proto::Cluster>,
}

/// A region process with one cluster that is well, and one peer that is about to flood it.
async fn flooded(limits: Limits) -> TestResult<Flooded> {
    let well = Arc::new(Well::default());
    let there = Arc::clone(&well);
    let mesh = Mesh::builder()
        .limits(limits)
        .region_responders_arc(move |_| Arc::clone(&there))
        .cluster_responders(|_| Well::default());
    let mesh = mesh.start().await?;
    let ident = ClusterId(Uuid::from_u128(7));
    let mut peer = RawPeer::admitted_with_all(&mesh, &ident.to_string()).await?;
    peer.send(&box_of([
        ("_ask", &b"0"[..]),
        ("_command", b"RegisterCluster"),
        ("name", b"flood"),
        ("uuid", ident.to_string().as_bytes()),
        ("version", b"1"),
    ]))
    .await?;
    assert_eq!(peer.next_reply().await.unwrap().get("_answer").unwrap(), "0");
    let client = mesh.region(0).get_client_for(ident).await?;
    Ok(Flooded { mesh, well, peer, client })
}

impl Flooded {
    /// Sends as much as is taken. Says how many bytes that were, and whether it was all.
    async fn send_what_is_taken(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut taken = 0;
        for piece in bytes.chunks(1000) {
            match tokio::time::timeout(Duration::from_secs(1), self.peer.send(piece)).await {
                Ok(Ok(())) => taken += piece.len(),
                Ok(Err(_)) | Err(_) => return (taken, false),
            }
        }
        (taken, true)
    }

    /// Asks over a connection that is well, both ways.
    async fn others_go_on(&self) -> TestResult {
        let bytes = Bytes::from(vec![1; 1000]);
        let client = self.mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
        client.within(Duration::from_secs(1)).call(Store { bytes: bytes.clone() }).await?;
        let back = self.mesh.cluster(0).get_client().await?;
        back.within(Duration::from_secs(1)).call(Store { bytes }).await?;
        Ok(())
    }

    /// What is told once everything that can be done at this time is done.
    async fn rest(&self) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn ask(tag: usize, command: &str) -> Vec<u8> {
    box_of([("_ask", format!("{tag:x}").as_bytes()), ("_command", command.as_bytes())])
}

fn ask_streaming(tag: usize, command: &str) -> Vec<u8> {
    let tag = format!("{tag:x}");
    box_of([("_ask", tag.as_bytes()), ("_command", command.as_bytes()), ("_stream", b"")])
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_pings_and_does_not_read_is_heard_no_more_and_then_closed() -> TestResult {
    let limits = Limits { outbound_bytes_max: 100_000, ..Limits::default() };
    let mut flooded = flooded(limits).await?;
    let pings: Vec<u8> = (1..300_000).flat_map(|tag| ask(tag, "Ping")).collect();
    let (taken, all) = flooded.send_what_is_taken(&pings).await;
    assert!(!all && taken < 3 * ON_THE_WAY, "{taken} bytes of pings were taken");
    flooded.others_go_on().await?;
    let lost = flooded.client.closed().await;
    assert!(matches!(lost, Lost::Stalled { .. }), "{lost:?}");
    flooded.others_go_on().await
}

#[tokio::test(start_paused = true)]
async fn asks_that_are_cancelled_at_once_are_each_answered_once_and_leave_nothing() -> TestResult {
    const ASKS: usize = 20_000;
    let mut flooded = flooded(Limits::default()).await?;
    let (mut cancelled, mut overloaded) = (0, 0);
    for first in (1..=ASKS).step_by(500) {
        let mut bytes = Vec::new();
        for tag in first..first + 500 {
            let text = format!("{tag:x}");
            bytes.extend(ask(tag, "Hold"));
            bytes.extend(box_of([("_command", &b"Cancel"[..]), ("tag", text.as_bytes())]));
            bytes.extend(box_of([("_command", &b"Cancel"[..]), ("tag", b"nothing")]));
        }
        let (_, all) = flooded.send_what_is_taken(&bytes).await;
        assert!(all);
        for _ in 0..500 {
            match &flooded.peer.next_reply().await.unwrap().get("_error_code").unwrap()[..] {
                b"CANCELLED" => cancelled += 1,
                b"OVERLOADED" => overloaded += 1,
                code => panic!("{}", code.escape_ascii()),
            }
        }
    }
    assert_eq!(cancelled + overloaded, ASKS);
    flooded.rest().await;
    assert_eq!(flooded.well.held.load(Ordering::Relaxed), 0);
    assert_eq!(flooded.peer.replies_until_ping().await?, []);
    flooded.others_go_on().await
}

#[tokio::test(start_paused = true)]
async fn credit_without_end_is_no_reason_to_send_what_nobody_reads() -> TestResult {
    let limits = Limits { outbound_bytes_max: 100_000, ..Limits::default() };
    let mut flooded = flooded(limits).await?;
    let mut bytes = ask_streaming(1, "Pour");
    for _ in 0..1000 {
        let most = u64::MAX.to_string();
        bytes.extend(box_of([
            ("_command", &b"Credit"[..]),
            ("_stream_ask", b"1"),
            ("bytes", most.as_bytes()),
        ]));
        bytes.extend(box_of([
            ("_command", &b"Credit"[..]),
            ("_part", b""),
            ("bytes", most.as_bytes()),
        ]));
    }
    flooded.send_what_is_taken(&bytes).await;
    flooded.rest().await;
    let poured = flooded.well.poured();
    assert!((100_000..100_000 + ON_THE_WAY).contains(&poured), "{poured} bytes wait");
    flooded.others_go_on().await?;
    let lost = flooded.client.closed().await;
    assert!(matches!(lost, Lost::Stalled { .. }), "{lost:?}");
    assert!(flooded.well.poured() < 100_000 + ON_THE_WAY);
    flooded.others_go_on().await
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_opened_beyond_the_limit_are_refused() -> TestResult {
    const ASKS: usize = 5_000;
    let limits = Limits { streams_max: 10, ..Limits::default() };
    let mut flooded = flooded(limits).await?;
    let bytes: Vec<u8> = (1..=ASKS).flat_map(|tag| ask_streaming(tag, "Ignore")).collect();
    let (_, all) = flooded.send_what_is_taken(&bytes).await;
    assert!(all);
    let refused = flooded.peer.replies_until_ping().await?;
    assert_eq!(refused.len(), ASKS - 10);
    assert!(refused.iter().all(|refused| refused.get("_error_code").unwrap() == "OVERLOADED"));
    assert_eq!(flooded.client.link().streams_open(), 10);
    flooded.others_go_on().await
}

/// A piece of a large box that is never finished.
fn part(number: u32, bytes: &[u8]) -> Vec<u8> {
    let number = number.to_string();
    box_of([("_command", &b"Part"[..]), ("_part", number.as_bytes()), ("bytes", bytes)])
}

#[tokio::test(start_paused = true)]
async fn large_boxes_that_are_never_finished_are_four_and_no_larger_than_the_limit() -> TestResult {
    const LARGE_MAX: usize = 200_000;
    let limits = Limits {
        large_bytes_max: LARGE_MAX,
        stream_window_bytes: 10 * LARGE_MAX,
        ..Limits::default()
    };
    for beyond in [part(5, b"one more"), part(1, &[1; 100])] {
        let mut flooded = flooded(limits.clone()).await?;
        for number in 1..=4 {
            for _ in 0..4 {
                flooded.peer.send(&part(number, &[1; LARGE_MAX / 4 - 10])).await?;
            }
        }
        assert_eq!(flooded.peer.replies_until_ping().await?, []);
        flooded.others_go_on().await?;
        flooded.peer.send(&beyond).await?;
        let lost = flooded.client.closed().await;
        assert!(matches!(lost, Lost::PeerMisbehaved(_)), "{lost:?}");
        flooded.others_go_on().await?;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn items_that_nobody_takes_end_the_connection_once_they_are_beyond_the_credit() -> TestResult
{
    let limits = Limits { stream_window_bytes: 50_000, ..Limits::default() };
    let mut flooded = flooded(limits).await?;
    flooded.peer.send(&ask_streaming(1, "Ignore")).await?;
    let item = |bytes: usize| {
        let water = vec![7; bytes];
        box_of([("_command", &b"Item"[..]), ("_stream_ask", b"1"), ("water", &water)])
    };
    // Small ones cost more than their bytes.
    for _ in 0..50_000 / 256 {
        flooded.peer.send(&item(1)).await?;
    }
    assert_eq!(flooded.peer.replies_until_ping().await?, []);
    flooded.peer.send(&item(10)).await?;
    flooded.peer.send(&item(10)).await?;
    let lost = flooded.client.closed().await;
    assert!(matches!(lost, Lost::PeerMisbehaved(_)), "{lost:?}");
    assert_eq!(flooded.well.held.load(Ordering::Relaxed), 0, "its responder is stopped");
    flooded.others_go_on().await
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_has_no_more_waiting_than_the_limit_at_any_time() -> TestResult {
    const OUTBOUND_MAX: usize = 100_000;
    let limits = Limits { outbound_bytes_max: OUTBOUND_MAX, ..Limits::default() };
    let flooded = flooded(limits).await?;
    let mut asking = Connection::new(Arc::default());
    let deadline = Moment::START.after(Duration::from_secs(3600));
    let mut read = 0;
    for _ in 0..1000 {
        asking.ask(&Fetch, deadline)?;
    }
    let asks = asking.poll_transmit().unwrap();
    let well = Arc::clone(&flooded.well);
    let (mut reader, mut writer) = flooded.peer.split();
    let asking = writer.send(&asks);
    let reading = async {
        // One bucket now and then, as long as there are any.
        for _ in 0..1000 {
            let reply = reader.next_reply().await.unwrap();
            read += reply.get("water").unwrap().len();
            let waiting = well.poured() - read;
            assert!(waiting <= OUTBOUND_MAX + BUCKET_BYTES + ON_THE_WAY, "{waiting} bytes wait");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (asked, ()) = tokio::join!(asking, reading);
    asked?;
    assert_eq!(read, 1000 * BUCKET_BYTES);
    let client = flooded.mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    client.call(Store { bytes: Bytes::new() }).await?;
    Ok(())
}
