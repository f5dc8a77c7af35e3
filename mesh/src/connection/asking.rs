//! Asking: from a caller's command to its outcome.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use amp_proto::{
    AskId, AskRefused, AskResult, AskStopped, Command, EncodeFields, Exchange, Metadata, Moment,
};
use tokio::time::timeout_at;

use super::line::Turn;
use super::link::Link;
use super::shared::Guarded;
use crate::agreement::Features;
use crate::commands::Cancel;
use crate::context::TraceParent;
use crate::once::CallId;
use crate::sync::MutexGuard;

/// What belongs to a call beside its command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallTerms {
    /// What the clock says.
    pub(crate) now: Moment,
    /// When nobody waits any more.
    pub(crate) deadline: Moment,
    /// The trace that it belongs to.
    pub(crate) trace: Option<TraceParent>,
    /// Its id, if it is to be carried out once.
    pub(crate) once: Option<CallId>,
}

impl Link {
    /// Makes an ask and waits for its outcome, both no longer than until its deadline.
    ///
    /// # Cancellation
    /// Dropping the future before the ask has its turn sends nothing; after that it forgets the
    /// answer, and the peer goes on.
    pub(crate) fn ask<'a, F: EncodeFields + Sync + ?Sized>(
        &'a self,
        name: &'a str,
        fields: &'a F,
        terms: CallTerms,
    ) -> Asking<'a, F> {
        Asking { link: self, name, fields, terms, stage: Stage::New }
    }

    /// Writes an ask, unless it has to wait before.
    #[inline]
    fn begin_now<F: EncodeFields + ?Sized>(
        &self,
        name: &str,
        fields: &F,
        terms: &CallTerms,
        cx: &mut Context<'_>,
    ) -> Result<Option<InFlight<'_>>, AskRefused> {
        if fields.bytes_hint() > Exchange::PART_BYTES {
            return Ok(None);
        }
        let id = self.begin(name, fields, terms, (terms.now, None), cx)?;
        Ok(id.map(|id| InFlight { link: self, id: Some(id) }))
    }

    /// Writes an ask once it has its turn and there is room for it. `None` when its deadline comes
    /// first.
    async fn begin_later<'a, F: EncodeFields + Sync + ?Sized>(
        &'a self,
        name: &str,
        fields: &F,
        terms: CallTerms,
    ) -> Result<Option<InFlight<'a>>, AskRefused> {
        let by = self.clock().instant(terms.deadline);
        let Ok(turn) = timeout_at(by, self.wait_for_turn()).await else { return Ok(None) };
        let turn = turn.map_err(AskRefused::Lost)?;
        let is_large = fields.bytes_hint() > Exchange::PART_BYTES;
        let _large_turn = if is_large {
            let Ok(turn) = timeout_at(by, self.large_turns().ask.lock()).await else {
                return Ok(None);
            };
            Some(turn)
        } else {
            None
        };
        loop {
            let now = self.clock().now();
            let now = (now, Some(&turn));
            let begun = poll_fn(|cx| Poll::Ready(self.begin(name, fields, &terms, now, cx)));
            if let Some(id) = begun.await? {
                turn.hand_over();
                return Ok(Some(InFlight { link: self, id: Some(id) }));
            }
            let room = self.room.wait_until(|| !self.is_full(is_large));
            if timeout_at(by, room).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Writes an ask whose outcome the task of `cx` waits for, unless it has to wait for its turn,
    /// if it comes without, or for what waits to be sent already. All of it in one go: whoever asks
    /// much waits for nobody in between.
    fn begin<F: EncodeFields + ?Sized>(
        &self,
        name: &str,
        fields: &F,
        terms: &CallTerms,
        (now, turn): (Moment, Option<&Turn<&Self>>),
        cx: &mut Context<'_>,
    ) -> Result<Option<AskId>, AskRefused> {
        let (name, deadline) = (name.as_bytes(), terms.deadline);
        let is_large = fields.bytes_hint() > Exchange::PART_BYTES;
        if is_large && self.is_full(true) {
            return Ok(None);
        }
        let trace = self.trace(terms.trace);
        let metadata = Metadata {
            deadline: self.has(Features::DEADLINE).then(|| deadline.since(now)),
            trace: trace.as_deref().map(str::as_bytes),
            once: terms.once.as_ref().map(CallId::as_bytes),
            ..Metadata::default()
        };
        let body = self.large_body(fields).map_err(AskRefused::Encode)?;
        let mut exchange = self.exchange();
        if turn.is_none() && !exchange.turns.has_one() {
            return Ok(None);
        }
        let id = match body {
            Some(body) => exchange.ask_large(name, body, deadline, &metadata)?,
            None if self.is_full_of(&exchange, is_large) => return Ok(None),
            None => exchange.ask_encoded(name, fields, deadline, &metadata)?,
        };
        if turn.is_none() {
            exchange.turns.take();
        }
        // There is no outcome yet: it is told who waits for it.
        let _pending = exchange.poll_ask(id, cx);
        drop(exchange);
        self.stir();
        Ok(Some(id))
    }

    /// Sends a command that wants no answer, once there is room for it.
    ///
    /// # Cancellation
    /// Dropping the future while it waits for room sends nothing.
    pub(crate) async fn notify<C: Command + Sync>(&self, command: &C) -> Result<(), AskRefused> {
        if self.is_full(false) {
            self.room.wait_until(|| !self.is_full(false)).await;
        }
        self.exchange().notify(command)?;
        self.stir();
        Ok(())
    }

    /// What the peer is told of the trace that a call belongs to, if it wants to know.
    pub(super) fn trace(&self, trace: Option<TraceParent>) -> Option<String> {
        let trace = trace.filter(|_| self.has(Features::TRACE))?;
        Some(trace.child().to_string())
    }

    /// Drops all interest in an ask, and has the peer stop working on it.
    pub(super) fn abandon(&self, id: AskId) {
        let mut exchange = self.exchange();
        if exchange.forget(id) {
            self.call_off(&mut exchange, [id]);
        }
        drop(exchange);
        // What was not sent of it waits no more, and the peer may have to be told so.
        self.made_room();
        self.stir();
    }

    /// Tells the peer that nobody waits for these asks any more, if it wants to know. The caller
    /// stirs the driver.
    pub(super) fn call_off(&self, exchange: &mut Exchange, asks: impl IntoIterator<Item = AskId>) {
        if self.has(Features::CANCEL) {
            for ask in asks {
                // If it cannot be said any more there is nobody to stop.
                let _said = exchange.notify(&Cancel { tag: ask.tag().into() });
            }
        }
    }

    /// Whether so much waits that a new ask has to wait as well. What is large waits for what is
    /// large, and nothing else does.
    fn is_full(&self, is_large: bool) -> bool {
        self.is_full_of(&self.exchange(), is_large)
    }

    fn is_full_of(&self, exchange: &Exchange, is_large: bool) -> bool {
        let waiting = exchange.calls_bytes() + if is_large { exchange.large_bytes() } else { 0 };
        waiting >= self.limits().outbound_bytes_max
    }

    /// The exchange, to write an ask to that waits for nothing and goes whole, if there is room for
    /// one.
    ///
    /// # Errors
    /// [`AskRefused::NoRoom`], [`AskRefused::Lost`].
    pub(super) fn exchange_with_room(&self) -> Result<MutexGuard<'_, Guarded>, AskRefused> {
        let exchange = self.exchange();
        if let Some(lost) = exchange.refusing() {
            return Err(AskRefused::Lost(lost.clone()));
        }
        if self.is_full_of(&exchange, false) {
            return Err(AskRefused::NoRoom { max: self.limits().outbound_bytes_max });
        }
        Ok(exchange)
    }

    /// A turn for an ask that waits for none: one of those in flight, until it is dropped.
    ///
    /// # Errors
    /// [`AskRefused::TooManyInFlight`], [`AskRefused::Lost`].
    pub(super) fn turn_now(self: &Arc<Self>) -> Result<Turn<Arc<Self>>, AskRefused> {
        let mut exchange = self.exchange();
        if let Some(lost) = exchange.refusing() {
            return Err(AskRefused::Lost(lost.clone()));
        }
        if !exchange.turns.has_one() {
            let own = self.limits().asks_in_flight_max;
            let agreed = self.agreement().map(|agreement| agreement.asks_in_flight_max);
            return Err(AskRefused::TooManyInFlight { max: agreed.unwrap_or(own) });
        }
        exchange.turns.take();
        Ok(Turn::taken(Arc::clone(self)))
    }
}

/// An ask, from before it is written until its outcome is there. Made by [`Link::ask`].
///
/// Written out, and not an `async fn`: every call has one, which would carry the place for whatever
/// a call may have to wait for, and hardly any waits for anything but its answer.
pub(crate) struct Asking<'a, F: ?Sized> {
    link: &'a Link,
    name: &'a str,
    fields: &'a F,
    terms: CallTerms,
    stage: Stage<'a>,
}

enum Stage<'a> {
    New,
    /// For its turn, or for room.
    Waiting(Pin<Box<dyn Future<Output = Result<Option<InFlight<'a>>, AskRefused>> + Send + 'a>>),
    Sent(InFlight<'a>),
}

impl<F: EncodeFields + Sync + ?Sized> Future for Asking<'_, F> {
    type Output = Result<AskResult, AskRefused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { link, name, fields, terms, ref mut stage } = *self;
        if let Stage::New = stage {
            match link.begin_now(name, fields, &terms, cx)? {
                Some(in_flight) => {
                    *stage = Stage::Sent(in_flight);
                    return Poll::Pending;
                }
                None => {
                    *stage = Stage::Waiting(Box::pin(link.begin_later(name, fields, terms)));
                }
            }
        }
        match stage {
            Stage::Sent(in_flight) => in_flight.poll(cx).map(Ok),
            Stage::Waiting(later) => match ready!(later.as_mut().poll(cx))? {
                Some(in_flight) => {
                    *stage = Stage::Sent(in_flight);
                    Poll::Pending
                }
                None => Poll::Ready(Ok(Err(AskStopped::TimedOut { sent: false }))),
            },
            Stage::New => Poll::Pending,
        }
    }
}

/// An ask that was written, with its turn. Its task is woken when there is an outcome; whoever goes
/// away before forgets it.
struct InFlight<'a> {
    link: &'a Link,
    /// Until there is an outcome.
    id: Option<AskId>,
}

impl InFlight<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<AskResult> {
        let Some(id) = self.id else { return Poll::Pending };
        let mut exchange = self.link.exchange();
        let outcome = exchange.poll_ask(id, cx);
        if outcome.is_ready() {
            self.id = None;
            self.link.give_turn_back(&mut exchange);
        }
        outcome
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.link.abandon(id);
            self.link.give_turn_back(&mut self.link.exchange());
        }
    }
}
