//! A link: what everyone but the driver holds of a connection.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use amp_proto::{
    AskId, AskResult, Authentication, EncodeError, EncodeFields, Exchange, LargeBody, Limits, Lost,
    PublicKey, RoleName,
};
use tokio::sync::{Mutex as Mutual, MutexGuard, SetOnce};

use crate::agreement::{Agreement, Features};
use crate::clock::Clock;
use crate::commands::Terms;
use crate::connection::line::Line;
use crate::connection::room::Room;
use crate::connection::shared::{Guarded, Shared};
use crate::sync;

/// One connection, as callers and controllers see it. It may be closed at any moment.
pub struct Link {
    shared: Shared,
    /// Of those who have to wait before they ask. Made when somebody does.
    pub(super) line: OnceLock<Box<Line>>,
    /// Told when bytes went out and there is room for more.
    pub(super) room: Room,
    /// Whose turn it is with what is large. Made when something is.
    large: OnceLock<Box<LargeTurns>>,
    /// Why the connection is gone, from when it is.
    lost: SetOnce<Lost>,
    round_trip_us: AtomicU64,
    /// Asks of the peer that wait for their responders.
    answering: AtomicUsize,
    /// What these take, in bytes as they came.
    asks_bytes: AtomicUsize,
    /// Whether the peer has ever asked anything.
    was_asked: AtomicBool,
    /// Commands of the peer that want no answer and failed.
    failed_notices: AtomicU64,
    /// Asks of the peer that had an argument that cannot be read.
    bad_arguments: AtomicU64,
    peer: Arc<PeerInfo>,
    identity: OnceLock<Identity>,
    agreement: OnceLock<Agreement>,
    since: SystemTime,
    clock: Clock,
    limits: Arc<Limits>,
}

/// What is large is written one after another, so that there is never more than one beyond the
/// limit.
#[derive(Debug, Default)]
pub(super) struct LargeTurns {
    /// Whose ask is written next.
    pub(super) ask: Mutual<()>,
    /// Whose answer is written next.
    answer: Mutual<()>,
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
    pub key: Option<Box<PeerKey>>,
    /// Whether the connection is TLS, from its first byte or since `StartTLS`.
    pub is_encrypted: bool,
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
    pub(crate) ident: Box<str>,
    pub(crate) name: Option<Box<str>>,
    pub(crate) version: Option<Box<str>>,
}

impl Link {
    pub(crate) fn new(exchange: Exchange, peer: PeerInfo, limits: Arc<Limits>) -> Arc<Self> {
        Arc::new(Self {
            shared: Shared::new(exchange, limits.asks_in_flight_max),
            line: OnceLock::new(),
            room: Room::default(),
            large: OnceLock::new(),
            lost: SetOnce::new(),
            round_trip_us: AtomicU64::new(u64::MAX),
            answering: AtomicUsize::new(0),
            asks_bytes: AtomicUsize::new(0),
            was_asked: AtomicBool::new(false),
            failed_notices: AtomicU64::new(0),
            bad_arguments: AtomicU64::new(0),
            peer: Arc::new(peer),
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

    /// The same, for longer than the connection lasts.
    pub(crate) fn peer_kept(&self) -> Arc<PeerInfo> {
        Arc::clone(&self.peer)
    }

    /// The identity under which the peer was admitted.
    #[must_use]
    pub fn ident(&self) -> Option<&str> {
        self.identity.get().map(|identity| &*identity.ident)
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

    /// Admits the peer under an identity. Only the first time counts; whether it was is told. Of a
    /// name or version of more than 255 bytes the rest is left out.
    #[must_use]
    pub fn admit(&self, ident: &str, name: Option<String>, version: Option<String>) -> bool {
        let (name, version) = (name.map(shortened), version.map(shortened));
        let identity = Identity { ident: ident.into(), name, version };
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
            exchange.turns.lower_to(asks_in_flight_max);
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

    /// For the driver and its tasks: the bytes of the peer's asks that wait for their responders.
    pub(super) fn asks_bytes(&self) -> &AtomicUsize {
        &self.asks_bytes
    }

    /// For the driver: notes that the peer asked something.
    pub(super) fn set_asked(&self) {
        self.was_asked.store(true, Ordering::Relaxed);
    }

    /// Counts a command of the peer that wants no answer and failed. Gives how many there were, if
    /// that is worth a line in the log: the peer may send as many as it likes.
    pub(super) fn note_failed_notice(&self) -> Option<u64> {
        worth_a_line(&self.failed_notices)
    }

    /// As [`Link::note_failed_notice`], for asks with an argument that cannot be read.
    pub(super) fn note_bad_argument(&self) -> Option<u64> {
        worth_a_line(&self.bad_arguments)
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
        self.lost.wait().await.clone()
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
        self.close_line();
        self.room.made();
        self.set_lost_to(Lost::ClosedByPeer);
    }

    pub(crate) fn set_lost(&self, lost: &Lost) {
        self.exchange().handle_lost(lost.clone());
        self.close_line();
        self.room.made();
        self.set_lost_to(lost.clone());
    }

    /// Only the first reason counts.
    fn set_lost_to(&self, lost: Lost) {
        let _known_before = self.lost.set(lost);
    }

    pub(crate) fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn exchange(&self) -> sync::MutexGuard<'_, Guarded> {
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

    pub(super) fn poll_ask(&self, id: AskId, cx: &mut Context<'_>) -> Poll<AskResult> {
        self.shared.poll_ask(id, cx)
    }

    /// Writes an answer for which there is room.
    pub(super) fn answer(&self, tag: &[u8], fields: &dyn EncodeFields) -> Result<(), EncodeError> {
        match self.large_body(fields)? {
            Some(body) => self.exchange().answer_large(tag, body),
            None => self.exchange().answer(tag, fields),
        }
    }

    /// Writes an answer if there is room for it, and says how many bytes of answers wait then. If
    /// there is none, it has to wait until the peer has read others.
    pub(super) fn try_answer(
        &self,
        tag: &[u8],
        fields: &dyn EncodeFields,
    ) -> Result<Option<usize>, EncodeError> {
        if self.is_large(fields.bytes_hint()) {
            if !self.has_room(true) {
                return Ok(None);
            }
            self.answer(tag, fields)?;
            return Ok(Some(self.exchange().answer_bytes()));
        }
        let mut exchange = self.exchange();
        if !exchange.has_room_for_answer(false) {
            return Ok(None);
        }
        exchange.answer(tag, fields)?;
        Ok(Some(exchange.answer_bytes()))
    }

    /// Waits until an answer of about this length may be written. Long ones take turns, so that
    /// there is never more than one beyond the limit.
    ///
    /// # Cancellation
    /// Dropping the future gives the turn to the next.
    pub(super) async fn wait_to_answer(&self, bytes_hint: usize) -> Option<MutexGuard<'_, ()>> {
        let is_large = self.is_large(bytes_hint);
        let is_long = bytes_hint > Exchange::PART_BYTES;
        let turn = if is_long { Some(self.large_turns().answer.lock().await) } else { None };
        self.room.wait_until(|| self.has_room(is_large)).await;
        turn
    }

    pub(super) fn large_turns(&self) -> &LargeTurns {
        self.large.get_or_init(Box::default)
    }

    fn is_large(&self, bytes_hint: usize) -> bool {
        bytes_hint > Exchange::PART_BYTES && self.has(Features::LARGE)
    }

    fn has_room(&self, is_large: bool) -> bool {
        self.exchange().has_room_for_answer(is_large)
    }
}

/// Counts another of these, and gives how many there were if that is worth a line in the log: the
/// first of them, and then ever fewer.
fn worth_a_line(count: &AtomicU64) -> Option<u64> {
    const TOLD_EACH: u64 = 10;
    let times = count.fetch_add(1, Ordering::Relaxed) + 1;
    (times <= TOLD_EACH || times.is_power_of_two()).then_some(times)
}

/// What a peer calls itself, no longer than anybody reads.
fn shortened(mut said: String) -> Box<str> {
    const BYTES_MAX: usize = 255;
    said.truncate(said.floor_char_boundary(BYTES_MAX));
    said.into()
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
