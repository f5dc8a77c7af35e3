//! What callers and the driver of a connection share, and how the driver is woken.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{OnceLock, PoisonError};
use std::task::{Context, Poll};

use amp_proto::{AskId, AskResult, Exchange, Lost};

use super::turns::Turns;
use crate::sync::{AtomicBool, AtomicWaker, Mutex, MutexGuard};

/// What the lock of a connection guards: its exchange, and who may ask.
pub(crate) struct Guarded {
    exchange: Exchange,
    pub(super) turns: Turns,
}

impl Deref for Guarded {
    type Target = Exchange;

    fn deref(&self) -> &Exchange {
        &self.exchange
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut Exchange {
        &mut self.exchange
    }
}

/// The exchange of a connection, and what is to become of it.
///
/// Whoever changes something that the driver has to act on stirs it afterwards. The driver says
/// that it watches before it looks, so nothing that was done before a stir is missed.
pub(crate) struct Shared {
    guarded: Mutex<Guarded>,
    /// Wakes the driver.
    driver: AtomicWaker,
    /// Whether the driver has been woken and has not looked yet.
    stirred: AtomicBool,
    /// In boxes, as long as nothing ends: there are many connections.
    closing: OnceLock<Box<Lost>>,
    draining: OnceLock<Box<Lost>>,
}

impl Shared {
    /// On which so many asks may be in flight.
    pub(crate) fn new(exchange: Exchange, asks_in_flight_max: usize) -> Self {
        let turns = Turns::new(asks_in_flight_max);
        Self {
            guarded: Mutex::new(Guarded { exchange, turns }),
            driver: AtomicWaker::new(),
            stirred: AtomicBool::new(false),
            closing: OnceLock::new(),
            draining: OnceLock::new(),
        }
    }

    pub(crate) fn exchange(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the driver look for something to send or to do.
    pub(crate) fn stir(&self) {
        if !self.stirred.swap(true, Ordering::AcqRel) {
            self.driver.wake();
        }
    }

    /// For the driver: registers to be woken, and says that everything so far is being looked at.
    pub(crate) fn watch(&self, cx: &Context<'_>) {
        self.driver.register(cx.waker());
        // Acquires what was done before the last stir, so that the look that follows sees it.
        self.stirred.swap(false, Ordering::AcqRel);
    }

    pub(crate) fn poll_ask(&self, id: AskId, cx: &mut Context<'_>) -> Poll<AskResult> {
        self.exchange().poll_ask(id, cx)
    }

    /// Makes no new asks; those in flight go on.
    pub(crate) fn leave(&self, why: Lost) {
        self.exchange().leave(why);
    }

    /// Has the driver close the connection after what waits to be sent has gone out.
    pub(crate) fn close(&self, why: Lost) {
        self.leave(why.clone());
        self.closing.get_or_init(|| Box::new(why));
        self.stir();
    }

    /// Has the driver close the connection when every ask in flight has ended.
    pub(crate) fn drain(&self, why: Lost) {
        self.leave(why.clone());
        self.draining.get_or_init(|| Box::new(why));
        self.stir();
    }

    /// Whether it is to be closed, now or when nothing is under way.
    pub(crate) fn is_ending(&self) -> bool {
        self.closing.get().is_some() || self.draining.get().is_some()
    }

    pub(crate) fn closing(&self) -> Option<Lost> {
        self.closing.get().map(|why| Lost::clone(why))
    }

    pub(crate) fn draining(&self) -> Option<Lost> {
        self.draining.get().map(|why| Lost::clone(why))
    }
}
