//! The line of those who wait for a turn to ask: first come, first served.

use std::ops::Deref;

use amp_proto::Lost;
use tokio::sync::Semaphore;

use super::link::Link;
use super::shared::Guarded;

/// Where those wait who have no turn. Made when somebody has to.
#[derive(Debug)]
pub(super) struct Line {
    /// Turns that were given back while somebody waited. They count as taken.
    handed_on: Semaphore,
}

impl Default for Line {
    fn default() -> Self {
        Self { handed_on: Semaphore::new(0) }
    }
}

/// A turn, for as long as it is held.
pub(super) struct Turn<L: Deref<Target = Link>>(Option<L>);

impl<L: Deref<Target = Link>> Turn<L> {
    /// A turn on this link, which was taken.
    pub(super) fn taken(link: L) -> Self {
        Self(Some(link))
    }

    /// The turn goes on with the ask that it was taken for, which gives it back.
    pub(super) fn hand_over(mut self) {
        self.0 = None;
    }
}

impl<L: Deref<Target = Link>> Drop for Turn<L> {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            link.give_turn_back(&mut link.exchange());
        }
    }
}

/// A place in the line, which whoever holds it has joined.
struct Place<'a> {
    link: &'a Link,
    line: &'a Line,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut exchange = self.link.exchange();
        if exchange.turns.leave_line() {
            // Handed on to somebody who went away, and to nobody after.
            for _ in 0..self.line.handed_on.forget_permits(usize::MAX) {
                exchange.turns.give_back();
            }
        }
    }
}

impl Link {
    /// Waits for a turn, behind those who wait already.
    ///
    /// # Errors
    /// Why no new ask can be made, if that is so by then.
    ///
    /// # Cancellation
    /// Dropping the future gives its place in the line up.
    pub(super) async fn wait_for_turn(&self) -> Result<Turn<&Self>, Lost> {
        let place = {
            let mut exchange = self.exchange();
            if let Some(lost) = exchange.refusing() {
                return Err(lost.clone());
            }
            if exchange.turns.has_one() {
                exchange.turns.take();
                return Ok(Turn::taken(self));
            }
            exchange.turns.join_line();
            // Made while the exchange is at hand: whoever gives a turn back finds it.
            Place { link: self, line: self.line.get_or_init(Box::default) }
        };
        match place.line.handed_on.acquire().await {
            Ok(handed_on) => {
                handed_on.forget();
                Ok(Turn::taken(self))
            }
            Err(_closed) => Err(self.refusing().unwrap_or(Lost::ClosedHere)),
        }
    }

    /// Gives a turn back, to the first in line if somebody waits. `exchange` is that of this link.
    #[inline]
    pub(super) fn give_turn_back(&self, exchange: &mut Guarded) {
        if exchange.turns.give_back()
            && let Some(line) = self.line.get()
        {
            exchange.turns.take();
            line.handed_on.add_permits(1);
        }
    }

    /// Tells everybody in line that there are no more turns.
    pub(super) fn close_line(&self) {
        if let Some(line) = self.line.get() {
            line.handed_on.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use amp_proto::{Authentication, Exchange, Limits, RoleName};
    use futures_util::poll;
    use tokio::time::timeout;

    use super::*;
    use crate::connection::PeerInfo;

    /// A link on which so many asks may be in flight.
    fn link(asks_in_flight_max: usize) -> Arc<Link> {
        let limits = Arc::new(Limits { asks_in_flight_max, ..Limits::default() });
        let peer = PeerInfo {
            role: RoleName::Cluster,
            address: "nowhere".to_owned(),
            authentication: Authentication::Nothing,
            key: None,
            is_encrypted: false,
        };
        Link::new(Exchange::new(Arc::clone(&limits)), peer, limits)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_came_first_has_the_next_turn() {
        let link = link(1);
        let first = link.turn_now().unwrap();
        let (mut second, mut third) =
            (Box::pin(link.wait_for_turn()), Box::pin(link.wait_for_turn()));
        assert!(poll!(&mut second).is_pending());
        assert!(poll!(&mut third).is_pending());
        drop(first);
        // It is given to nobody who comes now.
        assert!(link.turn_now().is_err());
        let second = second.await.unwrap();
        assert!(poll!(&mut third).is_pending());
        drop(second);
        drop(third.await.unwrap());
        drop(link.turn_now().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_given_to_one_who_goes_away_is_the_next_ones() {
        let link = link(2);
        let held = [link.turn_now().unwrap(), link.turn_now().unwrap()];
        let (mut second, mut third) =
            (Box::pin(link.wait_for_turn()), Box::pin(link.wait_for_turn()));
        assert!(poll!(&mut second).is_pending());
        assert!(poll!(&mut third).is_pending());
        drop(held);
        // It was told of its turn, and does not come for it.
        drop(second);
        let third = timeout(Duration::from_secs(1), third).await.unwrap().unwrap();
        let other = link.turn_now().unwrap();
        assert!(link.turn_now().is_err());
        drop((third, other));
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_hear_that_there_are_no_more_turns() {
        let link = link(1);
        let _held = link.turn_now().unwrap();
        let waiting = futures_util::future::join_all((0..3).map(|_| link.wait_for_turn()));
        let lost = async { link.set_lost(&Lost::ClosedByPeer) };
        let (refused, ()) = tokio::join!(waiting, lost);
        for refused in refused {
            assert_eq!(refused.err(), Some(Lost::ClosedByPeer));
        }
    }
}
