//! What the rows about floods, readers that do not read, exhaustion and soaking have in common: a
//! vocabulary, and processes that speak it.

pub(crate) mod keeping;
pub(crate) mod load;
pub(crate) mod node;
pub(crate) mod raw;
pub(crate) mod slope;
pub(crate) mod slow;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use amp_proto::{Arguments, Command, ItemSender, Items, Never, responders};
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

/// Add two numbers.
#[derive(Debug, Command)]
#[command(answered_by = any, response = Sum)]
pub(crate) struct Add {
    pub(crate) left: u64,
    pub(crate) right: u64,
}

/// What two numbers are together.
#[derive(Debug, Arguments)]
pub(crate) struct Sum {
    pub(crate) sum: u64,
}

/// Give the same back.
#[derive(Debug, Command)]
#[command(answered_by = any, response = Drop)]
pub(crate) struct Mirror {
    pub(crate) water: Bytes,
}

/// Give every item back.
#[derive(Debug, Command)]
#[command(answered_by = any, takes = stream Drop, answers = stream Drop)]
pub(crate) struct Pipe;

/// Publish items of so many bytes, so many in a second, until nobody wants them any more.
#[derive(Debug, Command)]
#[command(answered_by = any, answers = stream Drop)]
pub(crate) struct Subscribe {
    pub(crate) item_bytes: u64,
    pub(crate) items_per_s: u64,
}

/// Hold some bytes until you are told to let go of them.
#[derive(Debug, Command)]
#[command(answered_by = any)]
pub(crate) struct Keep {
    pub(crate) water: Bytes,
}

/// Some bytes.
#[derive(Debug, Arguments)]
pub(crate) struct Drop {
    pub(crate) water: Bytes,
}

/// Answers all of it.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// How many asks were answered.
    pub(crate) answered: AtomicU64,
    /// Whether what is held may go.
    pub(crate) let_go: watch::Sender<bool>,
}

/// How often in a second a publisher hands out what is due.
const TICKS_PER_S: u64 = 50;

#[responders]
impl Answers {
    #[responder]
    async fn add(&self, Add { left, right }: Add) -> Result<Sum, Never> {
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(Sum { sum: left.wrapping_add(right) })
    }

    #[responder]
    async fn mirror(&self, Mirror { water }: Mirror) -> Result<Drop, Never> {
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(Drop { water })
    }

    #[responder]
    async fn keep(&self, Keep { water }: Keep) -> Result<(), Never> {
        let mut let_go = self.let_go.subscribe();
        let _is_over = let_go.wait_for(|go| *go).await.is_ok();
        drop(water);
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    #[responder]
    async fn pipe(
        &self,
        _: Pipe,
        mut items: Items<Drop>,
        mut back: ItemSender<Drop>,
    ) -> Result<(), Never> {
        while let Ok(Some(item)) = items.next().await {
            if back.send(item).await.is_err() {
                break;
            }
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    #[responder]
    async fn subscribe(
        &self,
        Subscribe { item_bytes, items_per_s }: Subscribe,
        mut items: ItemSender<Drop>,
    ) -> Result<(), Never> {
        let water = Bytes::from(vec![7; usize::try_from(item_bytes).unwrap_or(usize::MAX)]);
        let (begun, mut given) = (Instant::now(), 0);
        let mut ticks = tokio::time::interval(Duration::from_millis(1000 / TICKS_PER_S));
        loop {
            ticks.tick().await;
            // What is due by now, whenever this has its turn.
            let due =
                begun.elapsed().as_secs_f64() * f64::from(u32::try_from(items_per_s).unwrap_or(0));
            while f64::from(given) < due {
                if items.send(Drop { water: water.clone() }).await.is_err() {
                    return Ok(());
                }
                given += 1_u32;
            }
        }
    }
}
