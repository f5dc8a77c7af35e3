//! Malformed streams made by rule, some thousand of them: each is closed soon and with a reason in
//! the log, or lives as the book says; and meanwhile everybody else's calls are answered.
//!
//! `tests/malformed` prints how many there are.

mod boxes;
mod rules;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use amp_proto::{Arguments, Command, Inbound, ItemSender, Items, Limits, Never, responders};
use mesh_harness::{Logs, Mesh, TestResult};
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;
use uuid::Uuid;

use self::boxes::sum;
use self::rules::{Case, Then};
use crate::desk::{Desk, Sum, Total};
use crate::raw::{RawPeer, box_of, proof_of};

#[derive(Debug, PartialEq, Arguments)]
struct Number {
    number: u32,
}

/// Take numbers.
#[derive(Debug, Command)]
#[command(answered_by = any, takes = stream Number)]
struct Gather;

/// Give numbers.
#[derive(Debug, Command)]
#[command(answered_by = any, answers = stream Number)]
struct Scatter;

/// Take numbers, and look at none.
#[derive(Debug, Command)]
#[command(answered_by = any, takes = stream Number)]
struct Hoard;

struct Streams;

#[responders]
impl Streams {
    #[responder]
    async fn gather(&self, _: Gather, mut numbers: Items<Number>) -> Result<(), Never> {
        while let Ok(Some(_)) = numbers.next().await {}
        Ok(())
    }

    #[responder]
    async fn scatter(&self, _: Scatter, mut numbers: ItemSender<Number>) -> Result<(), Never> {
        for number in 0..100 {
            if numbers.send(Number { number }).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    #[responder]
    async fn hoard(&self, _: Hoard, _numbers: Items<Number>) -> Result<(), Never> {
        std::future::pending().await
    }
}

const HANDSHAKE: Duration = Duration::from_millis(400);
const DEAD_AFTER: Duration = Duration::from_millis(600);
/// What is wrong is noticed at once, and what is closed is closed within this.
const SOON: Duration = Duration::from_secs(1);
/// Nothing was waited for.
const AT_ONCE: Duration = Duration::from_millis(100);

fn limits() -> Limits {
    Limits {
        ping_after: Duration::from_millis(200),
        dead_after: DEAD_AFTER,
        half_closed_timeout: DEAD_AFTER,
        handshake_timeout: HANDSHAKE,
        stream_window_bytes: 8 * 1024,
        large_bytes_max: 10_000,
        ..Limits::default()
    }
}

async fn mesh() -> TestResult<Mesh> {
    let mesh = Mesh::builder()
        .limits(limits())
        .configure_regions(|_, it| it.responders(Desk::default()).responders(Streams))
        .cluster_responders(|_| Desk::default());
    Ok(mesh.start().await?)
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Answered,
    ClosedAtOnce,
    ClosedLater,
    ClosedTooLate,
}

/// Every process that is well calls its peer, again and again, until the other is done.
async fn while_others_call<T>(
    mesh: &Mesh,
    calls: &Cell<usize>,
    doing: impl Future<Output = T>,
) -> T {
    let region = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await.unwrap();
    let cluster = mesh.cluster(0).get_client().await.unwrap();
    let calling = async {
        let (region, cluster) = (region.within(SOON), cluster.within(SOON));
        loop {
            assert_eq!(region.call(Sum { a: 1, b: 2 }).await, Ok(Total { total: 3 }));
            assert_eq!(cluster.call(Sum { a: 1, b: 2 }).await, Ok(Total { total: 3 }));
            calls.set(calls.get() + 2);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        done = doing => done,
        () = calling => unreachable!("it has no end"),
    }
}

/// Says what is to be said, and waits for the answer to a good ask behind it, or the end.
async fn say(peer: &mut RawPeer, case: &Case) -> Came {
    let started = Instant::now();
    // It may be closed before all is said.
    let _sent = peer.send(&case.bytes).await;
    let _more = match case.then {
        Then::Ends => peer.shut_down().await,
        Then::Starves => Ok(()),
        Then::Closes(_) | Then::Lives | Then::Any => peer.send(&sum(b"good").bytes()).await,
    };
    // Every box that comes back is a box; to read what is none panics.
    while let Some(reply) = peer.next().await {
        if reply.get("_answer").is_some_and(|tag| tag == "good") {
            assert_eq!(reply.get("total").unwrap(), "3", "{}", case.name);
            return Came::Answered;
        }
    }
    match started.elapsed() {
        took if took < AT_ONCE => Came::ClosedAtOnce,
        took if took <= SOON => Came::ClosedLater,
        _ => Came::ClosedTooLate,
    }
}

/// Time for a process to notice the end of a stream and to say so: time in memory goes on when
/// nobody has anything to do.
const NOTICED: Duration = Duration::from_millis(1);

/// A peer that belongs says what it should not. Gives what is wrong with what came of it.
async fn run(mesh: &Mesh, number: usize, case: &Case) -> TestResult<Option<String>> {
    let logs = Logs::capture();
    let ident = Uuid::from_u128(1000 + u128::try_from(number)?).to_string();
    let mut peer = RawPeer::admitted_with_all(mesh, &ident).await?;
    let came = say(&mut peer, case).await;
    drop(peer);
    tokio::time::sleep(NOTICED).await;
    let ended = ["a connection ended", "the peer broke the protocol: disconnected"];
    let told = || ended.map(|words| logs.lines_with(words));
    if told().iter().all(Vec::is_empty) {
        // What the peer asked for is still being done: it has its time.
        tokio::time::sleep(SOON).await;
    }
    let told = told();
    let is_so = match case.then {
        Then::Closes(why) => {
            came == Came::ClosedAtOnce && told[1].first().is_some_and(|line| line.contains(why))
        }
        Then::Lives => came == Came::Answered,
        Then::Starves => came == Came::ClosedLater,
        Then::Any => came != Came::ClosedTooLate,
        Then::Ends => matches!(came, Came::ClosedAtOnce | Came::ClosedLater),
    };
    let is_told = told[0].len() + told[1].len() == 1;
    let panicked = logs.text().contains("panicked");
    let wrong = || format!("{}, {:?}: {came:?}, {told:?}", case.name, case.then);
    Ok((!is_so || !is_told || panicked).then(wrong))
}

/// How a stranger goes on once it has said what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Ends,
    IsSilent,
}

/// A stranger that is challenged says less than the proof, or something else.
async fn run_stranger(mesh: &Mesh, bend: &dyn Fn(Vec<u8>) -> Vec<u8>, next: Next) -> TestResult {
    let logs = Logs::capture();
    let mut stranger = RawPeer::stranger(mesh, 0).await?;
    let ask = stranger.next().await.expect("a challenge comes first");
    let _sent = stranger.send(&bend(proof_of(&ask, mesh.secret()))).await;
    if next == Next::Ends {
        let _ended = stranger.shut_down().await;
    }
    let started = Instant::now();
    while stranger.next().await.is_some() {}
    assert!(started.elapsed() <= SOON, "{:?}", started.elapsed());
    // The log takes ten of these in a second.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let told = logs.lines_with("a connection was refused").len();
    assert_eq!(told, 1, "{}", logs.text());
    assert!(!logs.text().contains("panicked"), "{}", logs.text());
    Ok(())
}

/// The handshake, cut at every byte, and with every byte of the proof wrong in two ways.
async fn run_strangers(mesh: &Mesh) -> TestResult<usize> {
    let own = box_of([("_ask", b"1"), ("_command", b"Authenticate"), ("message", &[7; 16])]);
    let proof_bytes = box_of([("_answer", b"1"), ("digest", &[0; 32]), ("salt", &[0; 16])]).len();
    let mut count = 0;
    for cut in 0..own.len() + proof_bytes {
        let bend = |proof: Vec<u8>| [own.clone(), proof].concat()[..cut].to_vec();
        for next in [Next::Ends, Next::IsSilent] {
            run_stranger(mesh, &bend, next).await?;
            count += 1;
        }
    }
    for at in 0..proof_bytes {
        for bits in [0xff, 1] {
            let bend = |mut proof: Vec<u8>| {
                proof[at] ^= bits;
                proof
            };
            run_stranger(mesh, &bend, Next::IsSilent).await?;
            count += 1;
        }
    }
    Ok(count)
}

#[tokio::test(start_paused = true)]
async fn every_malformed_stream_is_closed_soon_or_lives_as_the_book_says() -> TestResult {
    let (mesh, calls) = (mesh().await?, Cell::new(0));
    let (mut counts, mut wrong) = (BTreeMap::new(), Vec::new());
    let running = async {
        for (rule, cases) in rules::all() {
            for case in &cases {
                wrong.extend(run(&mesh, counts.values().sum::<usize>() + 1, case).await?);
                *counts.entry(rule).or_default() += 1;
            }
        }
        counts.insert("handshakes", run_strangers(&mesh).await?);
        TestResult::Ok(())
    };
    while_others_call(&mesh, &calls, running).await?;
    assert!(wrong.is_empty(), "{} went wrong:\n{}", wrong.len(), wrong.join("\n"));
    let all: usize = counts.values().sum();
    let each: Vec<_> = counts.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    println!(
        "R3: {all} malformed streams ({}), each closed within {SOON:?} with a reason in the log or \
         alive as the book says; 0 panics; {} calls of others, all answered",
        each.join(", "),
        calls.get()
    );
    assert!(all >= 500, "{all} are few");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_million_asks_in_one_breath_are_answered_in_order() -> TestResult {
    const ASKS: usize = 1_000_000;
    let mesh = Mesh::builder().clusters(0).region_responders(|_| Desk::default()).start().await?;
    let mut peer = RawPeer::new(mesh.dial(0).await?);
    peer.prove(mesh.secret()).await?;
    let (reader, mut writer) = peer.split();
    let (mut reader, received) = reader.into_parts();
    let mut inbound = Inbound::new(limits().into());
    inbound.room().extend_from_slice(&received);
    let asking = async {
        for first in (0..ASKS).step_by(1000) {
            let tags = first..first + 1000;
            let asks: Vec<u8> = tags
                .flat_map(|tag| {
                    box_of([("_ask", tag.to_string().as_bytes()), ("_command", b"Ping")])
                })
                .collect();
            writer.send(&asks).await.unwrap();
        }
    };
    let answers = async {
        let mut answered = 0;
        while answered < ASKS {
            let bytes = reader.read_buf(inbound.room()).await.unwrap();
            assert!(bytes > 0, "closed after {answered} answers");
            inbound.handle_read(bytes);
            while let Some(fields) = inbound.next_box().unwrap() {
                // It also wants to know who we are.
                let Some(tag) = fields.get(b"_answer") else { continue };
                assert_eq!(tag.bytes(), answered.to_string().as_bytes());
                answered += 1;
            }
        }
        answered
    };
    let ((), answered) = tokio::join!(asking, answers);
    println!("R3: {answered} asks in one breath, answered in order");
    Ok(())
}
