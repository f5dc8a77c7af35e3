//! A peer that reads when the test does, and does nothing by itself: what it is told, and what
//! becomes of calls that wait for it.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use amp_proto::{
    Argument, ArgumentType, Arguments, AskEvent, CallError, Cluster, Command, Connection,
    EncodeError, Exchange, Limits, Lost, Moment, Never, Responders, Value, ValueError, responders,
};
use bytes::Bytes;
use mesh::commands::Terms;
use mesh::{CallContext, Client, connect_trusted};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

#[derive(Debug, Command)]
#[command(answered_by = Cluster)]
struct Knock;

#[derive(Debug, Command)]
#[command(answered_by = Cluster, takes = stream Number)]
struct AddUp {
    padding: Bytes,
}

#[derive(Debug, PartialEq, Arguments)]
struct Number {
    number: u32,
}

#[derive(Debug, Command)]
#[command(answered_by = Cluster)]
struct Keep {
    image: Bytes,
}

/// Send so many bytes, and nothing more.
#[derive(Debug, Command)]
#[command(answered_by = Region, response = Image, afterwards = Close)]
struct FetchLast {
    bytes: u32,
}

#[derive(Debug, Arguments)]
struct Image {
    image: Bytes,
}

struct Images;

#[responders]
impl Images {
    #[responder]
    async fn fetch_last(&self, it: FetchLast) -> Result<Image, Never> {
        Ok(Image { image: image(usize::try_from(it.bytes).unwrap()) })
    }
}

/// Keep bytes during whose encoding something else is done.
#[derive(Command)]
#[command(answered_by = Cluster)]
struct KeepMeanwhile {
    image: Meanwhile,
}

type Done = Box<dyn FnOnce() + Send>;

struct Meanwhile {
    image: Bytes,
    done: Mutex<Option<Done>>,
}

impl Argument for Meanwhile {
    const TYPE: ArgumentType = ArgumentType::Bytes;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if let Some(done) = self.done.lock().unwrap().take() {
            done();
        }
        self.image.encode(out)
    }

    fn bytes_hint(&self) -> usize {
        Argument::bytes_hint(&self.image)
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        Ok(Self { image: value.to_bytes(), done: Mutex::new(None) })
    }
}

fn meanwhile(bytes: usize, done: impl FnOnce() + Send + 'static) -> KeepMeanwhile {
    let done: Done = Box::new(done);
    KeepMeanwhile { image: Meanwhile { image: image(bytes), done: Mutex::new(Some(done)) } }
}

struct Peer {
    stream: DuplexStream,
    connection: Connection,
}

impl Peer {
    /// What we ask of it next.
    async fn asked(&mut self) -> AskEvent {
        loop {
            if let Some(ask) = self.connection.poll_event().unwrap() {
                return ask;
            }
            let mut bytes = Vec::with_capacity(4096);
            let read = self.stream.read_buf(&mut bytes).await.unwrap();
            assert!(read > 0, "the connection was closed");
            self.connection.handle_bytes(&bytes);
        }
    }

    async fn agree(&mut self, features: &[&str]) {
        let ask = self.asked().await;
        assert_eq!(&ask.command[..], b"Negotiate");
        let terms = Terms {
            version: 1,
            features: features.iter().map(|name| (*name).to_owned()).collect(),
            box_bytes_max: 1024 * 1024,
            asks_in_flight_max: 100,
            stream_window_bytes: 64 * 1024,
            large_bytes_max: 16 * 1024 * 1024,
        };
        self.connection.answer(ask.tag.as_deref(), &terms).unwrap();
        while let Some(bytes) = self.connection.poll_transmit() {
            self.stream.write_all(&bytes).await.unwrap();
        }
    }
}

struct Ends {
    cluster: Client<Cluster>,
    peer: Peer,
    _tasks: JoinSet<Lost>,
}

async fn ends(limits: Limits, features: &[&str]) -> Ends {
    let (near, far) = tokio::io::duplex(1024 * 1024);
    let mut answering = Responders::new();
    answering.add(Arc::new(Images)).unwrap();
    let answering = Arc::new(answering);
    let (cluster, driving) = connect_trusted::<Cluster, _>(near, answering, limits.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(driving);
    let mut peer = Peer { stream: far, connection: Connection::new(Arc::new(limits)) };
    let (negotiated, ()) = tokio::join!(cluster.negotiate(), peer.agree(features));
    negotiated.unwrap();
    Ends { cluster, peer, _tasks: tasks }
}

/// Limits at which a third large call has to wait for room.
fn room_for_two() -> Limits {
    Limits { outbound_bytes_max: 1_500_000, ..Limits::default() }
}

fn image(bytes: usize) -> Bytes {
    vec![7; bytes].into()
}

/// Time stands still until nothing else can be done. Too short for a ping, which would stir things
/// up.
async fn settled() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

fn in_seconds(seconds: u64) -> CallContext {
    CallContext::default().until(Instant::now() + Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_told_that_the_time_of_a_call_is_over() {
    let Ends { cluster, mut peer, _tasks } = ends(Limits::default(), &["cancel"]).await;
    let late = cluster.within(Duration::from_secs(2)).call(Knock).await;
    assert!(matches!(late, Err(CallError::TimedOut { maybe_done: true, .. })), "{late:?}");
    let knock = peer.asked().await;
    assert_eq!(&knock.command[..], b"Knock");
    let cancel = peer.asked().await;
    assert_eq!(&cancel.command[..], b"Cancel");
    let tag = cancel.received.fields().get(b"tag").unwrap().to_bytes();
    assert_eq!(Some(tag), knock.tag);
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_told_of_a_large_call_that_it_has_as_a_whole() {
    let Ends { cluster, mut peer, _tasks } = ends(Limits::default(), &["cancel", "large"]).await;
    let late = cluster.within(Duration::from_secs(2)).call(Keep { image: image(60_000) }).await;
    assert!(matches!(late, Err(CallError::TimedOut { maybe_done: true, .. })), "{late:?}");
    while peer.asked().await.received.fields().get(b"_last").unwrap().bytes() != b"1" {}
    assert_eq!(&peer.asked().await.command[..], b"Cancel");
}

#[tokio::test(start_paused = true)]
async fn the_peer_knows_the_time_of_a_stream_and_is_told_that_it_is_over() {
    let features = ["cancel", "deadline", "stream"];
    let Ends { cluster, mut peer, _tasks } = ends(Limits::default(), &features).await;
    let opening = async { cluster.stream(AddUp { padding: Bytes::new() }).unwrap() };
    let mut adding = in_seconds(2).run(opening).await;
    let late = adding.next().await;
    let Err(CallError::TimedOut { after, maybe_done: true }) = late else { panic!("{late:?}") };
    assert_eq!(after, Duration::from_secs(2));
    let opened = peer.asked().await;
    let left = opened.received.fields().get(b"_deadline_ms").unwrap().to_bytes();
    assert_eq!(&left[..], b"2000");
    let cancel = peer.asked().await;
    assert_eq!(&cancel.command[..], b"Cancel");
    let tag = cancel.received.fields().get(b"tag").unwrap().to_bytes();
    assert_eq!(Some(tag), opened.tag);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_time_says_none() {
    let Ends { cluster, mut peer, _tasks } = ends(Limits::default(), &["deadline", "stream"]).await;
    let _adding = cluster.stream(AddUp { padding: Bytes::new() }).unwrap();
    let opened = peer.asked().await;
    assert!(opened.received.fields().get(b"_deadline_ms").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_large_call_that_is_given_up_makes_room_for_the_next_however_it_is() {
    for is_dropped in [true, false] {
        let Ends { cluster, peer: _peer, _tasks } =
            ends(room_for_two(), &["cancel", "large"]).await;
        let call = |seconds| {
            let cluster = cluster.clone().within(Duration::from_secs(seconds));
            async move { cluster.call(Keep { image: image(1_000_000) }).await }
        };
        let mut calls = JoinSet::new();
        // The first has all of the peer's credit; nothing of the second goes out.
        calls.spawn(call(30));
        settled().await;
        let second = calls.spawn(call(if is_dropped { 30 } else { 2 }));
        settled().await;
        calls.spawn(call(30));
        settled().await;
        assert_eq!(cluster.link().calls_in_flight(), 2, "the third waits for room");
        if is_dropped {
            second.abort();
        }
        let ended = calls.join_next().await.unwrap();
        match ended {
            Err(aborted) => assert!(is_dropped && aborted.is_cancelled()),
            Ok(late) => {
                let unsent = matches!(late, Err(CallError::TimedOut { maybe_done: false, .. }));
                assert!(!is_dropped && unsent, "{late:?}");
            }
        }
        settled().await;
        assert_eq!(cluster.link().calls_in_flight(), 2, "the third has its turn");
    }
}

#[tokio::test(start_paused = true)]
async fn the_peer_is_told_at_once_that_no_more_of_a_large_call_comes() {
    for is_dropped in [true, false] {
        let Ends { cluster, mut peer, _tasks } = ends(room_for_two(), &["cancel", "large"]).await;
        let cluster = cluster.within(Duration::from_secs(if is_dropped { 30 } else { 2 }));
        let mut calls = JoinSet::new();
        calls.spawn(async move { cluster.call(Keep { image: image(1_000_000) }).await });
        settled().await;
        if is_dropped {
            calls.abort_all();
        }
        let given_up =
            async { while peer.asked().await.received.fields().get(b"_given_up").is_none() {} };
        // Before the next ping, which would take it along.
        let told = tokio::time::timeout(Duration::from_secs(3), given_up).await;
        assert!(told.is_ok(), "{is_dropped}");
    }
}

#[tokio::test(start_paused = true)]
async fn large_calls_are_encoded_one_after_another() {
    let Ends { cluster, peer: _peer, _tasks } = ends(room_for_two(), &["large"]).await;
    let was_encoded = Arc::new(AtomicBool::new(false));
    let (caller, noted) = (cluster.clone(), Arc::clone(&was_encoded));
    type Calling = Pin<Box<dyn Future<Output = Result<(), CallError<Never>>> + Send>>;
    let mut second: Calling = Box::pin(async move {
        caller.call(meanwhile(1_000_000, move || noted.store(true, Ordering::Relaxed))).await
    });
    let place = Arc::new(Mutex::new(None));
    let (back, seen) = (Arc::clone(&place), Arc::clone(&was_encoded));
    let first = meanwhile(1_000_000, move || {
        let polled = second.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        *back.lock().unwrap() = Some((second, polled.is_pending(), seen.load(Ordering::Relaxed)));
    });
    let mut calls = JoinSet::new();
    calls.spawn(async move { cluster.call(first).await });
    settled().await;
    let (second, waits, encoded_meanwhile) = place.lock().unwrap().take().unwrap();
    assert!(waits && !encoded_meanwhile, "two were encoded at once");
    calls.spawn(second);
    settled().await;
    assert!(was_encoded.load(Ordering::Relaxed), "its turn came");
}

#[tokio::test(start_paused = true)]
async fn credit_that_came_together_with_the_last_ask_has_its_answer_sent_at_once() {
    let Ends { cluster: _cluster, mut peer, _tasks } = ends(Limits::default(), &["large"]).await;
    let deadline = Moment::START.after(Duration::from_secs(30));
    peer.connection.ask(&FetchLast { bytes: 200_000 }, deadline).unwrap();
    let mut together = peer.connection.poll_transmit().unwrap();
    let (mut giving, mut credit) = (Exchange::new(Arc::new(Limits::default())), Vec::new());
    giving.give_part_credit(200_000);
    giving.swap_outbound(&mut credit);
    together.append(&mut credit);
    let begun = Instant::now();
    peer.stream.write_all(&together).await.unwrap();
    while peer.asked().await.received.fields().get(b"_last").unwrap().bytes() != b"1" {}
    assert_eq!(begun.elapsed(), Duration::ZERO, "nothing else had to wake the connection");
}

#[tokio::test(start_paused = true)]
async fn streams_are_not_opened_without_room_for_what_they_ask() {
    let limits = Limits { outbound_bytes_max: 100_000, ..Limits::default() };
    let Ends { cluster, mut peer, _tasks } = ends(limits, &["stream"]).await;
    let open = || cluster.stream(AddUp { padding: image(50_000) });
    let _first = open().unwrap();
    let _second = open().unwrap();
    assert!(matches!(open(), Err(CallError::Overloaded)));
    for _ in 0..2 {
        assert_eq!(&peer.asked().await.command[..], b"AddUp");
    }
    assert!(open().is_ok(), "there is room again");
}
