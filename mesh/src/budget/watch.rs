//! Looks at how much memory the process has, and says when it runs short.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::resident::Resident;
use super::{BudgetTooSmall, MemoryBudget};

/// How often is looked when little is taken. Fixed: one reading takes some microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Whenever one of so many parts of the budget was taken is looked in any case: a crowd can send
/// much in [`LOOK_EVERY`], and a busy runtime may look late.
const LOOKS_PER_BUDGET: u64 = 64;
/// The shares of the budget, in percent, at which new asks and new connections are refused.
const HIGH_PERCENT: u64 = 80;
const CRITICAL_PERCENT: u64 = 90;
/// How far memory has to go down below each of them, in percent of the budget, and for how long it
/// has to stay there, until it counts as gone down. Otherwise what is taken again at once would
/// bring it up at once, and the log would hear of it each time.
const EASED_PERCENT: u64 = 5;
const EASED_FOR: Duration = Duration::from_secs(2);

/// How short of memory a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MemoryPressure {
    /// Not at all: it has less than four fifths of its budget, or has none.
    #[default]
    Low,
    /// What peers newly ask is refused.
    High,
    /// That, and a region process accepts no more connections.
    Critical,
}

/// How a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What it had when it was last looked, in bytes. `None` without a budget.
    pub resident_bytes: Option<u64>,
    /// What it may have, in bytes. `None`: as much as it takes.
    pub budget_bytes: Option<u64>,
    /// How short of memory it is.
    pub pressure: MemoryPressure,
}

type Read = Box<dyn FnMut() -> io::Result<u64> + Send>;

/// Watches over the memory of one process.
pub struct MemoryWatch {
    budget_bytes: Option<u64>,
    resident_bytes: AtomicU64,
    /// Whether new asks are refused, for everyone who has to know at once.
    is_short: AtomicBool,
    pressure: watch::Sender<MemoryPressure>,
    /// What was taken since it was last looked, in bytes.
    unseen_bytes: AtomicU64,
    looking: Mutex<Looking>,
}

struct Looking {
    read: Read,
    /// Since when there is less than there was.
    eased_since: Option<Instant>,
}

impl MemoryWatch {
    /// Watches over this process. Nothing is known yet.
    ///
    /// # Errors
    /// [`BudgetTooSmall`].
    pub(crate) fn new(budget: MemoryBudget) -> Result<Self, BudgetTooSmall> {
        let bytes = budget.bytes()?;
        let read_with = |resident: Resident| -> Read { Box::new(move || resident.bytes()) };
        match Resident::open().map(read_with) {
            Ok(read) => Ok(Self::reading(bytes, read)),
            Err(error) => {
                if let MemoryBudget::Bytes(budget_bytes) = budget {
                    tracing::warn!(budget_bytes, %error, "the memory budget cannot be kept here");
                }
                Ok(Self::reading(None, Box::new(|| Err(io::ErrorKind::Unsupported.into()))))
            }
        }
    }

    fn reading(budget_bytes: Option<u64>, read: Read) -> Self {
        Self {
            budget_bytes,
            resident_bytes: AtomicU64::new(0),
            is_short: AtomicBool::new(false),
            pressure: watch::Sender::default(),
            unseen_bytes: AtomicU64::new(0),
            looking: Mutex::new(Looking { read, eased_since: None }),
        }
    }

    /// Looks now and then, for ever.
    ///
    /// # Cancellation
    /// What was seen last holds on.
    pub(crate) async fn run(&self) {
        if self.budget_bytes.is_none() {
            return;
        }
        loop {
            self.look();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether new asks are refused. Costs one load.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// So many bytes were taken, for longer than a moment: looks if they are many.
    pub(crate) fn took(&self, bytes: usize) {
        let Some(budget) = self.budget_bytes else { return };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let unseen = self.unseen_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if unseen >= budget / LOOKS_PER_BUDGET {
            self.look();
        }
    }

    /// How the process stands.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let resident_bytes = self.resident_bytes.load(Ordering::Relaxed);
        Memory {
            resident_bytes: self.budget_bytes.map(|_| resident_bytes),
            budget_bytes: self.budget_bytes,
            pressure: *self.pressure.borrow(),
        }
    }

    /// Tells of every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<MemoryPressure> {
        self.pressure.subscribe()
    }

    fn look(&self) {
        let Some(budget) = self.budget_bytes else { return };
        let mut looking = match self.looking.try_lock() {
            Ok(looking) => looking,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Another thread looks at this moment.
            Err(TryLockError::WouldBlock) => return,
        };
        self.unseen_bytes.store(0, Ordering::Relaxed);
        // What was seen last holds on.
        let Ok(resident) = (looking.read)() else { return };
        self.resident_bytes.store(resident, Ordering::Relaxed);
        let before = *self.pressure.borrow();
        let now = looking.judge(before, resident, budget);
        if now == before {
            return;
        }
        self.is_short.store(now >= MemoryPressure::High, Ordering::Relaxed);
        self.pressure.send_replace(now);
        tell(before, now, resident, budget);
    }
}

impl Looking {
    fn judge(&mut self, before: MemoryPressure, resident: u64, budget: u64) -> MemoryPressure {
        let percent = |percent| budget / 100 * percent;
        let pressure = |bytes: u64| match bytes {
            _ if bytes >= percent(CRITICAL_PERCENT) => MemoryPressure::Critical,
            _ if bytes >= percent(HIGH_PERCENT) => MemoryPressure::High,
            _ => MemoryPressure::Low,
        };
        let risen = pressure(resident);
        let eased = pressure(resident.saturating_add(percent(EASED_PERCENT)));
        if risen > before {
            self.eased_since = None;
            return risen;
        }
        if eased >= before {
            self.eased_since = None;
            return before;
        }
        let now = Instant::now();
        if now.duration_since(*self.eased_since.get_or_insert(now)) < EASED_FOR {
            return before;
        }
        self.eased_since = None;
        eased
    }
}

/// One line for each change that begins or ends the refusing of asks. That connections are not
/// accepted is told by whoever does not.
fn tell(before: MemoryPressure, now: MemoryPressure, resident_bytes: u64, budget_bytes: u64) {
    match (before, now) {
        (MemoryPressure::Low, _) => {
            tracing::warn!(
                resident_bytes,
                budget_bytes,
                "memory runs short: what peers newly ask is refused"
            );
        }
        (_, MemoryPressure::Low) => {
            tracing::info!(
                resident_bytes,
                budget_bytes,
                "there is memory again: peers are answered as ever"
            );
        }
        _ => {}
    }
}

impl fmt::Debug for MemoryWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWatch").field("memory", &self.memory()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A process with a budget of 1,000 bytes, and what it has.
    fn process() -> (Arc<MemoryWatch>, Arc<AtomicU64>, Arc<AtomicUsize>) {
        let (resident, looks) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
        let (has, looked) = (Arc::clone(&resident), Arc::clone(&looks));
        let read = Box::new(move || {
            looked.fetch_add(1, Ordering::Relaxed);
            match has.load(Ordering::Relaxed) {
                u64::MAX => Err(io::ErrorKind::InvalidData.into()),
                bytes => Ok(bytes),
            }
        });
        (Arc::new(MemoryWatch::reading(Some(1000), read)), resident, looks)
    }

    #[tokio::test(start_paused = true)]
    async fn pressure_rises_at_once_and_goes_down_when_there_is_less_for_a_while() {
        use MemoryPressure::{Critical, High, Low};

        let (watch, resident, _) = process();
        // What the process has, after how many seconds, and what follows.
        let story = [
            (799, 0, Low),
            (800, 0, High),
            (899, 0, High),
            (900, 0, Critical),
            (1200, 0, Critical),
            (899, 5, Critical),
            (849, 1, Critical),
            (849, 1, Critical),
            (849, 1, High),
            (760, 5, High),
            (749, 1, High),
            (760, 1, High),
            (749, 1, High),
            (749, 1, High),
            (749, 1, Low),
            (950, 0, Critical),
            (10, 1, Critical),
            (10, 2, Low),
        ];
        for (number, (bytes, seconds, expected)) in story.into_iter().enumerate() {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            resident.store(bytes, Ordering::Relaxed);
            watch.look();
            assert_eq!(watch.memory().pressure, expected, "step {number}: {bytes} bytes");
            assert_eq!(watch.is_short(), expected > Low, "step {number}: {bytes} bytes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_is_looked_at_four_times_a_second_and_whenever_much_was_taken() {
        let (watch, resident, looks) = process();
        let mut changes = watch.changes();
        let running = Arc::clone(&watch);
        let looking = tokio_util::task::TaskTracker::new();
        looking.spawn(async move { running.run().await });
        tokio::time::sleep(Duration::from_millis(2900)).await;
        assert_eq!(looks.load(Ordering::Relaxed), 12);
        // A sixty-fourth of the budget are 15 bytes.
        resident.store(950, Ordering::Relaxed);
        watch.took(14);
        assert!(!watch.is_short());
        watch.took(1);
        assert!(watch.is_short());
        assert_eq!(*changes.borrow_and_update(), MemoryPressure::Critical);
        // Without anybody's asking it is noticed that there is less.
        resident.store(100, Ordering::Relaxed);
        changes.wait_for(|pressure| *pressure == MemoryPressure::Low).await.unwrap();
        assert!(!watch.is_short());
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_changes_nothing() {
        let (watch, resident, _) = process();
        for bytes in [900, u64::MAX] {
            resident.store(bytes, Ordering::Relaxed);
            watch.look();
            assert_eq!(watch.memory().pressure, MemoryPressure::Critical);
            assert_eq!(watch.memory().resident_bytes, Some(900));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_budget_nobody_looks() {
        let read = Box::new(|| panic!("somebody looked"));
        let watch = MemoryWatch::reading(None, read);
        watch.took(usize::MAX);
        watch.run().await;
        assert!(!watch.is_short());
        assert_eq!(watch.memory().budget_bytes, None);
    }
}
