//! Clients: the handles through which a peer is asked.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{
    AnsweredBy, AskResult, BoxWriter, CallError, Command, EncodeError, EncodeFields, Lost, Never,
    NoAnswer, PassedError, ReceivedBox, Role, Streaming, response_of, stopped_as,
};
use tokio::time::Instant;

use crate::agreement::{Features, terms_of};
use crate::commands::{KEY_REVOKED, KEYS_UNAVAILABLE, Leave, NOT_ENROLLED, Negotiate, Ping};
use crate::connection::{CallTerms, Link, StreamingCall};
use crate::context::CallContext;
use crate::once::{CallId, OnceClient};

/// A handle to ask one peer of role `R`. Cheap to clone, and safe to keep: when its connection is
/// lost, calls fail at once and say so.
///
/// # Examples
/// ```
/// # use amp_proto::{CallError, Cluster, Command, Never};
/// # use mesh::Client;
/// #[derive(Debug, Command)]
/// #[command(answered_by = Cluster)]
/// struct LockCellar;
///
/// async fn lock(cellar: &Client<Cluster>) -> Result<(), CallError<Never>> {
///     cellar.call(LockCellar).await
/// }
/// ```
pub struct Client<R> {
    link: Arc<Link>,
    others: Option<Arc<dyn Others>>,
    timeout: Duration,
    once: Option<CallId>,
    role: PhantomData<fn() -> R>,
}

/// Where else the same question can be asked, for clients that stand for any peer of a kind.
pub trait Others: Send + Sync + 'static {
    /// Another open connection than `lost`, if there is one.
    fn other_than(&self, lost: &Arc<Link>) -> Option<Arc<Link>>;
}

impl<R: Role> Client<R> {
    /// A client over one connection.
    #[must_use]
    pub fn new(link: Arc<Link>) -> Self {
        let timeout = link.limits().call_timeout;
        Self { link, others: None, timeout, once: None, role: PhantomData }
    }

    /// A client that goes to one of `others` when the first connection is gone before a call was
    /// sent on it.
    #[must_use]
    pub fn with_others(link: Arc<Link>, others: Arc<impl Others>) -> Self {
        Self { others: Some(others), ..Self::new(link) }
    }

    /// The same client with another time limit for its calls than
    /// [`Limits::call_timeout`](amp_proto::Limits::call_timeout).
    #[must_use]
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// A client of the same peer for one call that is carried out once, however often it is tried:
    /// with the same id, the same process gives the answer that it gave before, or that of the run
    /// under way. The second try may come through another connection, or through another process
    /// that asks the peer.
    ///
    /// The run does not end with the connection, nor with the caller's time; whoever tries again
    /// gets its answer.
    ///
    /// # Limits
    /// [`once_window`](amp_proto::Limits::once_window),
    /// [`once_answers_max`](amp_proto::Limits::once_answers_max) and
    /// [`once_bytes_max`](amp_proto::Limits::once_bytes_max) of the peer's limits.
    ///
    /// # Errors
    /// The call fails with [`CallError::OnceExpired`] when the peer cannot know any more, or not
    /// yet: the id is older than the window or than the process, or more than a minute ahead of its
    /// clock; or its answer was too large to be kept. An id that is ahead by less waits for its
    /// time, as part of the call's. With [`CallError::OnceReused`] for
    /// an id that was given to another call. With [`CallError::Unhandled`] when the peer does not
    /// know such calls, as a stock peer; nothing is sent then. Any other failure may be tried again
    /// with the same id.
    #[must_use]
    pub fn once(mut self, id: CallId) -> OnceClient<R> {
        self.once = Some(id);
        OnceClient::new(self)
    }

    /// Asks the peer to carry out `command` and waits for its answer.
    ///
    /// Calls on one client overlap freely; answers may come back in any order.
    ///
    /// # Limits
    /// Between two of us the command may take
    /// [`Limits::large_bytes_max`](amp_proto::Limits::large_bytes_max) bytes. Towards a stock peer
    /// it must fit [`Limits::box_bytes_max`](amp_proto::Limits::box_bytes_max), with values up to
    /// 65,535 bytes. When
    /// [`asks_in_flight_max`](amp_proto::Limits::asks_in_flight_max) calls are under way, or
    /// [`outbound_bytes_max`](amp_proto::Limits::outbound_bytes_max) bytes wait to be sent, the
    /// call waits for its turn as part of its own time.
    ///
    /// # Errors
    /// [`CallError::Declared`] is the responder's own refusal. [`CallError::Lost`] and
    /// [`CallError::TimedOut`] say whether the command may have been carried out.
    ///
    /// # Cancellation
    /// Dropping the future stops the command at the peer, at its next await, if the peer knows how
    /// to. A stock peer goes on, and its answer is dropped.
    ///
    /// # Specification
    /// `docs/src/reference/protocol.md#ask`; Twisted `BoxDispatcher.callRemote`.
    pub async fn call<C>(&self, command: C) -> Result<C::Response, CallError<C::Error>>
    where
        C: AnsweredBy<R> + Sync,
    {
        self.call_ref(&command).await
    }

    async fn call_ref<C>(&self, command: &C) -> Result<C::Response, CallError<C::Error>>
    where
        C: Command + Sync,
    {
        self.call_with::<C, C>(command).await
    }

    /// As [`Client::call`], with the fields of the command `C`, whoever encodes them.
    pub(crate) async fn call_with<C, F>(
        &self,
        fields: &F,
    ) -> Result<C::Response, CallError<C::Error>>
    where
        C: Command,
        F: EncodeFields + Sync,
    {
        match self.ask(C::NAME, fields).await {
            Ok((outcome, timeout)) => response_of::<C>(outcome, timeout),
            Err(failed) => Err(failed.map_declared(|never| match never {})),
        }
    }

    /// Asks the peer to carry out a command beside which items flow: what it takes, what it
    /// answers, or both.
    ///
    /// The call has no time limit of its own, as it may be meant to stay open; a peer that died is
    /// found out all the same. Inside a responder, or where a [`CallContext`] has one, it ends with
    /// the time that is left, for the peer as well.
    ///
    /// # Limits
    /// [`streams_max`](amp_proto::Limits::streams_max) such calls at once on one connection, and
    /// [`stream_window_bytes`](amp_proto::Limits::stream_window_bytes) ahead of the reader on each.
    /// Each is one of the [`asks_in_flight_max`](amp_proto::Limits::asks_in_flight_max) calls under
    /// way, until its outcome was taken. The command, each item and the response go whole: each has
    /// to fit [`box_bytes_max`](amp_proto::Limits::box_bytes_max), and a value that may have more
    /// than 65,535 bytes has to be [`Large`](amp_proto::Large).
    ///
    /// # Errors
    /// [`CallError::Lost`], [`CallError::Encode`]; [`CallError::Overloaded`] at either limit, and
    /// while [`outbound_bytes_max`](amp_proto::Limits::outbound_bytes_max) bytes wait to be sent;
    /// [`CallError::Unhandled`] when the peer does not know streams, as a stock peer. What the
    /// responder refuses comes from the call.
    ///
    /// # Specification
    /// `docs/src/reference/extensions.md#streams`.
    #[expect(clippy::needless_pass_by_value, reason = "a command is given away, as in `call`")]
    pub fn stream<C>(&self, command: C) -> Result<StreamingCall<C>, CallError<C::Error>>
    where
        C: AnsweredBy<R> + Streaming,
    {
        let link = match self.link.refusing() {
            Some(_) => self.others.as_ref().and_then(|others| others.other_than(&self.link)),
            None => None,
        };
        let link = link.as_ref().unwrap_or(&self.link);
        if !link.has(Features::STREAM) && link.is_open() {
            let description = "the peer does not know streams".to_owned();
            return Err(CallError::Unhandled { description });
        }
        link.open_stream(&command, CallContext::current().time_left()).map_err(CallError::from)
    }

    /// Sends `command` without waiting for an answer. There is none: nothing tells whether it was
    /// carried out.
    ///
    /// # Limits
    /// It goes whole, also to one of us:
    /// [`box_bytes_max`](amp_proto::Limits::box_bytes_max), with values up to 65,535 bytes.
    ///
    /// # Errors
    /// [`CallError::Lost`] when the connection is gone already, [`CallError::Encode`].
    ///
    /// # Cancellation
    /// Dropping the future while it waits for room sends nothing.
    pub async fn notify<C>(&self, command: C) -> Result<(), CallError<Never>>
    where
        C: AnsweredBy<R> + NoAnswer + Sync,
    {
        Ok(self.link.notify(&command).await?)
    }

    /// Asks by a command's name and its encoded fields, for callers that know the command from its
    /// description only. `fields` have to be sorted by key.
    ///
    /// # Errors
    /// [`CallError`]; an error of the command's own comes as its code and description.
    ///
    /// # Cancellation
    /// As [`Client::call`].
    pub async fn call_encoded(
        &self,
        name: &str,
        fields: &[(String, Vec<u8>)],
    ) -> Result<ReceivedBox, CallError<PassedError>> {
        let outcome = self.ask(name, &Encoded(fields)).await;
        let (outcome, timeout) =
            outcome.map_err(|failed| failed.map_declared(|never| match never {}))?;
        outcome.map_err(|stopped| {
            stopped_as(stopped, timeout, |code, description| {
                let (code, description) = (code.to_owned(), description.to_owned());
                (code != "UNKNOWN").then_some(PassedError { code, description, fatal: false })
            })
        })
    }

    /// Asks for a sign of life, and gives the time it took, that of waiting for its turn included:
    /// it is a call like any other. A peer that does not know `Ping` is alive all the same.
    ///
    /// # Errors
    /// [`CallError::TimedOut`], [`CallError::Lost`].
    ///
    /// # Cancellation
    /// As [`Client::call`].
    pub async fn ping(&self) -> Result<Duration, CallError<Never>> {
        let start = Instant::now();
        match self.this_connection().call_ref(&Ping).await {
            Ok(()) | Err(CallError::Unhandled { .. } | CallError::Undeclared { .. }) => {
                let round_trip = start.elapsed();
                self.link.set_round_trip(round_trip);
                Ok(round_trip)
            }
            Err(failed) => Err(failed),
        }
    }

    /// Closes the connection in good order: tells the peer to ask nothing more, and closes when
    /// everything that is in flight, both ways, has ended. A peer that does not answer is left
    /// all the same.
    ///
    /// # Cancellation
    /// Dropping the future before it is done leaves the connection open.
    pub async fn leave(&self) {
        const TOLD_WITHIN: Duration = Duration::from_secs(1);
        // Whatever it answers, its asks from before the answer have arrived by then.
        let _told = self.this_connection().within(TOLD_WITHIN).call_ref(&Leave).await;
        self.link.drain(Lost::ClosedHere);
    }

    /// The same client, for what concerns its connection and no other.
    fn this_connection(&self) -> Self {
        Self { others: None, once: None, ..self.clone() }
    }

    /// Tells the peer what we can do beyond plain AMP, and hears the same. A stock peer knows
    /// nothing of it, and the connection stays plain AMP.
    ///
    /// # Errors
    /// [`CallError::TimedOut`], [`CallError::Lost`].
    ///
    /// # Cancellation
    /// As [`Client::call`].
    pub async fn negotiate(&self) -> Result<(), CallError<Never>> {
        let terms = terms_of(self.link.limits());
        match self.call_ref(&Negotiate::from(terms)).await {
            Ok(theirs) => self.link.agree(&theirs),
            Err(failed @ (CallError::TimedOut { .. } | CallError::Lost { .. })) => {
                return Err(failed);
            }
            // It says so to the first ask, whatever that is, and hangs up.
            Err(CallError::Undeclared { code, description })
                if [NOT_ENROLLED, KEY_REVOKED, KEYS_UNAVAILABLE].contains(&code.as_str()) =>
            {
                return Err(CallError::Undeclared { code, description });
            }
            // Whatever else is not an agreement: it is a stock peer, or as good as one.
            Err(_) => {}
        }
        Ok(())
    }

    /// Makes the ask; on another connection when this one is gone and nothing was sent. Gives the
    /// outcome, and the time that there was for it.
    ///
    /// # Cancellation
    /// As [`Client::call`].
    pub(crate) async fn ask<F: EncodeFields + Sync + ?Sized>(
        &self,
        name: &str,
        fields: &F,
    ) -> Result<(AskResult, Duration), CallError<Never>> {
        let started = Instant::now();
        let context = CallContext::current();
        // Whoever called us waits no longer than that, and what comes later helps nobody.
        let time_left = context.deadline().map(|it| it.saturating_duration_since(started));
        let timeout = time_left.map_or(self.timeout, |left| left.min(self.timeout));
        let (mut other, mut now, mut left) = (None, started, timeout);
        loop {
            let link = other.as_ref().unwrap_or(&self.link);
            if self.once.is_some() && link.is_open() && !link.has(Features::ONCE) {
                let description = "the peer does not know calls that are made once".to_owned();
                return Err(CallError::Unhandled { description });
            }
            let now_there = link.clock().moment(now);
            let terms = CallTerms {
                now: now_there,
                deadline: now_there.after(left),
                trace: context.trace(),
                once: self.once,
            };
            let outcome = link.ask(name, fields, terms).await;
            let next = match &self.others {
                Some(others) if is_lost_unsent(&outcome) => others.other_than(link),
                _ => None,
            };
            if next.is_none() {
                return Ok((outcome?, timeout));
            }
            (other, now) = (next, Instant::now());
            left = timeout.saturating_sub(now.saturating_duration_since(started));
        }
    }

    /// The identity under which the peer was admitted: a cluster's uuid, a region process's
    /// identity. `None` before that; the clients that controllers give have one.
    #[must_use]
    pub fn ident(&self) -> Option<String> {
        self.link.ident().map(str::to_owned)
    }

    /// The peer's name for people, or its identity if it gave none, or its address before it was
    /// admitted.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.link.name().or_else(|| self.link.ident());
        name.unwrap_or_else(|| self.address()).to_owned()
    }

    /// The version of the peer's program, if it told.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        self.link.version().map(str::to_owned)
    }

    /// Where the peer is, as text for people.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.link.peer().address
    }

    /// The time that the last `Ping` took.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.link.round_trip()
    }

    /// Whether calls can be made now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.link.is_open()
    }

    /// Waits until the connection is gone, and says why.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn closed(&self) -> Lost {
        self.link.closed().await
    }

    /// The connection behind this client.
    #[must_use]
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

fn is_lost_unsent(outcome: &Result<AskResult, amp_proto::AskRefused>) -> bool {
    match outcome {
        Err(amp_proto::AskRefused::Lost(_)) => true,
        Ok(Err(amp_proto::AskStopped::Lost { sent, .. })) => !sent,
        _ => false,
    }
}

impl<R> Clone for Client<R> {
    fn clone(&self) -> Self {
        Self {
            link: Arc::clone(&self.link),
            others: self.others.clone(),
            timeout: self.timeout,
            once: self.once,
            role: PhantomData,
        }
    }
}

impl<R> fmt::Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.link).finish()
    }
}

/// Fields that were encoded elsewhere.
struct Encoded<'a>(&'a [(String, Vec<u8>)]);

impl EncodeFields for Encoded<'_> {
    fn encode_fields(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        self.0.iter().try_for_each(|(key, value)| {
            out.put_in_parts(key.as_bytes(), |out| {
                out.extend_from_slice(value);
                Ok(())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use amp_proto::{Cluster, Limits, Region, Responders};

    use super::*;

    #[tokio::test]
    async fn before_a_peer_is_admitted_it_has_no_identity_and_is_named_by_its_address() {
        let (near, far) = tokio::io::duplex(4096);
        let nothing = || Arc::new(Responders::new());
        let (client, _driving) =
            crate::connect_trusted::<Region, _>(near, nothing(), Limits::default());
        let (_, _other) = crate::connect_trusted::<Cluster, _>(far, nothing(), Limits::default());
        assert_eq!((client.ident(), client.name()), (None, "local socket".to_owned()));
        assert!(client.link().admit("5f0d", None, None));
        assert_eq!((client.ident(), client.name()), (Some("5f0d".to_owned()), "5f0d".to_owned()));
    }
}
