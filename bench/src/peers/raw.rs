//! As many bytes there and back as AMP takes for the same, which nobody looks at: the floor.

use std::future::pending;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::bare::amp;
use super::pump::{Pumped, Turn, accept, listener};
use crate::child::say;
use crate::figures::Figures;
use crate::job::{Far, Job, Said, Size, Work};
use crate::scenarios::broadcast::{self, Hub};
use crate::scenarios::meter::{Counted, Meter};
use crate::scenarios::stream::{self, Tap};
use crate::scenarios::{Caller, Dialer, measure_calls};

/// Bytes of an item, as a box with the keys `_command`, `number`, `stream` and `text`.
const ITEM_BYTES: usize = 80;
/// So many items go into one write.
const ITEMS_AT_ONCE: usize = 800;

/// How long the box of a call and that of its answer are.
fn sizes(size: Size) -> (usize, usize) {
    let (mut ask, mut answer) = (Vec::new(), Vec::new());
    match size {
        Size::Small => {
            amp::put_small(&mut ask, 0xfff);
            amp::put_total(&mut answer, b"fff", 32);
        }
        Size::Large => {
            let value = vec![0; crate::scenarios::LARGE_BYTES];
            amp::put_echo(&mut ask, 0xfff, &value);
            amp::put_echoed(&mut answer, b"fff", &value);
        }
    }
    (ask.len(), answer.len())
}

fn size_of(work: Work) -> Size {
    match work {
        Work::Calls { size, .. } => size,
        _ => Size::Small,
    }
}

pub(crate) async fn listen(job: &Job) -> Result<()> {
    let listener = listener()?;
    let far = Far::at(listener.local_addr()?.to_string());
    let pids = far.pids.clone();
    say(&Said::Ready(far))?;
    match job.work {
        Work::Broadcast { members } => {
            let mut streams = Vec::with_capacity(members);
            while streams.len() < members {
                let stream = listener.accept().await?.0;
                stream.set_nodelay(true)?;
                streams.push(stream);
            }
            let mut hub = Streams(streams);
            let figures = broadcast::measure(job.seconds, members, &pids, &mut hub).await?;
            say(&Said::Figures(figures))?;
            // Members that see it go would say so, perhaps before the figures are read.
            pending().await
        }
        Work::Stream => {
            let (mut stream, _from) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let items = vec![7; ITEM_BYTES * ITEMS_AT_ONCE];
            while stream.write_all(&items).await.is_ok() {}
            // Whoever measured has enough.
            Ok(())
        }
        work => {
            let (ask, answer) = sizes(size_of(work));
            accept(&listener, || Echo { ask, answer: vec![7; answer], over: 0 }).await
        }
    }
}

/// Answers so many bytes with so many others.
struct Echo {
    ask: usize,
    answer: Vec<u8>,
    /// Bytes of an ask that is not whole.
    over: usize,
}

impl Turn for Echo {
    fn take(&mut self, received: &[u8], out: &mut Vec<u8>) -> Result<usize> {
        let bytes = self.over + received.len();
        self.over = bytes % self.ask;
        for _ in 0..bytes / self.ask {
            out.extend_from_slice(&self.answer);
        }
        Ok(received.len())
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// The other way round: so many bytes are an answer, and are followed by the next ask.
struct Asking {
    ask: Vec<u8>,
    answer: usize,
    over: usize,
    counted: Counted,
    /// Nothing else is in flight, so that it can be told how long it took.
    alone: bool,
    began: Option<std::time::Instant>,
}

impl Turn for Asking {
    fn take(&mut self, received: &[u8], out: &mut Vec<u8>) -> Result<usize> {
        let bytes = self.over + received.len();
        self.over = bytes % self.answer;
        for _ in 0..bytes / self.answer {
            self.counted.done(self.began.take());
            self.began = self.alone.then(|| self.counted.begin()).flatten();
            out.extend_from_slice(&self.ask);
        }
        Ok(received.len())
    }

    fn is_over(&self) -> bool {
        self.counted.is_over()
    }
}

pub(crate) async fn connect(job: &Job, far: &Far) -> Result<Figures> {
    match job.work {
        Work::Calls { size, connections, in_flight } => {
            let meter = Meter::new(job.seconds);
            let mut tasks = JoinSet::new();
            for _ in 0..connections {
                let mut pumped = Pumped::new(TcpStream::connect(&far.address).await?)?;
                let (ask, answer) = sizes(size);
                let ask = vec![7; ask];
                let alone = connections * in_flight == 1;
                let counted = meter.counter(alone);
                let mut asking = Asking { ask, answer, over: 0, counted, alone, began: None };
                tasks.spawn(async move {
                    let first = asking.ask.repeat(in_flight);
                    pumped.run(&first, &mut asking).await?;
                    Ok(asking.counted)
                });
            }
            meter.measure(tasks, &far.pids).await
        }
        Work::Stream => {
            let stream = TcpStream::connect(&far.address).await?;
            let tap = RawTap { stream, buffer: vec![0; 64 * 1024], over: 0 };
            stream::measure(job.seconds, &far.pids, tap).await
        }
        Work::Broadcast { members } => {
            let (ask, answer) = sizes(Size::Small);
            let mut tasks = JoinSet::new();
            for _ in 0..members {
                let mut pumped = Pumped::new(TcpStream::connect(&far.address).await?)?;
                let mut echo = Echo { ask, answer: vec![7; answer], over: 0 };
                tasks.spawn(async move { pumped.run(&[], &mut echo).await });
            }
            tasks.join_next().await.context("nobody to answer")???;
            bail!("a member left")
        }
        _ => measure_calls(job, far, RawDialer(far.address.clone().into())).await,
    }
}

struct RawTap {
    stream: TcpStream,
    buffer: Vec<u8>,
    over: usize,
}

impl Tap for RawTap {
    async fn next(&mut self) -> Result<u64> {
        loop {
            let bytes = self.stream.read(&mut self.buffer).await?;
            if bytes == 0 {
                return Ok(0);
            }
            let there = self.over + bytes;
            self.over = there % ITEM_BYTES;
            if there >= ITEM_BYTES {
                return Ok(u64::try_from(there / ITEM_BYTES)?);
            }
        }
    }
}

/// The connections of a broadcast.
struct Streams(Vec<TcpStream>);

impl Hub for Streams {
    fn members(&mut self) -> usize {
        self.0.len()
    }

    async fn broadcast(&mut self) -> Result<usize> {
        let (ask, answer) = sizes(Size::Small);
        let ask = vec![7; ask];
        let mut answered = vec![0; answer];
        for stream in &mut self.0 {
            stream.write_all(&ask).await?;
        }
        for stream in &mut self.0 {
            stream.read_exact(&mut answered).await?;
        }
        Ok(self.0.len())
    }
}

/// For what counts connections, and not how fast calls are made.
#[derive(Clone)]
struct RawDialer(Arc<str>);

impl Dialer for RawDialer {
    type Caller = RawCaller;

    async fn dial(&self, _number: usize) -> Result<RawCaller> {
        let stream = TcpStream::connect(&*self.0).await?;
        stream.set_nodelay(true)?;
        Ok(RawCaller(Mutex::new(stream)))
    }
}

struct RawCaller(Mutex<TcpStream>);

impl Caller for RawCaller {
    async fn small(&self) -> Result<()> {
        let (ask, answer) = sizes(Size::Small);
        let mut stream = self.0.lock().await;
        stream.write_all(&vec![7; ask]).await?;
        stream.read_exact(&mut vec![0; answer]).await?;
        Ok(())
    }

    async fn echo(&self, _value: &Bytes) -> Result<()> {
        bail!("large calls are not made this way")
    }
}
