//! A peer that reads when the test does, and does nothing by itself: what it is told, and what
//! becomes of calls that wait for it.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;
use std::time::Duration;

use amp_proto::{
    Arguments, AskEvent, CallError, Cluster, Command, Connection, Limits, Lost, Responders,
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
    let nobody = Arc::new(Responders::new());
    let (cluster, driving) = connect_trusted::<Cluster, _>(near, nobody, limits.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(driving);
    let mut peer = Peer { stream: far, connection: Connection::new(Arc::new(limits)) };
    let (negotiated, ()) = tokio::join!(cluster.negotiate(), peer.agree(features));
    negotiated.unwrap();
    Ends { cluster, peer, _tasks: tasks }
}

fn image(bytes: usize) -> Bytes {
    vec![7; bytes].into()
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
