//! Asks of the peer that are being answered.
//!
//! A responder is polled once where it stands. Most are done by then; one that has to wait becomes
//! a task of its own, and ends with the connection.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use amp_proto::{
    Afterwards, Answered, Ask, EncodeError, Escaped, Lost, Metadata, Outcome, Peer, ReceivedBox,
    Refusal, Reply, Responders, ValueError,
};
use futures_util::FutureExt as _;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::link::Link;
use super::tasks::Tasks;
use crate::budget::Shedding;
use crate::chain::chain;
use crate::commands::STREAM_NEEDED;
use crate::context::CallContext;
use crate::host::host_name;
use crate::once::{Asking, CallId, NotACallId, OnceStore};

/// Everything it takes to answer the peer.
#[derive(Debug)]
pub(super) struct Running {
    responders: Arc<Responders>,
    peer: Peer,
    tasks: Tasks,
    /// Asks are being refused because there is too much to do.
    is_overloaded: bool,
    /// What the process answered to calls that are made once.
    once: Option<Arc<OnceStore>>,
    /// What is refused while the process is short of memory.
    shedding: Option<Arc<Shedding>>,
}

/// What an ask takes while it is being answered, in bytes as it came.
struct Held(Arc<Link>, usize);

impl Held {
    fn new(link: &Arc<Link>, bytes: usize) -> Self {
        link.asks_bytes().fetch_add(bytes, Ordering::Relaxed);
        Self(Arc::clone(link), bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.asks_bytes().fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// What the answer to one ask has to carry, and how the logs refer to it.
#[derive(Debug)]
struct Asked {
    tag: Option<Arc<[u8]>>,
    command: Box<[u8]>,
}

type Answering = Pin<Box<dyn Future<Output = Outcome> + Send>>;

impl Running {
    pub(super) fn new(
        responders: Arc<Responders>,
        peer: Peer,
        once: Option<Arc<OnceStore>>,
        shedding: Option<Arc<Shedding>>,
    ) -> Self {
        let (tasks, is_overloaded) = (Tasks::default(), false);
        Self { responders, peer, tasks, is_overloaded, once, shedding }
    }

    /// How many responders wait for something.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Forgets the tasks that are done, and answers for those that were stopped.
    pub(super) fn reap(&mut self, link: &Link, cx: &mut Context<'_>) {
        while let Some(stopped) = self.tasks.reap(cx) {
            link.exchange().refuse(&stopped, "CANCELLED", "the caller went away");
        }
    }

    /// Whether something is held although nothing is being answered.
    pub(super) fn has_spare(&self) -> bool {
        self.tasks.has_spare()
    }

    /// Gives back what is held for nothing.
    pub(super) fn give_back(&mut self) {
        self.tasks.give_back();
    }

    /// Answers an ask that came at the time `came`, now or later. If now, it says how many bytes of
    /// answers wait in the exchange by then.
    pub(super) fn begin(
        &mut self,
        link: &Arc<Link>,
        ask: &Ask<'_>,
        came: Instant,
        cx: &mut Context<'_>,
    ) -> Option<usize> {
        let outcome = self.carry_out(link, ask, came, cx)?;
        self.settle(link, ask, outcome)
    }

    /// Carries an ask out as far as that goes without waiting. `None` if it goes on by itself.
    fn carry_out(
        &mut self,
        link: &Arc<Link>,
        ask: &Ask<'_>,
        came: Instant,
        cx: &mut Context<'_>,
    ) -> Option<Outcome> {
        if self.is_shed(ask.command) {
            refuse_shed(link, ask);
            return None;
        }
        if !self.has_room(link, ask) {
            self.refuse_overloaded(link, ask);
            return None;
        }
        if let Some(id) = ask.metadata.once {
            self.begin_once(link, ask, id);
            return None;
        }
        let Some(peer) = self.asker(link, ask) else {
            self.refuse_overloaded(link, ask);
            return None;
        };
        let responded = catch_unwind(AssertUnwindSafe(|| {
            self.responders.respond(ask.command, &ask.fields, &peer)
        }));
        self.is_overloaded = false;
        let mut answering = match responded {
            Ok(Some(Reply::Pending(answering))) => answering,
            Ok(Some(Reply::Ready(outcome))) => return Some(outcome),
            Ok(None) => {
                let command = Escaped(ask.command).to_string();
                return Some(Err(Refusal::Unhandled { command }));
            }
            Err(panic) => return Some(Err(panicked(&*panic))),
        };
        let context = context_of(ask, came);
        let polled = AssertUnwindSafe(|| context.run_sync(|| answering.as_mut().poll(cx)));
        match catch_unwind(polled) {
            Ok(Poll::Ready(outcome)) => Some(outcome),
            Ok(Poll::Pending) => {
                let held = self.hold(link, ask);
                self.go_on(link, ask, context, answering, held);
                None
            }
            Err(panic) => Some(Err(panicked(&*panic))),
        }
    }

    /// Whether asks of this command are refused because the process is short of memory.
    fn is_shed(&self, command: &[u8]) -> bool {
        self.shedding.as_ref().is_some_and(|shedding| shedding.refuses(command))
    }

    /// Whether the process is short of memory.
    pub(super) fn is_short_of_memory(&self) -> bool {
        self.shedding.as_ref().is_some_and(|shedding| shedding.is_short())
    }

    /// So many bytes of the peer are held, for longer than a moment.
    pub(super) fn took(&self, bytes: usize) {
        if let Some(shedding) = &self.shedding {
            shedding.took(bytes);
        }
    }

    /// Whether another ask may wait for something, and its bytes with it.
    fn has_room(&self, link: &Link, ask: &Ask<'_>) -> bool {
        let limits = link.limits();
        let waiting = link.asks_bytes().load(Ordering::Relaxed);
        let bytes = waiting.saturating_add(ask.fields.bytes_len());
        self.tasks.len() < limits.responders_running_max && bytes <= limits.asks_bytes_max()
    }

    fn hold(&self, link: &Arc<Link>, ask: &Ask<'_>) -> Held {
        self.took(ask.fields.bytes_len());
        Held::new(link, ask.fields.bytes_len())
    }

    /// Sends an outcome that is there at once, unless that has to wait for the peer to read. As
    /// [`Running::begin`].
    fn settle(&mut self, link: &Arc<Link>, ask: &Ask<'_>, outcome: Outcome) -> Option<usize> {
        let (Ok(answered), Some(tag)) = (&outcome, ask.tag) else {
            finish(link, ask.tag, ask.command, outcome);
            return None;
        };
        // How a response is encoded is the application's code too.
        let answer = AssertUnwindSafe(|| link.try_answer(tag, &*answered.fields));
        let written = catch_unwind(answer);
        if let Ok(Ok(None)) = written {
            let (context, held) = (CallContext::default(), self.hold(link, ask));
            let answering = Box::pin(std::future::ready(outcome));
            self.go_on(link, ask, context, answering, held);
            return None;
        }
        let waiting = match &written {
            Ok(Ok(waiting)) => *waiting,
            _ => None,
        };
        let written = written.map(|written| written.map(|_| answered.afterwards));
        conclude(link, tag, ask.command, written);
        waiting
    }

    /// Answers a large ask. To read it takes a while, so it is read where nobody waits for that.
    pub(super) fn begin_large(&mut self, link: &Arc<Link>, ask: &Ask<'_>) {
        if self.is_shed(ask.command) {
            return refuse_shed(link, ask);
        }
        if !self.has_room(link, ask) {
            return self.refuse_overloaded(link, ask);
        }
        if let Some(id) = ask.metadata.once {
            return self.begin_once(link, ask, id);
        }
        let Some(peer) = self.asker(link, ask) else { return self.refuse_overloaded(link, ask) };
        let peer = peer.into_owned();
        self.is_overloaded = false;
        let answering = respond(&self.responders, ask.command, ask.fields.to_received(), peer);
        let held = self.hold(link, ask);
        self.go_on(link, ask, context_of(ask, Instant::now()), Box::pin(answering), held);
    }

    /// Answers an ask that is to be carried out once, by what was answered before if it was.
    fn begin_once(&mut self, link: &Arc<Link>, ask: &Ask<'_>, id: &[u8]) {
        let id = match CallId::from_bytes(id) {
            Ok(id) => id,
            Err(NotACallId) => {
                let refusal = ValueError::malformed("the id of a call", id).at("_once");
                return finish(link, ask.tag, ask.command, Err(Refusal::BadArgument(refusal)));
            }
        };
        let Some(once) = &self.once else {
            let command = Escaped(ask.command).to_string();
            return finish(link, ask.tag, ask.command, Err(Refusal::Unhandled { command }));
        };
        let context = context_of(ask, Instant::now());
        let asked = Asking { digest: digest(ask), bytes: ask.fields.bytes_len() };
        let answering = once.answer(id, asked, || {
            // Whoever tries again will want the answer, so it waits for nobody's time.
            let answering =
                respond(&self.responders, ask.command, ask.fields.to_received(), self.peer.clone());
            Box::pin(context.without_deadline().run(answering))
        });
        let held = self.hold(link, ask);
        self.go_on(link, ask, context, answering, held);
    }

    /// Who asks, with the stream that it opened beside the ask. `None` if it has too many.
    fn asker(&self, link: &Arc<Link>, ask: &Ask<'_>) -> Option<Cow<'_, Peer>> {
        let Some(tag) = ask.tag.filter(|_| ask.metadata.stream) else {
            return Some(Cow::Borrowed(&self.peer));
        };
        let stream = link.exchange().accept_stream(tag)?;
        Some(Cow::Owned(self.peer.with_stream(Arc::<Link>::clone(link), stream)))
    }

    /// Refuses an ask because there is too much to do already.
    pub(super) fn refuse_overloaded(&mut self, link: &Link, ask: &Ask<'_>) {
        // One line each time that it begins, not one for every ask.
        if !std::mem::replace(&mut self.is_overloaded, true) {
            let peer = &link.peer().address;
            tracing::warn!(peer, "the peer asks for more than can be done: asks are refused");
        }
        finish(link, ask.tag, ask.command, Err(Refusal::Overloaded));
    }

    fn go_on(
        &mut self,
        link: &Arc<Link>,
        ask: &Ask<'_>,
        context: CallContext,
        answering: Answering,
        held: Held,
    ) {
        let tag: Option<Arc<[u8]>> = ask.tag.map(Arc::from);
        let asked = Asked { tag: tag.clone(), command: ask.command.into() };
        let link = Arc::clone(link);
        self.tasks.spawn(tag, async move {
            let answering = context.run(AssertUnwindSafe(answering).catch_unwind());
            let outcome = match context.deadline() {
                None => Ok(answering.await),
                Some(deadline) => tokio::time::timeout_at(deadline, answering).await,
            };
            let outcome = match outcome {
                Ok(Ok(Err(Refusal::Undeclared(error)))) if is_over(context.deadline()) => {
                    // Whatever it called had no more time either, and said so first.
                    let (command, error) = (Escaped(&asked.command).to_string(), chain(&*error));
                    tracing::debug!(command, %error, "a responder ran out of time");
                    Err(Refusal::DeadlineExceeded)
                }
                Ok(Ok(outcome)) => outcome,
                Ok(Err(panic)) => Err(panicked(&*panic)),
                Err(_) => Err(Refusal::DeadlineExceeded),
            };
            let bytes_hint = outcome.as_ref().map_or(0, |it| it.fields.bytes_hint());
            let _turn = match asked.tag {
                Some(_) => link.wait_to_answer(bytes_hint).await,
                None => None,
            };
            finish(&link, asked.tag.as_deref(), &asked.command, outcome);
            link.stir();
            drop(held);
        });
    }

    /// Stops answering the ask with this tag, if it is still being answered.
    pub(super) fn cancel(&self, link: &Link, tag: &[u8]) {
        if self.tasks.stop(tag) {
            // Its stream ends with it. Closed before, it would look to a responder that is running
            // just now as if the caller had sent all of its items.
            link.exchange().give_up_stream(tag);
        } else {
            link.exchange().cancel_stream(tag);
        }
    }
}

/// Whether the time of a call is over, as near as peers tell each other.
fn is_over(deadline: Option<Instant>) -> bool {
    /// The unit of what is left of it on the wire.
    const UNIT: Duration = Duration::from_millis(1);
    deadline.is_some_and(|deadline| Instant::now() + UNIT >= deadline)
}

/// Reads an ask and carries it out, with nothing of the connection.
fn respond(
    responders: &Arc<Responders>,
    command: &[u8],
    received: ReceivedBox,
    peer: Peer,
) -> Answering {
    let (responders, command) = (Arc::clone(responders), Box::<[u8]>::from(command));
    Box::pin(async move {
        let reply = responders.respond(&command, &received.fields(), &peer);
        drop(received);
        match reply {
            Some(Reply::Ready(outcome)) => outcome,
            Some(Reply::Pending(answering)) => answering.await,
            None => Err(Refusal::Unhandled { command: Escaped(&command).to_string() }),
        }
    })
}

/// Tells one question from another: the command and its arguments.
fn digest(ask: &Ask<'_>) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update(bytes.len().to_be_bytes());
        digest.update(bytes);
    };
    add(ask.command);
    for (key, value) in ask.fields.iter().filter(|(key, _)| !key.starts_with(b"_")) {
        add(key);
        add(value.bytes());
    }
    digest.finalize().into()
}

/// The time that the caller gives to an ask that came at the time `came`, and the trace that it is
/// part of.
fn context_of(ask: &Ask<'_>, came: Instant) -> CallContext {
    let Metadata { deadline, trace, .. } = ask.metadata;
    let mut context = CallContext::default();
    if let Some(deadline) = deadline.and_then(|left| came.checked_add(left)) {
        context = context.until(deadline);
    }
    let trace = trace.and_then(|trace| std::str::from_utf8(trace).ok()?.parse().ok());
    match trace {
        Some(trace) => context.traced(trace),
        None => context,
    }
}

/// Sends the outcome of an ask, and logs what the peer is not told.
fn finish(link: &Link, tag: Option<&[u8]>, command: &[u8], outcome: Outcome) {
    match outcome {
        Ok(Answered { fields, afterwards }) => {
            let Some(tag) = tag else { return };
            // How a response is encoded is the application's code too.
            let answer = AssertUnwindSafe(|| link.answer(tag, &*fields).map(|()| afterwards));
            conclude(link, tag, command, catch_unwind(answer));
        }
        Err(refusal) => refuse(link, tag, command, refusal),
    }
}

/// Does what comes after an answer was written, or could not be.
fn conclude(
    link: &Link,
    tag: &[u8],
    command: &[u8],
    written: std::thread::Result<Result<Afterwards, EncodeError>>,
) {
    let refusal = match written {
        Ok(Ok(Afterwards::GoOn)) => return,
        Ok(Ok(Afterwards::HandOver)) => return link.close(Lost::HandedOver),
        Ok(Ok(_)) => return link.close(Lost::ClosedHere),
        Ok(Err(error)) => Refusal::Undeclared(Box::new(error)),
        Err(panic) => panicked(&*panic),
    };
    refuse(link, Some(tag), command, refusal);
}

/// Refuses an ask because the process is short of memory, of which the log has heard.
pub(super) fn refuse_shed(link: &Link, ask: &Ask<'_>) {
    match ask.tag {
        Some(_) => finish(link, ask.tag, ask.command, Err(Refusal::Overloaded)),
        None => {
            let command = Escaped(ask.command).to_string();
            tracing::debug!(command, "a command without answer was left out");
        }
    }
}

fn refuse(link: &Link, tag: Option<&[u8]>, command: &[u8], refusal: Refusal) {
    let command = Escaped(command).to_string();
    let peer = &link.peer().address;
    let send = |code: &str, description: &str| {
        if let Some(tag) = tag {
            link.exchange().refuse(tag, code, description);
        } else if let Some(times) = link.note_failed_notice() {
            tracing::warn!(
                peer,
                command,
                code,
                description,
                times,
                "a command without answer failed"
            );
        }
    };
    let fatal = match refusal {
        Refusal::Declared { code, description, fatal } => {
            send(code, &description);
            fatal.then(|| code.to_owned())
        }
        Refusal::Passed(error) => {
            send(&error.code, &error.description);
            error.fatal.then_some(error.code)
        }
        Refusal::BadArgument(error) => {
            let error = chain(&error);
            if let Some(times) = link.note_bad_argument() {
                tracing::warn!(peer, command, %error, times, "the peer asked with a bad argument");
            }
            send("UNKNOWN", &format!("Unknown Error: {error}"));
            None
        }
        Refusal::Unhandled { command } => {
            tracing::debug!(peer, command, "the peer asked what nobody here answers");
            send("UNHANDLED", &format!("Unhandled Command: {command}"));
            None
        }
        Refusal::Overloaded => {
            tracing::debug!(peer, command, "too much to do: an ask was refused");
            send("OVERLOADED", "too much to do, ask again later");
            None
        }
        Refusal::StreamNeeded => {
            tracing::debug!(peer, command, "the peer asked without a stream what needs one");
            send(STREAM_NEEDED, "this command is called with a stream");
            None
        }
        Refusal::DeadlineExceeded => {
            tracing::debug!(peer, command, "an ask was not answered in its time");
            send("DEADLINE_EXCEEDED", "the caller's time was over");
            None
        }
        Refusal::Undeclared(error) => {
            let reference = reference(&command, tag);
            let error = chain(&*error);
            tracing::error!(peer, command, reference, %error, "a responder failed");
            send("UNKNOWN", &format!("Unknown Error [{reference}]"));
            None
        }
        other => {
            let reference = reference(&command, tag);
            tracing::error!(peer, command, reference, refusal = ?other, "a responder failed");
            send("UNKNOWN", &format!("Unknown Error [{reference}]"));
            None
        }
    };
    if let Some(code) = fatal {
        link.close(Lost::Fatal { code });
    }
}

/// Ties the error that the caller sees to the line in this process's log, as MAAS writes it.
fn reference(command: &str, tag: Option<&[u8]>) -> String {
    let host = host_name();
    let pid = std::process::id();
    let tag = tag.map_or_else(|| "none".to_owned(), |tag| Escaped(tag).to_string());
    format!("{host}:pid={pid}:cmd={command}:ask={tag}")
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Refusal {
    let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
    let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
    Refusal::Undeclared(Box::new(ResponderPanicked {
        words: words.unwrap_or_else(|| "without words".to_owned()),
    }))
}

#[derive(Debug, thiserror::Error)]
#[error("the responder panicked: {words}")]
struct ResponderPanicked {
    words: String,
}
