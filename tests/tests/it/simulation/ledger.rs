//! What was carried out, what the callers were told, and whether the two agree.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use amp_proto::Arguments;
use amp_proto::{CallError, Command, CommandError, ItemSender, Items, Never, responders};
use bytes::Bytes;

/// A process, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Region(usize),
    Cluster(usize),
}

/// Do something that must not be done twice.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, response = Did, errors = DoError)]
pub(super) struct Do {
    pub(super) id: u64,
    pub(super) takes_ms: u64,
    pub(super) fails: bool,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(super) struct Did {
    pub(super) id: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
pub(super) enum DoError {
    #[error("done, and it failed: {0}")]
    #[code("FAILED")]
    Failed(String),
}

/// Give many bytes back.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, response = Carried)]
pub(super) struct Carry {
    pub(super) id: u64,
    pub(super) takes_ms: u64,
    pub(super) load: Bytes,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(super) struct Carried {
    pub(super) id: u64,
    pub(super) load: Bytes,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(super) struct Number {
    pub(super) number: u32,
    pub(super) padding: Bytes,
}

/// Count from one.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, answers = stream Number, response = Did)]
pub(super) struct Give {
    pub(super) id: u64,
    pub(super) takes_ms: u64,
    pub(super) items: u32,
    pub(super) item_bytes: u32,
}

/// Add numbers up.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, takes = stream Number, response = Total, errors = DoError)]
pub(super) struct Take {
    pub(super) id: u64,
    pub(super) takes_ms: u64,
    pub(super) stops: bool,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(super) struct Total {
    pub(super) id: u64,
    pub(super) total: u64,
}

/// What a caller was told at the end of a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    /// It found nobody to ask.
    Nobody,
    Done,
    Failed {
        maybe_done: bool,
        what: String,
    },
    /// It went away.
    Gone,
}

impl Told {
    pub(super) fn failed<E: std::fmt::Debug>(error: &CallError<E>) -> Self {
        Self::Failed { maybe_done: error.maybe_done(), what: format!("{error:?}") }
    }
}

/// The books of one run.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// How often each call was begun, and where.
    begun: Mutex<HashMap<u64, HashMap<Who, u32>>>,
    /// Streams of which the caller has said that there are no more items.
    ended: Mutex<HashMap<u64, u32>>,
    wrong: Mutex<Vec<String>>,
    /// Calls and what they ended with.
    told: Mutex<Vec<(u64, Option<Who>, Told)>>,
}

impl Ledger {
    pub(super) fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    pub(super) fn told(&self, id: u64, by: Option<Who>, told: Told) {
        self.told.lock().unwrap().push((id, by, told));
    }

    /// The caller has sent all of so many items.
    pub(super) fn ended(&self, id: u64, items: u32) {
        self.ended.lock().unwrap().insert(id, items);
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<u64, HashMap<Who, u32>>> {
        self.begun.lock().unwrap()
    }

    fn begin(&self, id: u64, who: Who) {
        *self.begun().entry(id).or_default().entry(who).or_default() += 1;
    }

    fn times(&self, id: u64, by: Option<Who>) -> u32 {
        let begun = self.begun();
        let those = begun.get(&id).into_iter().flatten();
        those.filter(|(who, _)| by.is_none_or(|by| by == **who)).map(|(_, times)| times).sum()
    }

    /// What does not agree.
    pub(super) fn judge(&self, calls: usize, gathered: impl Fn(u64) -> bool) -> Vec<String> {
        let mut wrong = self.wrong.lock().unwrap().clone();
        let told = self.told.lock().unwrap();
        let mut heard: HashMap<u64, u32> = HashMap::new();
        for (id, by, told) in told.iter() {
            *heard.entry(*id).or_default() += 1;
            let times = self.times(*id, *by);
            let is_true = match told {
                Told::Done => times == 1,
                Told::Nobody | Told::Failed { maybe_done: false, .. } => times == 0,
                Told::Failed { maybe_done: true, .. } | Told::Gone => times <= 1,
            };
            if !is_true {
                wrong.push(format!("call {id}, told {told:?}, was carried out {times} times"));
            }
        }
        if heard.len() != calls {
            wrong.push(format!("{} of {calls} calls ended", heard.len()));
        }
        for (id, times) in heard {
            if times != 1 && !gathered(id) {
                wrong.push(format!("call {id} ended {times} times"));
            }
        }
        for (id, begun) in self.begun().iter() {
            for (who, times) in begun.iter().filter(|(_, times)| **times > 1) {
                wrong.push(format!("call {id} was carried out {times} times by {who:?}"));
            }
        }
        wrong
    }

    /// How many calls ended well, failed with and without a doubt, found nobody, and were left.
    pub(super) fn figures(&self) -> [usize; 5] {
        let told = self.told.lock().unwrap();
        let count = |is: fn(&Told) -> bool| told.iter().filter(|(_, _, told)| is(told)).count();
        [
            count(|told| *told == Told::Done),
            count(|told| matches!(told, Told::Failed { maybe_done: true, .. })),
            count(|told| matches!(told, Told::Failed { maybe_done: false, .. })),
            count(|told| *told == Told::Nobody),
            count(|told| *told == Told::Gone),
        ]
    }

    /// What every caller was told, in the order of the calls.
    pub(super) fn lines(&self) -> Vec<String> {
        let told = self.told.lock().unwrap();
        let mut lines: Vec<_> = told.iter().map(|told| format!("{told:?}")).collect();
        lines.sort();
        lines
    }
}

/// Answers for one process.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) who: Who,
    pub(super) ledger: Arc<Ledger>,
}

async fn sleep(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

pub(super) fn number(number: u32, bytes: u32) -> Number {
    Number { number, padding: vec![7; usize::try_from(bytes).unwrap()].into() }
}

#[responders]
impl Worker {
    #[responder]
    async fn carry_out(&self, it: Do) -> Result<Did, DoError> {
        self.ledger.begin(it.id, self.who);
        sleep(it.takes_ms).await;
        if it.fails { Err(DoError::Failed(it.id.to_string())) } else { Ok(Did { id: it.id }) }
    }

    #[responder]
    async fn carry(&self, it: Carry) -> Result<Carried, Never> {
        self.ledger.begin(it.id, self.who);
        sleep(it.takes_ms).await;
        Ok(Carried { id: it.id, load: it.load })
    }

    #[responder]
    async fn give(&self, it: Give, mut numbers: ItemSender<Number>) -> Result<Did, Never> {
        self.ledger.begin(it.id, self.who);
        for next in 1..=it.items {
            sleep(it.takes_ms / u64::from(it.items)).await;
            if numbers.send(number(next, it.item_bytes)).await.is_err() {
                break;
            }
        }
        Ok(Did { id: it.id })
    }

    #[responder]
    async fn take(&self, it: Take, mut numbers: Items<Number>) -> Result<Total, DoError> {
        self.ledger.begin(it.id, self.who);
        let (mut last, mut total) = (0, 0);
        loop {
            match numbers.next().await {
                Ok(Some(Number { number, .. })) => {
                    if number != last + 1 {
                        self.ledger.wrong(format!("call {} took {number} after {last}", it.id));
                    }
                    last = number;
                    total += u64::from(number);
                    sleep(it.takes_ms / 60).await;
                    if it.stops && last == 3 {
                        return Err(DoError::Failed(it.id.to_string()));
                    }
                }
                Ok(None) => {
                    let ended = self.ledger.ended.lock().unwrap().get(&it.id).copied();
                    if ended != Some(last) {
                        let id = it.id;
                        self.ledger.wrong(format!("call {id} took {last} for all of {ended:?}"));
                    }
                    return Ok(Total { id: it.id, total });
                }
                Err(error) => return Err(DoError::Failed(format!("{error:?}"))),
            }
        }
    }
}
