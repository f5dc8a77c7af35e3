//! Peers that make a process hold as much as they can: it is never more than the limits say.
//!
//! The allocator counts, so this is a program of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the helpers of tests fail as tests do, and say what they measured"
)]

mod attacks;
#[path = "../it/raw.rs"]
#[allow(dead_code, reason = "most of it is for other tests")]
mod raw;

use std::sync::{Mutex, PoisonError};

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// One test at a time, or they would count each other's memory.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs a test alone, on a thread that does nothing else.
fn alone<T>(test: impl Future<Output = T>) -> T {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test)
}

/// Counts from now on.
struct Growth(usize);

impl Growth {
    fn begin() -> Self {
        ALLOCATED.reset_peak_usage();
        Self(ALLOCATED.current_usage())
    }

    /// The most that there was at any time since, beyond what there was before, in bytes.
    fn most(&self) -> usize {
        ALLOCATED.peak_usage().saturating_sub(self.0)
    }
}
