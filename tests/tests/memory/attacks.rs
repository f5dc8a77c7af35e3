//! The attacks, each against a region process of its own over loopback TCP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use amp_proto::{Arguments, Command, ItemSender, Items, Limits, Lost, Never, responders};
use bytes::Bytes;
use mesh::{ClusterId, KeyPair, Listen, Secret, TcpTransport, Transport as _};
use mesh_harness::TestResult;
use region::RegionController;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use crate::raw::{RawPeer, box_of};
use crate::{Growth, alone};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Never answer.
#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Hold {
    bytes: Bytes,
}

/// Take items, and look at none of them.
#[derive(Debug, Command)]
#[command(answered_by = any, takes = stream Drop)]
struct Ignore;

/// Answer with a bucket that goes in pieces.
#[derive(Debug, Command)]
#[command(answered_by = any, response = Drop)]
struct Fetch;

/// Answer at once, beside a stream.
#[derive(Debug, Command)]
#[command(answered_by = any, answers = stream Drop, response = Drop)]
struct Sip;

#[derive(Debug, Arguments)]
struct Drop {
    water: Bytes,
}

/// Buckets are one memory, however many answers hold them: what is counted is the mesh's own.
#[derive(Debug)]
struct Well {
    bucket: Bytes,
    cup: Bytes,
    held: AtomicUsize,
}

impl Well {
    fn new() -> Self {
        let held = AtomicUsize::new(0);
        Self { bucket: vec![7; 300 * KIB].into(), cup: vec![7; 10 * KIB].into(), held }
    }
}

#[responders]
impl Well {
    #[responder]
    async fn hold(&self, ask: Hold) -> Result<(), Never> {
        self.held.fetch_add(1, Ordering::Relaxed);
        let _bytes = ask.bytes;
        std::future::pending().await
    }

    #[responder]
    async fn ignore(&self, _: Ignore, _items: Items<Drop>) -> Result<(), Never> {
        std::future::pending().await
    }

    #[responder]
    async fn fetch(&self, _: Fetch) -> Result<Drop, Never> {
        Ok(Drop { water: self.bucket.clone() })
    }

    #[responder]
    async fn sip(&self, _: Sip, _items: ItemSender<Drop>) -> Result<Drop, Never> {
        Ok(Drop { water: self.cup.clone() })
    }
}

/// Small ones, so that what is beyond them is soon found.
fn limits() -> Limits {
    Limits {
        box_bytes_max: 256 * KIB,
        large_bytes_max: MIB,
        streams_max: 8,
        outbound_bytes_max: 256 * KIB,
        outbound_stalled_max: Duration::from_secs(2),
        asks_in_flight_max: 64,
        asks_forgotten_max: 256,
        ..Limits::default()
    }
}

struct Attacked {
    region: RegionController,
    well: Arc<Well>,
    peer: RawPeer,
}

const IDENT: ClusterId = ClusterId(Uuid::from_u128(7));

async fn attacked() -> TestResult<Attacked> {
    let (secret, well) = (Secret::generate(), Arc::new(Well::new()));
    let region = RegionController::builder()
        .listen(Listen::loopback())
        .secret(secret.clone())
        .limits(limits())
        .responders_arc(Arc::clone(&well))
        .start()
        .await?;
    let stream = TcpTransport::new().connect(region.address()).await?;
    // It gives no credit: what is large is never taken.
    let peer = RawPeer::admitted_on(stream, &secret, &IDENT.to_string(), 0).await?;
    region.get_client_for(IDENT).await?;
    Ok(Attacked { region, well, peer })
}

impl Attacked {
    /// Sends until nothing more is taken, or the connection is closed; `times` at the most.
    async fn send_what_is_taken(&mut self, bytes: &[u8], times: usize) -> usize {
        for sent in 0..times {
            match tokio::time::timeout(Duration::from_secs(2), self.peer.send(bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return sent,
            }
        }
        times
    }
}

/// An ask with so many values of so many bytes that nobody reads.
fn ask(command: &str, tag: &[u8], metadata: &[(&str, &[u8])], filler: [usize; 2]) -> Vec<u8> {
    let mut bytes = box_of([("_ask", tag), ("_command", command.as_bytes()), ("bytes", b"")]);
    bytes.truncate(bytes.len() - 2);
    let value = vec![1; filler[1]];
    let names: Vec<String> = (0..filler[0]).map(|number| format!("filler{number}")).collect();
    let fillers = names.iter().map(|name| (name.as_str(), &value[..]));
    for (key, value) in metadata.iter().copied().chain(fillers) {
        let one = box_of([(key, value)]);
        bytes.extend_from_slice(&one[..one.len() - 2]);
    }
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

fn hold_60_kib(tag: usize) -> Vec<u8> {
    let tag = format!("{tag:x}");
    box_of([("_ask", tag.as_bytes()), ("_command", b"Hold"), ("bytes", &[1; 60 * KIB])])
}

fn part(number: usize, bytes: &[u8]) -> Vec<u8> {
    let number = number.to_string();
    box_of([("_command", &b"Part"[..]), ("_part", number.as_bytes()), ("bytes", bytes)])
}

/// Judges a growth: the attack has to be one, and no more than the ceiling.
fn judge(what: &str, growth: &Growth, least: usize) {
    let (most, max) = (growth.most(), limits().memory_per_connection_max());
    println!("{what}: {} KiB of {} KiB", most / KIB, max / KIB);
    assert!(most >= least, "{what}: {most} bytes are no attack");
    assert!(most <= max, "{what}: {most} bytes are more than {max}");
}

#[test]
fn asks_that_wait_take_no_more_than_their_bound() -> TestResult {
    alone(async {
        let mut attacked = attacked().await?;
        let growth = Growth::begin();
        for tag in 0..400 {
            attacked.send_what_is_taken(&hold_60_kib(tag), 1).await;
        }
        let refused = attacked.peer.replies_until_ping().await?;
        let is_refusal = |it: &amp_proto::AmpBox| it.get("_error_code").unwrap() == "OVERLOADED";
        assert!(refused.iter().all(is_refusal));
        // 4 × 1 MiB, of 60 KiB each with what stands around it.
        assert_eq!(refused.len(), 400 - 68);
        assert_eq!(attacked.well.held.load(Ordering::Relaxed), 68);
        judge("asks", &growth, 4 * MIB);
        Ok(())
    })
}

#[test]
fn a_small_value_keeps_no_large_buffer() -> TestResult {
    alone(async {
        let mut attacked = attacked().await?;
        let growth = Growth::begin();
        let filler = ask("Nothing", b"f", &[], [4, 60 * KIB]);
        for tag in 0..400 {
            let tag = format!("{tag:x}");
            let value = vec![2; 5 * KIB];
            let hold = box_of([("_ask", tag.as_bytes()), ("_command", b"Hold"), ("bytes", &value)]);
            attacked.send_what_is_taken(&[hold, filler.clone()].concat(), 1).await;
        }
        attacked.peer.replies_until_ping().await?;
        assert_eq!(attacked.well.held.load(Ordering::Relaxed), 400);
        judge("values of 5 KiB", &growth, 2 * MIB);
        Ok(())
    })
}

#[test]
fn large_answers_that_are_never_taken_wait_unwritten() -> TestResult {
    alone(async {
        let mut attacked = attacked().await?;
        let growth = Growth::begin();
        let fetch = |tag: usize| ask("Fetch", format!("{tag:x}").as_bytes(), &[], [0, 0]);
        let fetches: Vec<u8> = (0..900).flat_map(fetch).collect();
        attacked.send_what_is_taken(&fetches, 1).await;
        assert_eq!(attacked.peer.replies_until_ping().await?, []);
        judge("large answers", &growth, MIB);
        Ok(())
    })
}

#[test]
fn answers_beside_streams_that_nobody_reads_end_the_reading() -> TestResult {
    alone(async {
        let mut attacked = attacked().await?;
        let client = attacked.region.get_client_for(IDENT).await?;
        let growth = Growth::begin();
        for tag in 0..20_000 {
            let sip = ask("Sip", format!("{tag:x}").as_bytes(), &[("_stream", b"")], [0, 0]);
            if attacked.send_what_is_taken(&sip, 1).await == 0 {
                break;
            }
        }
        // 10 KiB each, and the operating system holds some megabytes of them.
        let lost = client.closed().await;
        assert!(matches!(lost, Lost::Stalled { .. }), "{lost:?}");
        judge("answers beside streams", &growth, 256 * KIB);
        Ok(())
    })
}

#[test]
fn refusals_that_nobody_reads_end_the_reading_while_an_answer_is_expected() -> TestResult {
    alone(async {
        let mut attacked = attacked().await?;
        let client = attacked.region.get_client_for(IDENT).await?;
        let growth = Growth::begin();
        let expecting = async {
            let _lost = client.call(Hold { bytes: Bytes::new() }).await;
            std::future::pending::<()>().await;
        };
        let tag = vec![b'1'; 60 * KIB];
        let unknown = ask("Nothing", &tag, &[], [0, 0]);
        let sent = tokio::select! {
            () = expecting => unreachable!("it is pending for ever"),
            sent = attacked.send_what_is_taken(&unknown, 10_000) => sent,
        };
        judge("refusals", &growth, 256 * KIB);
        assert!(sent < 10_000, "all were taken");
        Ok(())
    })
}

#[test]
fn items_and_pieces_and_asks_all_at_once_are_within_the_ceiling() -> TestResult {
    alone(async {
        let mut attacked = attacked().await?;
        let growth = Growth::begin();
        let item = |tag: &str, bytes: usize| {
            let value = vec![3; bytes];
            box_of([("_command", b"Item"), ("_stream_ask", tag.as_bytes()), ("water", &value)])
        };
        // Streams that are given up leave nothing behind.
        for turn in 0..200 {
            let tag = format!("{:x}", 0x1000 + turn);
            let open = ask("Ignore", tag.as_bytes(), &[("_stream", b"")], [0, 0]);
            let cancel = box_of([("_command", &b"Cancel"[..]), ("tag", tag.as_bytes())]);
            let bytes = [open, item(&tag, 60 * KIB), item(&tag, 64_000), cancel].concat();
            attacked.send_what_is_taken(&bytes, 1).await;
        }
        attacked.peer.replies_until_ping().await?;
        for stream in 0..8 {
            let tag = format!("{stream:x}");
            let open = ask("Ignore", tag.as_bytes(), &[("_stream", b"")], [0, 0]);
            let bytes = [open, item(&tag, 60 * KIB), item(&tag, 64_000)].concat();
            attacked.send_what_is_taken(&bytes, 1).await;
        }
        for number in 1..=4 {
            for _ in 0..33 {
                attacked.send_what_is_taken(&part(number, &vec![4; 31 * KIB]), 1).await;
            }
        }
        for tag in 0..100 {
            attacked.send_what_is_taken(&hold_60_kib(0x9000 + tag), 1).await;
            let tag = format!("{:x}", 0x8000 + tag);
            attacked.send_what_is_taken(&ask("Fetch", tag.as_bytes(), &[], [0, 0]), 1).await;
        }
        attacked.peer.replies_until_ping().await?;
        judge("all at once", &growth, 8 * MIB);
        Ok(())
    })
}

#[test]
fn a_stranger_holds_no_more_than_a_strangers_ceiling() -> TestResult {
    alone(async {
        let limits = Limits { handshake_timeout: Duration::from_secs(1), ..limits() };
        let region = RegionController::builder()
            .listen(Listen::loopback())
            .secret(Secret::generate())
            .key_pair(KeyPair::generate())
            .limits(limits.clone())
            .start()
            .await?;
        // The first has a box that is never whole; the second begins a message of TLS of 64 KiB, in
        // records of 16 KiB.
        let mut unfinished = ask("Authenticate", b"1", &[], [1, 60 * KIB]);
        unfinished.truncate(8000);
        let mut hello = Vec::new();
        for record in 0..4_u8 {
            hello.extend([0x16, 3, 1, 0x40, 0]);
            let header: &[u8] = if record == 0 { &[1, 0, 0xff, 0xf0] } else { &[] };
            hello.extend(header);
            hello.extend(vec![0; 16 * KIB - header.len()]);
        }
        hello.truncate(hello.len() - 100);
        for (what, bytes) in [("half a box", unfinished), ("half a ClientHello", hello)] {
            let growth = Growth::begin();
            let mut stream = TcpTransport::new().connect(region.address()).await?;
            let sent = bytes.len();
            stream.write_all(&bytes).await?;
            // It is cut in time.
            let mut end = Vec::new();
            let reading = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut end);
            let _ended = tokio::time::timeout(Duration::from_secs(9), reading).await?;
            let (most, max) = (growth.most(), limits.memory_per_stranger_max());
            println!("{what}: {} KiB of {} KiB", most / KIB, max / KIB);
            assert!(most >= sent / 2, "{what}: {most} bytes are no attack");
            assert!(most <= max, "{what}: {most} bytes are more than {max}");
        }
        Ok(())
    })
}
