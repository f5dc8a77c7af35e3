//! A link: what everyone but the driver holds of a connection.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use amp_proto::{
    AskId, AskRefused, AskResult, Authentication, Command, EncodeError, EncodeFields, Exchange,
    LargeBody, Limits, Lost, Metadata, Moment, PublicKey, RoleName,
};
use tokio::sync::{Mutex as Mutual, MutexGuard as Turn, Semaphore, watch};

use crate::agreement::{Agreement, Features};
use crate::clock::Clock;
use crate::commands::{Cancel, Terms};
use crate::connection::room::Room;
use crate::connection::shared::Shared;
use crate::context::TraceParent;
use crate::once::CallId;
use crate::sync::MutexGuard;

/// One connection, as callers and controllers see it. It may be closed at any moment.
pub struct Link {
    shared: Shared,
    /// One permit for each ask in flight.
    turns: Semaphore,
    /// Told when bytes went out and there is room for more.
    room: Room,
    /// Whose long answer is written next.
    long_answer: Mutual<()>,
    lost: watch::Sender<Option<Lost>>,
    round_trip_us: AtomicU64,
    /// Asks of the peer that wait for their responders.
    answering: AtomicUsize,
    /// Whether the peer has ever asked anything.
    was_asked: AtomicBool,
    peer: PeerInfo,
    identity: OnceLock<Identity>,
    agreement: OnceLock<Agreement>,
    since: SystemTime,
    clock: Clock,
    limits: Arc<Limits>,
}

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

/// What is known of the peer from the connection itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The peer's role.
    pub role: RoleName,
    /// Where it is, as text for people.
    pub address: String,
    /// How it proved who it is.
    pub authentication: Authentication,
    /// What is known of it by its key, if that is how.
    pub key: Option<PeerKey>,
}

/// A peer that is known by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerKey {
    /// The key.
    pub key: PublicKey,
    /// The identity that the key stands for, where that is known: regions know it of clusters.
    pub ident: Option<String>,
    /// Our own key, as the peer knows it.
    pub own: PublicKey,
}

/// What the peer said of itself and was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) ident: String,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
}

impl Link {
    pub(crate) fn new(exchange: Exchange, peer: PeerInfo, limits: Arc<Limits>) -> Arc<Self> {
        Arc::new(Self {
            shared: Shared::new(exchange),
            turns: Semaphore::new(limits.asks_in_flight_max.min(Semaphore::MAX_PERMITS)),
            room: Room::default(),
            long_answer: Mutual::new(()),
            lost: watch::Sender::new(None),
            round_trip_us: AtomicU64::new(u64::MAX),
            answering: AtomicUsize::new(0),
            was_asked: AtomicBool::new(false),
            peer,
            identity: OnceLock::new(),
            agreement: OnceLock::new(),
            since: SystemTime::now(),
            clock: Clock::start(),
            limits,
        })
    }

    /// What is known of the peer from the connection itself.
    #[must_use]
    pub fn peer(&self) -> &PeerInfo {
        &self.peer
    }

    /// The identity under which the peer was admitted.
    #[must_use]
    pub fn ident(&self) -> Option<&str> {
        self.identity.get().map(|identity| identity.ident.as_str())
    }

    /// The name that the peer gave for people to read.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.identity.get()?.name.as_deref()
    }

    /// The version of the peer's program.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.identity.get()?.version.as_deref()
    }

    /// Admits the peer under an identity. Only the first time counts; whether it was is told.
    #[must_use]
    pub fn admit(&self, ident: &str, name: Option<String>, version: Option<String>) -> bool {
        let identity = Identity { ident: ident.to_owned(), name, version };
        self.identity.set(identity).is_ok()
    }

    /// What both ends agreed on beyond plain AMP, if they did.
    #[must_use]
    pub fn agreement(&self) -> Option<&Agreement> {
        self.agreement.get()
    }

    /// Takes the peer's terms into account. Only the first time counts.
    pub(crate) fn agree(&self, theirs: &Terms) {
        let agreement = Agreement::of(&self.limits, theirs);
        let Agreement { box_bytes_max, asks_in_flight_max, .. } = agreement;
        let Agreement { features, stream_window_bytes, large_bytes_max, .. } = agreement;
        if self.agreement.set(agreement).is_ok() {
            let mut exchange = self.exchange();
            exchange.set_box_bytes_max(box_bytes_max);
            exchange.set_peer_window(stream_window_bytes);
            if features.contains(Features::LARGE) {
                exchange.set_large(large_bytes_max, stream_window_bytes);
            }
            drop(exchange);
            self.turns.forget_permits(self.limits.asks_in_flight_max - asks_in_flight_max);
        }
    }

    pub(crate) fn has(&self, feature: Features) -> bool {
        self.agreement().is_some_and(|agreement| agreement.features.contains(feature))
    }

    /// When the connection was opened, by the wall clock.
    #[must_use]
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// The time that the last `Ping` took to the peer and back.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        let round_trip_us = self.round_trip_us.load(Ordering::Relaxed);
        (round_trip_us != u64::MAX).then(|| Duration::from_micros(round_trip_us))
    }

    /// Notes the time that an ask took to the peer and back.
    pub fn set_round_trip(&self, round_trip: Duration) {
        let round_trip_us = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX - 1);
        self.round_trip_us.store(round_trip_us, Ordering::Relaxed);
    }

    /// Whether new asks can be made.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.exchange().refusing().is_none()
    }

    /// Why new asks cannot be made, if so.
    #[must_use]
    pub fn refusing(&self) -> Option<Lost> {
        self.exchange().refusing().cloned()
    }

    /// How many calls of ours wait for an outcome.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.exchange().calls_in_flight()
    }

    /// How many asks of the peer are being answered.
    #[must_use]
    pub fn asks_answering(&self) -> usize {
        self.answering.load(Ordering::Relaxed)
    }

    /// Whether the peer has asked anything yet.
    #[must_use]
    pub fn was_asked(&self) -> bool {
        self.was_asked.load(Ordering::Relaxed)
    }

    /// For the driver: notes how many asks of the peer are being answered.
    pub(super) fn set_answering(&self, asks: usize) {
        self.answering.store(asks, Ordering::Relaxed);
    }

    /// For the driver: notes that the peer asked something.
    pub(super) fn set_asked(&self) {
        self.was_asked.store(true, Ordering::Relaxed);
    }

    /// How many streams are open, be they part of our calls or of the peer's.
    #[must_use]
    pub fn streams_open(&self) -> usize {
        self.exchange().streams_open()
    }

    /// Waits until the connection is gone, and says why.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn closed(&self) -> Lost {
        let mut lost = self.lost.subscribe();
        let known = lost.wait_for(Option::is_some).await.ok().and_then(|lost| (*lost).clone());
        known.unwrap_or(Lost::ClosedHere)
    }

    /// Closes the connection after what waits to be sent has gone out.
    pub fn close(&self, why: Lost) {
        self.shared.close(why);
    }

    /// Closes the connection when every ask in flight, in both directions, has ended. No new ask
    /// is made; those of the peer are still answered.
    pub fn drain(&self, why: Lost) {
        self.shared.drain(why);
    }

    pub(crate) fn draining(&self) -> Option<Lost> {
        self.shared.draining()
    }

    /// Makes no new asks on this connection; those in flight go on.
    pub fn leave(&self, why: Lost) {
        self.shared.leave(why);
    }

    pub(crate) fn closing(&self) -> Option<Lost> {
        self.shared.closing()
    }

    /// The peer sends no more, so no ask of ours will be answered; we may still answer its asks.
    pub(crate) fn set_peer_done(&self) {
        self.exchange().handle_peer_done(Lost::ClosedByPeer);
        self.turns.close();
        self.lost.send_replace(Some(Lost::ClosedByPeer));
    }

    pub(crate) fn set_lost(&self, lost: &Lost) {
        self.exchange().handle_lost(lost.clone());
        self.turns.close();
        self.room.made();
        self.lost.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert_with(|| lost.clone());
            first
        });
    }

    pub(crate) fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn exchange(&self) -> MutexGuard<'_, Exchange> {
        self.shared.exchange()
    }

    /// Has the driver look for something to send or to do.
    pub(crate) fn stir(&self) {
        self.shared.stir();
    }

    /// For the driver: registers to be woken, and says that everything so far is being looked at.
    pub(crate) fn watch(&self, cx: &Context<'_>) {
        self.shared.watch(cx);
    }

    /// Whether it is to be closed, now or when nothing is under way.
    pub(super) fn is_ending(&self) -> bool {
        self.shared.is_ending()
    }

    pub(crate) fn made_room(&self) {
        self.room.made();
    }

    /// Makes an ask and waits for its outcome, both no longer than until its deadline.
    ///
    /// # Cancellation
    /// Dropping the future before the ask has its turn sends nothing; after that it forgets the
    /// answer, and the peer goes on.
    pub(crate) async fn ask<F: EncodeFields + Sync + ?Sized>(
        &self,
        name: &str,
        fields: &F,
        terms: CallTerms,
    ) -> Result<AskResult, AskRefused> {
        let CallTerms { mut now, deadline, trace, once } = terms;
        let late = || Ok(Err(amp_proto::AskStopped::TimedOut { sent: false }));
        let _turn = match self.turns.try_acquire() {
            Ok(turn) => turn,
            Err(_) => {
                let instant = self.clock.instant(deadline);
                let Ok(turn) = tokio::time::timeout_at(instant, self.turns.acquire()).await else {
                    return late();
                };
                now = self.clock.now();
                turn.map_err(|_| AskRefused::Lost(self.lost_now()))?
            }
        };
        let trace = self.trace(trace);
        let mut metadata = Metadata {
            trace: trace.as_deref().map(str::as_bytes),
            once: once.as_ref().map(CallId::as_bytes),
            ..Metadata::default()
        };
        let mut in_flight = InFlight { link: self, id: None };
        loop {
            metadata.deadline = self.has(Features::DEADLINE).then(|| deadline.since(now));
            let outcome = std::future::poll_fn(|cx| match in_flight.id {
                Some(id) => self.poll_ask(id, cx).map(|outcome| Ok(Some(outcome))),
                None => match self.begin(name, fields, deadline, &metadata, cx) {
                    Ok(Some(id)) => {
                        in_flight.id = Some(id);
                        Poll::Pending
                    }
                    Ok(None) => Poll::Ready(Ok(None)),
                    Err(refused) => Poll::Ready(Err(refused)),
                },
            });
            if let Some(outcome) = outcome.await? {
                in_flight.id = None;
                return Ok(outcome);
            }
            let is_large = fields.bytes_hint() > Exchange::PART_BYTES;
            let room = self.room.wait_until(|| !self.is_full(is_large));
            if tokio::time::timeout_at(self.clock.instant(deadline), room).await.is_err() {
                return late();
            }
            now = self.clock.now();
        }
    }

    /// Writes an ask whose outcome the task of `cx` waits for, unless so much waits to be sent that
    /// it has to wait as well. All of it in one go: whoever asks much waits for nobody in between.
    fn begin<F: EncodeFields + ?Sized>(
        &self,
        name: &str,
        fields: &F,
        deadline: Moment,
        metadata: &Metadata<'_>,
        cx: &mut Context<'_>,
    ) -> Result<Option<AskId>, AskRefused> {
        let (name, is_large) = (name.as_bytes(), fields.bytes_hint() > Exchange::PART_BYTES);
        if is_large && self.is_full(true) {
            return Ok(None);
        }
        let body = self.large_body(fields).map_err(AskRefused::Encode)?;
        let mut exchange = self.exchange();
        let id = match body {
            Some(body) => exchange.ask_large(name, body, deadline, metadata)?,
            None if self.is_full_of(&exchange, is_large) => return Ok(None),
            None => exchange.ask_encoded(name, fields, deadline, metadata)?,
        };
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

    /// Encodes what is large here and now, while nobody waits for the exchange.
    pub(super) fn large_body<F: EncodeFields + ?Sized>(
        &self,
        fields: &F,
    ) -> Result<Option<LargeBody>, EncodeError> {
        if fields.bytes_hint() <= Exchange::PART_BYTES || !self.has(Features::LARGE) {
            return Ok(None);
        }
        let bytes_max = self.agreement().map_or(0, |agreement| agreement.large_bytes_max);
        LargeBody::encode(fields, bytes_max).map(Some)
    }

    /// What the peer is told of the trace that a call belongs to, if it wants to know.
    pub(super) fn trace(&self, trace: Option<TraceParent>) -> Option<String> {
        let trace = trace.filter(|_| self.has(Features::TRACE))?;
        Some(trace.child().to_string())
    }

    /// Drops all interest in an ask, and has the peer stop working on it.
    pub(super) fn abandon(&self, id: AskId) {
        let mut exchange = self.exchange();
        if exchange.forget(id) && self.has(Features::CANCEL) {
            // If it cannot be said any more there is nobody to stop.
            let _said = exchange.notify(&Cancel { tag: id.tag().into() });
            drop(exchange);
            self.stir();
        }
    }

    pub(super) fn poll_ask(&self, id: AskId, cx: &mut Context<'_>) -> Poll<AskResult> {
        self.shared.poll_ask(id, cx)
    }

    /// Whether so much waits that a new ask has to wait as well. What is large waits for what is
    /// large, and nothing else does.
    fn is_full(&self, is_large: bool) -> bool {
        self.is_full_of(&self.exchange(), is_large)
    }

    fn is_full_of(&self, exchange: &Exchange, is_large: bool) -> bool {
        let waiting = exchange.calls_bytes() + if is_large { exchange.large_bytes() } else { 0 };
        waiting >= self.limits.outbound_bytes_max
    }

    /// Writes an answer for which there is room.
    pub(super) fn answer(&self, tag: &[u8], fields: &dyn EncodeFields) -> Result<(), EncodeError> {
        match self.large_body(fields)? {
            Some(body) => self.exchange().answer_large(tag, body),
            None => self.exchange().answer(tag, fields),
        }
    }

    /// Writes an answer if there is room for it, and says whether there was: if not it has to wait
    /// until the peer has read others.
    pub(super) fn try_answer(
        &self,
        tag: &[u8],
        fields: &dyn EncodeFields,
    ) -> Result<bool, EncodeError> {
        if self.is_large(fields.bytes_hint()) {
            let has_room = self.has_room(true);
            return if has_room { self.answer(tag, fields).map(|()| true) } else { Ok(false) };
        }
        let mut exchange = self.exchange();
        let has_room = exchange.has_room_for_answer(false);
        if has_room { exchange.answer(tag, fields).map(|()| true) } else { Ok(false) }
    }

    /// Waits until an answer of about this length may be written. Long ones take turns, so that
    /// there is never more than one beyond the limit.
    ///
    /// # Cancellation
    /// Dropping the future gives the turn to the next.
    pub(super) async fn wait_to_answer(&self, bytes_hint: usize) -> Option<Turn<'_, ()>> {
        let is_large = self.is_large(bytes_hint);
        let is_long = bytes_hint > Exchange::PART_BYTES;
        let turn = if is_long { Some(self.long_answer.lock().await) } else { None };
        self.room.wait_until(|| self.has_room(is_large)).await;
        turn
    }

    fn is_large(&self, bytes_hint: usize) -> bool {
        bytes_hint > Exchange::PART_BYTES && self.has(Features::LARGE)
    }

    fn has_room(&self, is_large: bool) -> bool {
        self.exchange().has_room_for_answer(is_large)
    }

    fn lost_now(&self) -> Lost {
        self.refusing().unwrap_or(Lost::ClosedHere)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("role", &self.peer.role)
            .field("address", &self.peer.address)
            .field("ident", &self.ident())
            .field("refusing", &self.refusing())
            .finish_non_exhaustive()
    }
}

/// Forgets an ask whose caller goes away.
struct InFlight<'a> {
    link: &'a Link,
    id: Option<AskId>,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.link.abandon(id);
        }
    }
}
