//! Every order in which two or three threads can go through what they share of a connection, as
//! loom finds them.
//!
//! `LOOM_MAX_PREEMPTIONS` bounds how often a thread is interrupted where it could have gone on;
//! without it there is no bound.

#[path = "../../../../mesh/src/bell.rs"]
mod bell;
#[path = "../../../../mesh/src/connection/shared.rs"]
#[allow(dead_code, reason = "the connection uses more of it")]
mod shared;
#[path = "../../../../mesh/src/connection/turns.rs"]
mod turns;

/// loom's, under the names of `mesh/src/sync.rs`.
mod sync {
    use std::task::Waker;

    pub(crate) use loom::sync::atomic::AtomicBool;
    pub(crate) use loom::sync::{Mutex, MutexGuard};

    pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(crate) fn new() -> Self {
            Self(loom::future::AtomicWaker::new())
        }

        pub(crate) fn register(&self, waker: &Waker) {
            self.0.register_by_ref(waker);
        }

        pub(crate) fn wake(&self) {
            self.0.wake();
        }
    }
}

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use amp_proto::{AskResult, AskStopped, Lost};
use loom::future::block_on;
use loom::thread;

use self::bell::Bell;
use self::shared::Shared;

/// Tries all orders out, and says how many there were.
fn model(name: &str, steps: impl Fn() + Send + Sync + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&count);
    loom::model(move || {
        counting.fetch_add(1, Ordering::Relaxed);
        steps();
    });
    println!("loom: {} orders of {name}", count.load(Ordering::Relaxed));
}

fn shared() -> Arc<Shared> {
    Arc::new(Shared::new(schedules::exchange(), 1))
}

/// What a caller does. `None` if it could not ask.
fn call(shared: &Shared) -> Option<AskResult> {
    let id = schedules::ask(&mut shared.exchange())?;
    shared.stir();
    Some(block_on(poll_fn(|cx| shared.poll_ask(id, cx))))
}

/// What a driver does: answers until it has answered so often, or until it is to close.
fn drive(shared: &Shared, answers: usize) {
    let mut answered = 0;
    block_on(poll_fn(|cx| {
        shared.watch(cx);
        let mut exchange = shared.exchange();
        for tag in schedules::tags_sent(&mut exchange) {
            schedules::answer(&mut exchange, &tag).expect("it was asked");
            answered += 1;
        }
        drop(exchange);
        if answered == answers || shared.closing().is_some() {
            return Poll::Ready(());
        }
        Poll::Pending
    }));
    if let Some(why) = shared.closing() {
        shared.exchange().handle_lost(why);
    }
}

#[test]
fn every_ask_of_two_callers_is_seen_by_the_driver_and_answered() {
    model("two callers and the driver", || {
        let shared = shared();
        let callers = [(); 2].map(|()| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || assert!(matches!(call(&shared), Some(Ok(_)))))
        });
        drive(&shared, 2);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!(shared.exchange().in_flight(), 0);
    });
}

#[test]
fn a_caller_and_somebody_who_closes_both_come_to_an_end() {
    model("a caller, somebody who closes, and the driver", || {
        let shared = shared();
        let caller = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || match call(&shared) {
                None | Some(Ok(_)) => {}
                Some(Err(AskStopped::Lost { lost, .. })) => assert_eq!(lost, Lost::ClosedHere),
                Some(other) => panic!("{other:?}"),
            })
        };
        let closer = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.close(Lost::ClosedHere))
        };
        drive(&shared, usize::MAX);
        caller.join().unwrap();
        closer.join().unwrap();
        assert!(shared.exchange().refusing().is_some());
        assert_eq!(shared.exchange().in_flight(), 0);
    });
}

#[test]
fn a_caller_that_goes_away_while_its_answer_comes_leaves_nothing_in_the_table() {
    model("a caller that goes away, and the driver", || {
        let shared = shared();
        let id = schedules::ask(&mut shared.exchange()).unwrap();
        let caller = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.stir();
                shared.exchange().forget(id);
            })
        };
        drive(&shared, 1);
        caller.join().unwrap();
        assert_eq!(shared.exchange().in_flight(), 0);
        // Its answer came, so another is one too many.
        assert!(schedules::answer(&mut shared.exchange(), &id.tag()).is_err());
    });
}

#[test]
fn however_a_bell_is_rung_twice_what_it_was_rung_for_is_seen() {
    model("two that ring, and the task that is woken", || {
        let bell = Arc::new(Bell::default());
        let came = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let ringing = [(); 2].map(|()| {
            let (bell, came) = (Waker::from(Arc::clone(&bell)), Arc::clone(&came));
            thread::spawn(move || {
                came.fetch_add(1, Ordering::Relaxed);
                bell.wake();
            })
        });
        let mut task = None;
        block_on(poll_fn(|cx| {
            let is_over = bell.was_rung(cx, &mut task) && came.load(Ordering::Relaxed) == 2;
            if is_over { Poll::Ready(()) } else { Poll::Pending }
        }));
        ringing.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
