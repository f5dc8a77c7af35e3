//! Random orders in which several threads go through what they share of a process.
//!
//! `SCHEDULES` says how many of each (default: 2000). tokio's own primitives stand as they are:
//! each call of one is one step, and the steps around it are tried out.

/// The pool looks for these beside it.
mod client {
    use std::sync::Arc;

    use crate::connection::Link;

    #[allow(dead_code, reason = "nobody here asks for another")]
    pub(crate) trait Others {
        fn other_than(&self, lost: &Arc<Link>) -> Option<Arc<Link>>;
    }
}

/// All that the pool knows of a link.
mod connection {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    #[derive(Debug)]
    pub(crate) struct Link(crate::sync::AtomicBool);

    impl Link {
        pub(crate) fn new() -> Arc<Self> {
            Arc::new(Self(crate::sync::AtomicBool::new(true)))
        }

        pub(crate) fn is_open(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }

        pub(crate) fn close(&self) {
            self.0.store(false, Ordering::SeqCst);
        }
    }
}

#[path = "../../../../mesh/src/once/id.rs"]
#[allow(dead_code, reason = "the mesh uses more of it")]
mod id;
#[path = "../../../../mesh/src/pool.rs"]
#[allow(dead_code, private_interfaces, reason = "the mesh uses more of it, and shows it")]
mod pool;
#[path = "../../../../mesh/src/once/remembered.rs"]
mod remembered;
#[path = "../../../../mesh/src/connection/room.rs"]
mod room;
#[path = "../../../../mesh/src/connection/shared.rs"]
#[allow(dead_code, reason = "the connection uses more of it")]
mod shared;
#[path = "../../../../mesh/src/connection/turns.rs"]
mod turns;

/// shuttle's, under the names of `mesh/src/sync.rs`.
mod sync {
    use std::task::Waker;

    pub(crate) use shuttle::sync::atomic::AtomicBool;
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};

    pub(crate) struct AtomicWaker(Mutex<Option<Waker>>);

    impl AtomicWaker {
        pub(crate) fn new() -> Self {
            Self(Mutex::new(None))
        }

        pub(crate) fn register(&self, waker: &Waker) {
            *self.0.lock().unwrap() = Some(waker.clone());
        }

        pub(crate) fn wake(&self) {
            let waker = self.0.lock().unwrap().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

mod models;

/// Tries so many orders out, and says how many.
fn tried(name: &str, steps: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("SCHEDULES").ok().and_then(|text| text.parse().ok());
    let schedules = schedules.unwrap_or(2000);
    shuttle::check_random(steps, schedules);
    println!("shuttle: {schedules} orders of {name}");
}
