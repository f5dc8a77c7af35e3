//! What threads share things through, where the order of their steps matters.
//!
//! The files that name these are also built with others in their place, which try the orders out:
//! see `tests/schedules`.

pub(crate) use std::sync::atomic::AtomicBool;
pub(crate) use std::sync::{Mutex, MutexGuard};

pub(crate) use futures_util::task::AtomicWaker;
