//! What the time tells a driver: asks that are overdue, a peer that is silent, one that does not
//! read, an end that takes too long.

use std::task::{Context, Poll};
use std::time::Duration;

use amp_proto::{AskStopped, Exchange, Lost, Moment};

use super::{Driver, Running};
use crate::commands::Ping;

/// When a connection on which nothing happens gives its buffers back. Fixed: it costs a look at the
/// clock, and nothing while calls follow each other.
const RESTS_AFTER: Duration = Duration::from_millis(500);
/// Buffers that are smaller together are kept: signs of life need no more.
const KEPT_AT_REST_BYTES: usize = 256;

impl<S> Driver<S> {
    /// What the clock says: asked once for each time that the driver is woken, and again when
    /// something comes.
    pub(super) fn now(&mut self) -> Moment {
        *self.now.get_or_insert_with(|| self.link.clock().now())
    }

    /// Looks at the clock, and sets the alarm for the next time it matters. Says whether there is
    /// something to do now.
    pub(super) fn wait(&mut self, cx: &mut Context<'_>) -> Result<bool, Lost> {
        let now = self.now();
        let Some(next) = self.check_clock(now, cx)? else { return Ok(true) };
        if self.timer.is_none() || next < self.timer_at || self.timer_at <= now {
            let at = self.link.clock().instant(next);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(at),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(at))),
            }
            self.timer_at = next;
        }
        let is_due = self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
        if is_due {
            // The clock is further than it was.
            self.now = None;
        }
        Ok(is_due)
    }

    /// What the time tells: asks that are overdue, a peer that is silent or does not read. Gives
    /// the next moment to look, or `None` when something became ready to be sent.
    fn check_clock(&mut self, now: Moment, cx: &mut Context<'_>) -> Result<Option<Moment>, Lost> {
        let limits = self.link.limits();
        let mut exchange = self.link.exchange();
        let (waiting, large) = (exchange.outbound_bytes(), exchange.large_bytes());
        let expired = exchange.handle_timeout(now);
        self.link.call_off(&mut exchange, expired);
        if exchange.large_bytes() < large {
            self.link.made_room();
        }
        if exchange.outbound_bytes() > waiting {
            return Ok(None);
        }
        let is_listening = self.half_closed_since.is_none();
        // The end of silence means nothing on a side that the peer has closed.
        let silence_ends = self.heard.after(limits.dead_after);
        let half_closed_max = limits.half_closed_timeout;
        let mut next = if is_listening { silence_ends } else { now.after(half_closed_max) };
        if let Some(deadline) = exchange.poll_timeout() {
            next = next.min(deadline);
        }
        if let Some(since) = self.stalled_since {
            let stalled = now.since(since);
            if stalled >= limits.outbound_stalled_max {
                return Err(Lost::Stalled { stalled });
            }
            next = next.min(since.after(limits.outbound_stalled_max));
        }
        if self.writing.is_empty() && exchange.is_empty() {
            let rests = self.heard.max(self.said).after(RESTS_AFTER);
            let is_due = rests <= now;
            if give_back(&mut self.writing, &mut exchange, &mut self.running, is_due) && !is_due {
                next = next.min(rests);
            }
        }
        if let Some(since) = self.closing_since {
            next = next.min(since.after(limits.closing_timeout));
        }
        if let Some(since) = self.half_closed_since {
            if now.since(since) >= half_closed_max {
                return Err(Lost::ClosedByPeer);
            }
            return Ok(Some(next.min(since.after(half_closed_max))));
        }
        if let Some((id, sent)) = self.ping
            && let Poll::Ready(outcome) = exchange.poll_ask(id, cx)
        {
            self.ping = None;
            if !matches!(outcome, Err(AskStopped::TimedOut { .. })) {
                self.link.set_round_trip(now.since(sent));
            }
        }
        if self.full && exchange.calls_in_flight() == 0 {
            // We are not listening, so silence says nothing.
            self.heard = now;
        }
        let silent = now.since(self.heard);
        if silent >= limits.dead_after {
            return Err(Lost::Silent { silent });
        }
        if self.closing_since.is_some() {
            return Ok(Some(next));
        }
        let due = self.ping_due().after(limits.ping_after);
        if now < due {
            return Ok(Some(next.min(due)));
        }
        if let Ok(id) = exchange.ping(&Ping, self.heard.after(limits.dead_after)) {
            self.ping = Some((id, now));
            return Ok(None);
        }
        Ok(Some(next))
    }

    /// Since when a ping is owed: to hear from a silent peer, and to be heard by one that sends so
    /// much that its own pings, and its answers to ours, wait behind all of it.
    fn ping_due(&self) -> Moment {
        match self.ping {
            None => self.heard.min(self.said),
            Some((_, sent)) => sent.max(self.said),
        }
    }
}

/// Gives back what a connection holds for nothing, if that `is_due`. Says whether there is any.
fn give_back(
    writing: &mut Vec<u8>,
    exchange: &mut Exchange,
    running: &mut Running,
    is_due: bool,
) -> bool {
    let spare_bytes = writing.capacity() + exchange.spare_bytes();
    let is_spare = spare_bytes > KEPT_AT_REST_BYTES || running.has_spare();
    if is_spare && is_due {
        *writing = Vec::new();
        exchange.give_back();
        running.give_back();
    }
    is_spare
}
