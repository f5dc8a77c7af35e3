//! What a driver does with streams that fail in one direction, at its peer's end or its own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use amp_proto::{
    AnsweredBy, CallError, Command, Connection, Limits, Lost, Moment, Never, Region, Responders,
    RoleName, responders,
};
use mesh::{Client, connect_trusted, run_trusted};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Knock;

/// Answered after three seconds.
#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Dawdle;

struct Dawdler;

#[responders]
impl Dawdler {
    #[responder]
    async fn dawdle(&self, _: Dawdle) -> Result<(), Never> {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(())
    }
}

/// A stream whose second write fails. The peer's answer to the first arrives just then: the peer
/// answered, and closed.
struct AnswersAsItBreaks {
    writes: usize,
    received: Vec<u8>,
    read_to: usize,
    reader: Option<Waker>,
    /// Told of the first write.
    written: Arc<Notify>,
}

impl AsyncRead for AnswersAsItBreaks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.writes < 2 {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let rest = &self.received[self.read_to..];
        let taken = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..taken]);
        self.read_to += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for AnswersAsItBreaks {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        if self.writes >= 2 {
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut peer = Connection::new(Arc::new(Limits::default()));
        peer.handle_bytes(bytes);
        while let Some(ask) = peer.poll_event().unwrap() {
            peer.answer(ask.tag.as_deref(), &()).unwrap();
        }
        self.received = peer.poll_transmit().unwrap();
        self.written.notify_one();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn call<C: AnsweredBy<Region, Response = (), Error = Never> + Sync>(
    client: &Client<Region>,
    command: C,
) -> impl Future<Output = Result<(), CallError<Never>>> {
    let client = client.clone();
    async move { client.call(command).await }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_arrived_before_a_write_failed_is_given_to_its_caller() {
    let written = Arc::new(Notify::new());
    let stream = AnswersAsItBreaks {
        writes: 0,
        received: Vec::new(),
        read_to: 0,
        reader: None,
        written: Arc::clone(&written),
    };
    let nobody = Arc::new(Responders::new());
    let (region, driving) = connect_trusted::<Region, _>(stream, nobody, Limits::default());
    let calls = async {
        let first = call(&region, Knock);
        let second = async {
            written.notified().await;
            call(&region, Knock).await
        };
        tokio::join!(first, second)
    };
    let (lost, (first, second)) = tokio::join!(driving, calls);
    assert!(matches!(lost, Lost::Broken { .. }), "{lost:?}");
    assert_eq!(first, Ok(()));
    assert!(matches!(second, Err(CallError::Lost { .. })), "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closed_its_side_is_waited_for_without_spinning() {
    let (mut peer, ours) = tokio::io::duplex(4096);
    // The time of silence ends while the responder is at work.
    let (ping_after, dead_after) = (Duration::from_millis(500), Duration::from_secs(1));
    let limits = Limits { ping_after, dead_after, ..Limits::default() };
    let mut responders = Responders::new();
    responders.add(Arc::new(Dawdler)).unwrap();
    let (_link, driving) =
        run_trusted(ours, RoleName::Region, "half closed", Arc::new(responders), limits);
    let polls = AtomicUsize::new(0);
    let mut driving = std::pin::pin!(driving);
    let counted = std::future::poll_fn(|cx| {
        polls.fetch_add(1, Ordering::Relaxed);
        driving.as_mut().poll(cx)
    });

    let mut connection = Connection::new(Arc::new(Limits::default()));
    let asked = connection.ask(&Dawdle, Moment::START.after(Duration::from_secs(30))).unwrap();
    let asking = async {
        let started = Instant::now();
        peer.write_all(&connection.poll_transmit().unwrap()).await.unwrap();
        peer.shutdown().await.unwrap();
        let mut answers = Vec::new();
        peer.read_to_end(&mut answers).await.unwrap();
        (answers, started.elapsed())
    };
    let (lost, (answers, took)) = tokio::join!(counted, asking);
    assert_eq!(lost, Lost::ClosedByPeer);
    connection.handle_bytes(&answers);
    assert!(connection.poll_event().unwrap().is_none());
    let mut cx = Context::from_waker(Waker::noop());
    let outcome = connection.poll_ask(asked, &mut cx);
    assert!(matches!(outcome, Poll::Ready(Ok(_))), "{outcome:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    let polls = polls.load(Ordering::Relaxed);
    assert!(polls < 20, "the driver was polled {polls} times");
}
