//! Asks of the peer that are being answered.
//!
//! A responder is polled once where it stands. Most are done by then; one that has to wait becomes
//! a task of its own, and ends with the connection.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use amp_proto::{
    Afterwards, Answered, Ask, Escaped, Lost, Outcome, Peer, Refusal, Reply, Responders,
};
use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use super::link::Link;
use crate::chain::chain;
use crate::host::host_name;

/// Everything it takes to answer the peer.
#[derive(Debug)]
pub(super) struct Running {
    responders: Arc<Responders>,
    peer: Peer,
    tasks: JoinSet<()>,
    /// Asks are being refused because there is too much to do.
    is_overloaded: bool,
}

/// What the answer to one ask has to carry, and how the logs refer to it.
#[derive(Debug)]
struct Asked {
    tag: Option<Box<[u8]>>,
    command: String,
}

type Answering = Pin<Box<dyn Future<Output = Outcome> + Send>>;

impl Running {
    pub(super) fn new(responders: Arc<Responders>, peer: Peer) -> Self {
        Self { responders, peer, tasks: JoinSet::new(), is_overloaded: false }
    }

    /// How many responders wait for something.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Forgets the tasks that are done.
    pub(super) fn reap(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(_)) = self.tasks.poll_join_next(cx) {}
    }

    /// Answers an ask, now or later.
    pub(super) fn begin(&mut self, link: &Arc<Link>, ask: &Ask<'_>, cx: &mut Context<'_>) {
        if self.tasks.len() >= link.limits().responders_running_max {
            self.refuse_overloaded(link, ask);
            return;
        }
        self.is_overloaded = false;
        let responded = catch_unwind(AssertUnwindSafe(|| {
            self.responders.respond(ask.command, &ask.fields, &self.peer)
        }));
        let mut answering = match responded {
            Ok(Some(Reply::Pending(answering))) => answering,
            Ok(Some(Reply::Ready(outcome))) => {
                return finish(link, ask.tag, ask.command, outcome);
            }
            Ok(None) => {
                let command = Escaped(ask.command).to_string();
                return finish(link, ask.tag, ask.command, Err(Refusal::Unhandled { command }));
            }
            Err(panic) => return finish(link, ask.tag, ask.command, Err(panicked(&*panic))),
        };
        match catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(cx))) {
            Ok(Poll::Ready(outcome)) => finish(link, ask.tag, ask.command, outcome),
            Ok(Poll::Pending) => self.go_on(link, ask, answering),
            Err(panic) => finish(link, ask.tag, ask.command, Err(panicked(&*panic))),
        }
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

    fn go_on(&mut self, link: &Arc<Link>, ask: &Ask<'_>, answering: Answering) {
        let asked =
            Asked { tag: ask.tag.map(Box::from), command: Escaped(ask.command).to_string() };
        let link = Arc::clone(link);
        self.tasks.spawn(async move {
            let outcome = AssertUnwindSafe(answering).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|panic| Err(panicked(&*panic)));
            finish(&link, asked.tag.as_deref(), asked.command.as_bytes(), outcome);
            link.stir();
        });
    }
}

/// Sends the outcome of an ask, and logs what the peer is not told.
fn finish(link: &Link, tag: Option<&[u8]>, command: &[u8], outcome: Outcome) {
    let refusal = match outcome {
        Ok(Answered { fields, afterwards }) => {
            let Some(tag) = tag else { return };
            // How a response is encoded is the application's code too.
            let encode = AssertUnwindSafe(|| link.exchange().answer(tag, &*fields));
            let answered = match catch_unwind(encode) {
                Ok(answered) => answered,
                Err(panic) => return refuse(link, Some(tag), command, panicked(&*panic)),
            };
            match (answered, afterwards) {
                (Ok(()), Afterwards::GoOn) => return,
                (Ok(()), Afterwards::HandOver) => return link.close(Lost::HandedOver),
                (Ok(()), _) => return link.close(Lost::ClosedHere),
                (Err(error), _) => Refusal::Undeclared(Box::new(error)),
            }
        }
        Err(refusal) => refusal,
    };
    refuse(link, tag, command, refusal);
}

fn refuse(link: &Link, tag: Option<&[u8]>, command: &[u8], refusal: Refusal) {
    let command = Escaped(command).to_string();
    let peer = &link.peer().address;
    let send = |code: &str, description: &str| {
        if let Some(tag) = tag {
            link.exchange().refuse(tag, code, description);
        } else {
            tracing::warn!(peer, command, code, description, "a command without answer failed");
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
            tracing::warn!(peer, command, %error, "the peer asked with a bad argument");
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
