//! What the threads do.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use amp_proto::{AskResult, AskStopped, Limits, Lost, PassedError};
use shuttle::future::block_on;
use shuttle::sync::atomic::AtomicUsize;
use shuttle::thread;

use crate::connection::Link;
use crate::id::CallId;
use crate::pool::Pool;
use crate::remembered::{Asking, Begun, Entered, Remembered};
use crate::room::Room;
use crate::shared::Shared;
use crate::tried;

fn call(shared: &Shared) -> Option<AskResult> {
    let id = schedules::ask(&mut shared.exchange())?;
    shared.stir();
    Some(block_on(poll_fn(|cx| shared.poll_ask(id, cx))))
}

/// Asks, and goes away before it looks for its answer.
fn call_and_leave(shared: &Shared) {
    let id = schedules::ask(&mut shared.exchange());
    shared.stir();
    if let Some(id) = id {
        shared.exchange().forget(id);
    }
}

/// A driver: answers whatever it is asked until it is to close or to drain, and says so.
fn drive(shared: &Shared) {
    let why = block_on(poll_fn(|cx| {
        shared.watch(cx);
        let mut exchange = shared.exchange();
        for tag in schedules::tags_sent(&mut exchange) {
            schedules::answer(&mut exchange, &tag).expect("it was asked");
        }
        let at_rest = exchange.in_flight() == 0;
        drop(exchange);
        match (shared.closing(), shared.draining().filter(|_| at_rest)) {
            (Some(why), _) | (None, Some(why)) => Poll::Ready(why),
            (None, None) => Poll::Pending,
        }
    }));
    shared.exchange().handle_lost(why);
}

/// Four callers, of which one goes away, and the connection ends meanwhile.
fn calls_while_it_ends(end: fn(&Shared, Lost)) {
    let shared = Arc::new(Shared::new(schedules::exchange(), 1));
    let driver = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || drive(&shared))
    };
    let callers: Vec<_> = (0..4)
        .map(|number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || match number {
                0 => call_and_leave(&shared),
                _ => match call(&shared) {
                    None | Some(Ok(_) | Err(AskStopped::Lost { .. })) => {}
                    Some(other) => panic!("{other:?}"),
                },
            })
        })
        .collect();
    end(&shared, Lost::ClosedHere);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    driver.join().unwrap();
    assert_eq!(shared.exchange().in_flight(), 0);
}

#[test]
fn every_call_on_a_connection_that_is_closed_comes_to_an_end() {
    tried("four callers, a driver and a close", || calls_while_it_ends(Shared::close));
}

#[test]
fn every_call_on_a_connection_that_drains_comes_to_an_end() {
    tried("four callers, a driver and a drain", || calls_while_it_ends(Shared::drain));
}

#[test]
fn everybody_who_waits_for_room_finds_some_once_there_is() {
    tried("three that wait for room, and one that makes it", || {
        let (room, taken) = (Arc::new(Room::default()), Arc::new(AtomicUsize::new(3)));
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let (room, taken) = (Arc::clone(&room), Arc::clone(&taken));
                thread::spawn(move || {
                    block_on(room.wait_until(|| {
                        let is_there = taken.load(Ordering::SeqCst) == 0;
                        // Anything may happen between the look and what follows from it.
                        thread::yield_now();
                        is_there
                    }));
                })
            })
            .collect();
        for _ in 0..3 {
            taken.fetch_sub(1, Ordering::SeqCst);
            room.made();
        }
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

#[test]
fn whoever_waits_for_a_peer_finds_its_link_whenever_it_comes() {
    tried("two that wait for a peer whose link is replaced", || {
        let pool = Arc::new(Pool::new());
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let pool = Arc::clone(&pool);
                thread::spawn(move || {
                    block_on(pool.wait_until(|pool| {
                        let found = pool.get(&7);
                        thread::yield_now();
                        found
                    }))
                })
            })
            .collect();
        let old = Link::new();
        let replacing = {
            let (pool, old) = (Arc::clone(&pool), Arc::clone(&old));
            thread::spawn(move || {
                pool.insert(7, Arc::clone(&old));
                old.close();
                pool.remove(&7, &old);
            })
        };
        pool.insert(8, Link::new());
        let new = Link::new();
        pool.insert(7, Arc::clone(&new));
        replacing.join().unwrap();
        for waiter in waiters {
            let found = waiter.join().unwrap();
            assert!(Arc::ptr_eq(&found, &new) || Arc::ptr_eq(&found, &old));
        }
        assert!(Arc::ptr_eq(&pool.get(&7).unwrap(), &new));
        assert_eq!(pool.all().len(), 2);
        assert!(pool.several().is_empty());
    });
}

fn asking(digest: u8) -> Asking {
    Asking { digest: [digest; 32], bytes: 0 }
}

fn answer_of(number: usize) -> PassedError {
    PassedError { code: format!("ANSWER_{number}"), description: "x".repeat(100), fatal: false }
}

#[test]
fn of_all_who_come_with_one_id_one_carries_it_out_and_all_get_its_answer() {
    const MADE: Duration = Duration::from_secs(1_000_000);
    const WINDOW: Duration = Duration::from_secs(60);
    tried("three that come with one id while the time for it ends", || {
        let limits = Limits { once_window: WINDOW, ..Limits::default() };
        let remembered = Arc::new(Remembered::new(&limits, MADE));
        let (seconds, begun) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seconds_of = Arc::clone(&seconds);
        let now = move || {
            let seconds = seconds_of.load(Ordering::SeqCst);
            MADE + Duration::from_secs(u64::try_from(seconds).unwrap())
        };
        let id = CallId::made_at(MADE);
        let tries: Vec<_> = (0..3)
            .map(|number| {
                let (remembered, begun) = (Arc::clone(&remembered), Arc::clone(&begun));
                let now = now.clone();
                thread::spawn(move || {
                    let mut answer = match remembered.enter(id, asking(1), &now) {
                        Ok(Entered::Known(answer)) => answer,
                        Ok(Entered::Begins(Begun { told, answer, .. })) => {
                            begun.fetch_add(1, Ordering::SeqCst);
                            remembered.answered(id, &told, Err(answer_of(number)));
                            answer
                        }
                        // It came too late.
                        Err(_) => return assert!(now() >= MADE + WINDOW),
                    };
                    let known = block_on(answer.wait_for(Option::is_some)).unwrap();
                    assert!(matches!(&*known, Some(Err(_))), "{known:?}");
                })
            })
            .collect();
        // Time goes on, and others come, for whom what is over is forgotten.
        for next in [30, 61, 90] {
            seconds.store(next, Ordering::SeqCst);
            let other = CallId::made_at(now());
            if let Ok(Entered::Begins(Begun { told, .. })) =
                remembered.enter(other, asking(2), &now)
            {
                remembered.answered(other, &told, Err(answer_of(9)));
            }
        }
        tries.into_iter().for_each(|it| it.join().unwrap());
        assert!(begun.load(Ordering::SeqCst) <= 1, "it was carried out twice");
        // Long after, nothing is left, and nothing is counted that is not there.
        seconds.store(3600, Ordering::SeqCst);
        drop(remembered.enter(CallId::made_at(now()), asking(3), &now));
        assert_eq!(remembered.calls_and_bytes(), (1, 256 + 4096));
    });
}
