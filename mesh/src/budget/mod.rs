//! How much memory a process may have, and what is left undone when that runs short.
//!
//! A connection holds no more than its limits allow, but a process has many of them, and an
//! application beside them. So a process has a budget. Above four fifths of it what peers newly ask
//! is refused, so that what is under way can end; above nine tenths a region process accepts no
//! more connections. Nothing is closed for it, and whatever keeps a connection alive or lets it go
//! is answered as ever.
//!
//! [`MemoryBudget`] is the setting, [`MemoryWatch`] looks at what the process has. What counts is
//! the resident set, as the operating system counts it. Elsewhere than on Linux nothing is known of
//! it, and no budget holds.

mod allowed;
mod resident;
mod shedding;
mod watch;

use std::path::Path;

pub(crate) use shedding::Shedding;
pub use watch::{Memory, MemoryPressure, MemoryWatch};

/// How much memory a process may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryBudget {
    /// What the operating system allows it: the least of the limits of its control groups, and of
    /// the machine's memory. The default.
    #[default]
    Allowed,
    /// So many bytes. No fewer than [`MemoryBudget::BYTES_MIN`].
    Bytes(u64),
    /// As much as it takes: nothing is refused for want of memory.
    Unlimited,
}

/// A budget that no process could work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a memory budget of {bytes} bytes is too small: the least is {}", MemoryBudget::BYTES_MIN)]
pub struct BudgetTooSmall {
    /// What was set, in bytes.
    pub bytes: u64,
}

impl MemoryBudget {
    /// The smallest budget, in bytes: 32 MiB. A process that does nothing has about a third of it.
    pub const BYTES_MIN: u64 = 32 * 1024 * 1024;

    /// The same in bytes; `None` without a bound, or where it is not known what is allowed. A
    /// smaller limit of the operating system is taken as it is: the process is there already.
    ///
    /// # Errors
    /// [`BudgetTooSmall`].
    pub(crate) fn bytes(self) -> Result<Option<u64>, BudgetTooSmall> {
        match self {
            Self::Allowed => Ok(allowed::bytes(Path::new("/"))),
            Self::Bytes(bytes) if bytes < Self::BYTES_MIN => Err(BudgetTooSmall { bytes }),
            Self::Bytes(bytes) => Ok(Some(bytes)),
            Self::Unlimited => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_that_nothing_could_work_with_is_refused() {
        let bytes = MemoryBudget::BYTES_MIN - 1;
        assert_eq!(MemoryBudget::Bytes(bytes).bytes(), Err(BudgetTooSmall { bytes }));
        assert_eq!(MemoryBudget::Bytes(bytes + 1).bytes(), Ok(Some(bytes + 1)));
        assert_eq!(MemoryBudget::Unlimited.bytes(), Ok(None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_allows_some_memory() {
        assert!(MemoryBudget::default().bytes().unwrap().is_some_and(|bytes| bytes > 0));
    }
}
