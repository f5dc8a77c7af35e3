//! What happens when two sides have more to say to each other than either reads.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::sync::Arc;
use std::time::Duration;

use amp_proto::{
    Arguments, AskStopped, Command, Connection, Limits, Moment, Never, Region, Responders,
    responders,
};
use mesh::connect_trusted;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinSet;

#[derive(Debug, PartialEq, Arguments)]
struct Pile {
    bytes: Vec<u8>,
}

/// Answered with sixteen thousand bytes.
#[derive(Debug, Command)]
#[command(answered_by = any, response = Pile)]
struct Fetch;

#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Knock;

struct Store;

#[responders]
impl Store {
    #[responder]
    async fn fetch(&self, _: Fetch) -> Result<Pile, Never> {
        Ok(Pile { bytes: vec![7; 16_000] })
    }
}

const ASKS: usize = 12;

/// Reads what there is until `enough` says so.
async fn read_until(
    stream: &mut DuplexStream,
    connection: &mut Connection,
    mut enough: impl FnMut(&mut Connection) -> bool,
) {
    let mut bytes = [0; 4096];
    while !enough(connection) {
        let read = stream.read(&mut bytes).await.unwrap();
        assert_ne!(read, 0, "the stream ended");
        connection.handle_bytes(&bytes[..read]);
    }
}

#[tokio::test(start_paused = true)]
async fn asks_are_refused_and_our_answers_still_read_while_neither_side_gets_its_answers_out() {
    let (ours, mut peer) = tokio::io::duplex(4096);
    let limits = Limits { outbound_bytes_max: 32 * 1024, ..Limits::default() };
    let mut responders = Responders::new();
    responders.add(Arc::new(Store)).unwrap();
    let (client, driving) = connect_trusted::<Region, _>(ours, Arc::new(responders), limits);
    let (mut drivers, mut callers) = (JoinSet::new(), JoinSet::new());
    drivers.spawn(driving);

    callers.spawn(async move { client.call(Knock).await });
    let mut connection = Connection::new(Arc::new(Limits::default()));
    let mut knock = None;
    read_until(&mut peer, &mut connection, |connection| {
        knock = connection.poll_event().unwrap();
        knock.is_some()
    })
    .await;

    // We ask for more than can wait to be written, and answer only then. Nothing is read so far.
    let deadline = Moment::START.after(Duration::from_secs(60));
    let asked: Vec<_> = (0..ASKS).map(|_| connection.ask(&Fetch, deadline).unwrap()).collect();
    connection.answer(knock.unwrap().tag.as_deref(), &()).unwrap();
    peer.write_all(&connection.poll_transmit().unwrap()).await.unwrap();
    assert_eq!(callers.join_all().await, [Ok(())]);

    let mut outcomes = Vec::new();
    read_until(&mut peer, &mut connection, |connection| {
        assert!(connection.poll_event().unwrap().is_none());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let next = asked.get(outcomes.len());
        while let Some(std::task::Poll::Ready(outcome)) =
            asked.get(outcomes.len()).map(|id| connection.poll_ask(*id, &mut cx))
        {
            outcomes.push(outcome);
        }
        next.is_none() || outcomes.len() == ASKS
    })
    .await;
    let (answered, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert!(!answered.is_empty() && !refused.is_empty(), "{} answered", answered.len());
    for refusal in refused {
        let AskStopped::Error { code, .. } = refusal.unwrap_err() else { panic!("not refused") };
        assert_eq!(code, "OVERLOADED");
    }
    drop(peer);
    assert_eq!(drivers.join_all().await.len(), 1);
}
