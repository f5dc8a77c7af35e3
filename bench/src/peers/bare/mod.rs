//! A bare AMP loop: boxes are read where they lie, and everything that is ready goes out in one
//! write. What an AMP library with types, limits and errors can be compared with.

pub(crate) mod amp;
mod api;

use anyhow::{Context as _, Result, ensure};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use self::api::ApiDialer;
use super::pump::{Pumped, Turn, accept, listener};
use crate::child::say;
use crate::figures::Figures;
use crate::job::{Far, Job, Said, Size, Work};
use crate::scenarios::meter::{Counted, Meter};
use crate::scenarios::{LARGE_BYTES, TOTAL, measure_calls};

pub(crate) async fn listen() -> Result<()> {
    let listener = listener()?;
    say(&Said::Ready(Far::at(listener.local_addr()?.to_string())))?;
    accept(&listener, || Answering).await
}

/// Answers each ask where it stands.
struct Answering;

impl Turn for Answering {
    fn take(&mut self, received: &[u8], out: &mut Vec<u8>) -> Result<usize> {
        let mut taken = 0;
        while let Some(ask) = amp::read(received.get(taken..).unwrap_or_default())? {
            amp::put_answer(out, &ask)?;
            taken += ask.bytes;
        }
        Ok(taken)
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// Follows each answer by the next ask.
struct Asking {
    size: Size,
    value: Vec<u8>,
    counted: Counted,
    /// When the ask of each tag began, if it is timed.
    began: Vec<Option<std::time::Instant>>,
}

impl Asking {
    fn ask(&mut self, tag: usize, out: &mut Vec<u8>) {
        if let Some(began) = self.began.get_mut(tag) {
            *began = self.counted.begin();
        }
        match self.size {
            Size::Small => amp::put_small(out, tag),
            Size::Large => amp::put_echo(out, tag, &self.value),
        }
    }
}

impl Turn for Asking {
    fn take(&mut self, received: &[u8], out: &mut Vec<u8>) -> Result<usize> {
        let mut taken = 0;
        while let Some(found) = amp::read(received.get(taken..).unwrap_or_default())? {
            let tag = found.answer.and_then(|tag| amp::number(tag, 16));
            let tag = tag.context("a box that is no answer")?;
            let is_right = match self.size {
                Size::Small => amp::number(found.total, 10) == usize::try_from(TOTAL).ok(),
                Size::Large => found.value.len() == LARGE_BYTES,
            };
            ensure!(is_right, "a wrong answer");
            let began = self.began.get_mut(tag).context("an answer to nothing")?;
            self.counted.done(began.take());
            self.ask(tag, out);
            taken += found.bytes;
        }
        Ok(taken)
    }

    fn is_over(&self) -> bool {
        self.counted.is_over()
    }
}

pub(crate) async fn connect(job: &Job, far: &Far) -> Result<Figures> {
    let Work::Calls { size, connections, in_flight } = job.work else {
        return connect_api(job, far).await;
    };
    let meter = Meter::new(job.seconds);
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let mut pumped = Pumped::new(TcpStream::connect(&far.address).await?)?;
        let counted = meter.counter(connections * in_flight == 1);
        let (value, began) = (vec![7; LARGE_BYTES], vec![None; in_flight]);
        let mut asking = Asking { size, value, counted, began };
        tasks.spawn(async move {
            let mut first = Vec::new();
            (0..in_flight).for_each(|tag| asking.ask(tag, &mut first));
            pumped.run(&first, &mut asking).await?;
            Ok(asking.counted)
        });
    }
    meter.measure(tasks, &far.pids).await
}

pub(crate) async fn connect_api(job: &Job, far: &Far) -> Result<Figures> {
    measure_calls(job, far, ApiDialer::new(&far.address)).await
}
