//! The least API that a caller of AMP can be given: a future for each call, a slab of calls that
//! wait, and one buffer that all of them write into.
//!
//! Like an honest library it may be called from any thread, and a call may be given up. It knows no
//! limits, no deadlines and no types but those of the two calls.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::amp;
use crate::peers::pump::{Pumped, with_buffer};
use crate::scenarios::{Caller, Dialer, LARGE_BYTES, TOTAL};

#[derive(Clone)]
pub(crate) struct ApiDialer(Arc<str>);

impl ApiDialer {
    pub(crate) fn new(address: &str) -> Self {
        Self(address.into())
    }
}

impl Dialer for ApiDialer {
    type Caller = Connection;

    async fn dial(&self, _number: usize) -> Result<Connection> {
        Connection::new(TcpStream::connect(&*self.0).await?)
    }
}

/// One connection, and the task that drives it.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    driver: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the driver.
    driver: AtomicWaker,
}

#[derive(Default)]
struct State {
    slots: Vec<Slot>,
    free: Vec<usize>,
    out: Vec<u8>,
    /// Whether the driver knows that there is something to send.
    stirred: bool,
    /// Why there will be no more answers.
    lost: Option<String>,
}

enum Slot {
    Free,
    Waiting(Option<Waker>),
    /// Its caller went away, and its answer is still due.
    GivenUp,
    Done(Answer),
}

/// What came back: a number in its digits' place, or a value that is kept.
enum Answer {
    Total(usize),
    Value(Bytes),
}

impl State {
    /// A place for a call; its number is the tag.
    fn reserve(&mut self) -> usize {
        if let Some(tag) = self.free.pop() {
            self.slots[tag] = Slot::Waiting(None);
            return tag;
        }
        self.slots.push(Slot::Waiting(None));
        self.slots.len() - 1
    }

    fn release(&mut self, tag: usize) {
        self.slots[tag] = Slot::Free;
        self.free.push(tag);
    }

    /// Notes all answers that are whole, and whom to wake for them. Says how many bytes they were.
    fn settle(&mut self, received: &[u8], wakers: &mut Vec<Waker>) -> Result<usize> {
        let mut taken = 0;
        while let Some(found) = amp::read(received.get(taken..).unwrap_or_default())? {
            let tag = found.answer.and_then(|tag| amp::number(tag, 16));
            let tag = tag.context("a box that is no answer")?;
            let answer = if found.value.is_empty() {
                Answer::Total(amp::number(found.total, 10).context("a total that is no number")?)
            } else {
                Answer::Value(Bytes::copy_from_slice(found.value))
            };
            match self.slots.get_mut(tag) {
                Some(Slot::Waiting(waker)) => {
                    wakers.extend(waker.take());
                    self.slots[tag] = Slot::Done(answer);
                }
                Some(Slot::GivenUp) => self.release(tag),
                _ => bail!("an answer to nothing"),
            }
            taken += found.bytes;
        }
        Ok(taken)
    }

    fn lose(&mut self, why: String) -> Vec<Waker> {
        self.lost = Some(why);
        let wakers = self.slots.iter_mut().filter_map(|slot| match slot {
            Slot::Waiting(waker) => waker.take(),
            Slot::Free | Slot::GivenUp | Slot::Done(_) => None,
        });
        wakers.collect()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an ask, and waits for its answer.
    async fn call(&self, put: impl FnOnce(&mut Vec<u8>, usize)) -> Result<Answer> {
        let (tag, is_first) = {
            let mut state = self.state();
            if let Some(lost) = &state.lost {
                bail!("the connection is lost: {lost}");
            }
            let tag = state.reserve();
            put(&mut state.out, tag);
            (tag, !std::mem::replace(&mut state.stirred, true))
        };
        if is_first {
            self.driver.wake();
        }
        let mut waiting = Waiting { shared: self, tag: Some(tag) };
        let answer = poll_fn(|cx| self.poll_answer(tag, cx)).await;
        waiting.tag = None;
        answer
    }

    fn poll_answer(&self, tag: usize, cx: &Context<'_>) -> Poll<Result<Answer>> {
        let mut guard = self.state();
        let state = &mut *guard;
        match &mut state.slots[tag] {
            Slot::Waiting(waker) => {
                if let Some(lost) = &state.lost {
                    return Poll::Ready(Err(anyhow::anyhow!("the connection is lost: {lost}")));
                }
                match waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            slot => {
                let Slot::Done(answer) = std::mem::replace(slot, Slot::Free) else {
                    return Poll::Ready(Err(anyhow::anyhow!("a call was given up")));
                };
                state.free.push(tag);
                Poll::Ready(Ok(answer))
            }
        }
    }
}

/// Gives a call up whose caller goes away.
struct Waiting<'a> {
    shared: &'a Shared,
    tag: Option<usize>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(tag) = self.tag else { return };
        let mut state = self.shared.state();
        if matches!(state.slots[tag], Slot::Waiting(_)) {
            state.slots[tag] = Slot::GivenUp;
        } else {
            state.release(tag);
        }
    }
}

impl Connection {
    fn new(stream: TcpStream) -> Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), driver: AtomicWaker::new() });
        let driver = tokio::spawn(drive(Pumped::new(stream)?, Arc::clone(&shared)));
        Ok(Self { shared, driver })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Caller for Connection {
    async fn small(&self) -> Result<()> {
        let answer = self.shared.call(amp::put_small).await?;
        let Answer::Total(total) = answer else { bail!("no total") };
        ensure!(i64::try_from(total) == Ok(TOTAL), "a wrong total");
        Ok(())
    }

    async fn echo(&self, value: &Bytes) -> Result<()> {
        let answer = self.shared.call(|out, tag| amp::put_echo(out, tag, value)).await?;
        let Answer::Value(value) = answer else { bail!("no value") };
        ensure!(value.len() == LARGE_BYTES, "a wrong value");
        Ok(())
    }
}

/// Sends what callers wrote, and gives them what comes back, until the connection is lost.
async fn drive(mut pumped: Pumped, shared: Arc<Shared>) {
    let (mut spare, mut wakers) = (Vec::new(), Vec::new());
    let lost = poll_fn(|cx| {
        poll_drive(&mut pumped, &shared, &mut spare, &mut wakers, cx).map(|result| match result {
            Ok(()) => "the peer closed it".to_owned(),
            Err(error) => format!("{error:#}"),
        })
    })
    .await;
    let wakers = shared.state().lose(lost);
    wakers.into_iter().for_each(Waker::wake);
}

fn poll_drive(
    pumped: &mut Pumped,
    shared: &Shared,
    spare: &mut Vec<u8>,
    wakers: &mut Vec<Waker>,
    cx: &mut Context<'_>,
) -> Poll<Result<()>> {
    /// An out-buffer that grew beyond this is given back when no call waits.
    const KEPT_BYTES_MAX: usize = 4 * 1024;
    shared.driver.register(cx.waker());
    loop {
        if !pumped.is_full() {
            let mut state = shared.state();
            state.stirred = false;
            if state.free.len() == state.slots.len() && state.out.capacity() > KEPT_BYTES_MAX {
                state.out = Vec::new();
            }
            std::mem::swap(&mut state.out, spare);
        }
        pumped.poll_send(cx, spare)?;
        let received = with_buffer(|buffer| {
            pumped.poll_receive(cx, buffer, |received| shared.state().settle(received, wakers))
        });
        wakers.drain(..).for_each(Waker::wake);
        match received {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(true)) => {}
            Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        }
    }
}
