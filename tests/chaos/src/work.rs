//! What is asked under load, and who answers it. Whatever is carried out is written down before
//! anything else happens.

use std::sync::Arc;
use std::time::Duration;

use amp_proto::{Arguments, Command, CommandError, Failure, ItemSender, Items, responders};
use bytes::Bytes;

use crate::ledger::{Entry, Ledger};

/// Do something that must not be done twice.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, response = Did, errors = WorkError)]
pub(crate) struct Work {
    pub(crate) id: u64,
    pub(crate) takes_ms: u64,
    pub(crate) fails: bool,
    pub(crate) payload: Bytes,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(crate) struct Did {
    pub(crate) id: u64,
    pub(crate) digest: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
pub(crate) enum WorkError {
    #[error("done, and it failed: {0}")]
    #[code("FAILED")]
    Failed(String),
}

/// Give many bytes back.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, response = Carried)]
pub(crate) struct Carry {
    pub(crate) id: u64,
    pub(crate) load: Bytes,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(crate) struct Carried {
    pub(crate) id: u64,
    pub(crate) load: Bytes,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(crate) struct Number {
    pub(crate) number: u64,
    pub(crate) padding: Bytes,
}

/// Count from one.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, answers = stream Number, response = Did)]
pub(crate) struct Give {
    pub(crate) id: u64,
    pub(crate) items: u64,
}

/// Add numbers up.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, takes = stream Number, response = Total)]
pub(crate) struct Take {
    pub(crate) id: u64,
    pub(crate) items: u64,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(crate) struct Total {
    pub(crate) id: u64,
    pub(crate) total: u64,
}

/// Tells one payload from another: FNV-1a, of 64 bits.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// An item, with something to carry.
pub(crate) fn number(number: u64) -> Number {
    const PADDING: [u8; 200] = [7; 200];
    Number { number, padding: Bytes::from_static(&PADDING) }
}

/// Carries things out, and writes them down.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) ledger: Arc<Ledger>,
}

impl Worker {
    fn done<E>(&self, id: u64) -> Result<(), Failure<E>> {
        self.ledger.write(&Entry::Done { id }).map_err(Failure::undeclared)
    }
}

#[responders]
impl Worker {
    #[responder]
    async fn work(&self, it: Work) -> Result<Did, Failure<WorkError>> {
        self.done(it.id)?;
        if it.takes_ms > 0 {
            tokio::time::sleep(Duration::from_millis(it.takes_ms)).await;
        }
        if it.fails {
            return Err(Failure::from(WorkError::Failed(it.id.to_string())));
        }
        Ok(Did { id: it.id, digest: digest(&it.payload) })
    }

    #[responder]
    async fn carry(&self, it: Carry) -> Result<Carried, Failure<amp_proto::Never>> {
        self.done(it.id)?;
        Ok(Carried { id: it.id, load: it.load })
    }

    #[responder]
    async fn give(
        &self,
        it: Give,
        mut numbers: ItemSender<Number>,
    ) -> Result<Did, Failure<amp_proto::Never>> {
        self.done(it.id)?;
        for next in 1..=it.items {
            numbers.send(number(next)).await.map_err(Failure::undeclared)?;
        }
        Ok(Did { id: it.id, digest: it.items })
    }

    #[responder]
    async fn take(
        &self,
        it: Take,
        mut numbers: Items<Number>,
    ) -> Result<Total, Failure<amp_proto::Never>> {
        self.done(it.id)?;
        let (mut last, mut total) = (0, 0);
        while let Some(Number { number, .. }) = numbers.next().await.map_err(Failure::undeclared)? {
            if number != last + 1 {
                self.wrong(it.id, format!("took {number} after {last}"))?;
            }
            last = number;
            total += number;
        }
        if last != it.items {
            self.wrong(it.id, format!("took {last} of {} for all of them", it.items))?;
        }
        Ok(Total { id: it.id, total })
    }
}

impl Worker {
    fn wrong(&self, id: u64, why: String) -> Result<(), Failure<amp_proto::Never>> {
        self.ledger.write(&Entry::Wrong { id, why }).map_err(Failure::undeclared)
    }
}
