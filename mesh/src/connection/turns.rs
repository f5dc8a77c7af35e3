//! Whose turn it is to have an ask in flight: first come, first served.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// The turns of one connection: one for each ask that may be in flight.
#[derive(Debug)]
pub(super) struct Turns {
    free: Semaphore,
    /// How many there were at first.
    max: usize,
    /// How many of those that are taken are not given again, since fewer were agreed on meanwhile.
    surplus: AtomicUsize,
}

/// A turn, for as long as it is held. Taken from turns that are borrowed, or shared.
pub(super) struct Turn<T: Deref<Target = Turns>>(T);

/// There are no turns any more: the connection is gone.
#[derive(Debug)]
pub(super) struct Closed;

impl Turns {
    pub(super) fn new(max: usize) -> Arc<Self> {
        let max = max.min(Semaphore::MAX_PERMITS);
        Arc::new(Self { free: Semaphore::new(max), max, surplus: AtomicUsize::new(0) })
    }

    /// Gives no more than `max` at once from now on. Those that are taken may stay taken.
    pub(super) fn lower_to(&self, max: usize) {
        let fewer = self.max.saturating_sub(max);
        let taken = fewer - self.free.forget_permits(fewer);
        self.surplus.fetch_add(taken, Ordering::Relaxed);
    }

    /// A turn, if one is free.
    #[inline]
    pub(super) fn take_now<T: Deref<Target = Self>>(this: T) -> Option<Turn<T>> {
        this.free.try_acquire().ok()?.forget();
        Some(Turn(this))
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`Closed`].
    ///
    /// # Cancellation
    /// Dropping the future gives its place in the queue up.
    pub(super) async fn take(&self) -> Result<Turn<&Self>, Closed> {
        self.free.acquire().await.map_err(|_| Closed)?.forget();
        Ok(Turn(self))
    }

    /// Gives no more turns, and tells those who wait.
    pub(super) fn close(&self) {
        self.free.close();
    }

    #[inline]
    fn give_back(&self) {
        let is_surplus = self.surplus.load(Ordering::Relaxed) > 0
            && self
                .surplus
                .try_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1))
                .is_ok();
        if !is_surplus {
            self.free.add_permits(1);
        }
    }
}

impl<T: Deref<Target = Turns>> Drop for Turn<T> {
    #[inline]
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(turns: &Arc<Turns>) -> Vec<Turn<Arc<Turns>>> {
        std::iter::from_fn(|| Turns::take_now(Arc::clone(turns))).collect()
    }

    #[test]
    fn no_more_turns_are_given_than_were_agreed_on_whoever_had_one_before() {
        for taken in 0..=4 {
            let turns = Turns::new(4);
            let mut before = takes(&turns);
            before.truncate(taken);
            turns.lower_to(1);
            drop(before);
            // Two that were given back free one at the most, and so on.
            assert_eq!(takes(&turns).len(), 1, "{taken} were taken");
            assert_eq!(takes(&turns).len(), 1, "{taken} were taken");
        }
    }

    #[test]
    fn any_number_may_be_asked_for() {
        let turns = Turns::new(usize::MAX);
        turns.lower_to(3);
        assert_eq!(takes(&turns).len(), 3);
        let turns = Turns::new(2);
        turns.lower_to(usize::MAX);
        assert_eq!(takes(&turns).len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_came_first_has_the_next_turn() {
        let turns = Turns::new(1);
        let first = Turns::take_now(&*turns).unwrap();
        let (mut second, mut third) = (Box::pin(turns.take()), Box::pin(turns.take()));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());
        drop(first);
        let second = second.await.unwrap();
        assert!(futures_util::poll!(&mut third).is_pending());
        turns.close();
        assert!(third.await.is_err());
        drop(second);
    }
}
