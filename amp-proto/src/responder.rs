//! Responders: how a received ask finds the method that answers it.
//!
//! `#[responders]` on an `impl` block writes one [`Responder`] per marked method and a
//! [`ResponderTable`] of function pointers. A [`Responders`](crate::Responders) value forgets the
//! type behind the table.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::pin::Pin;

use crate::Peer;
use crate::command::{Afterwards, Command, CommandError, EncodeFields, Failure};
use crate::error::DecodeError;
use crate::schema::CommandSchema;
use crate::wire::Fields;

/// Answers one command. Written by `#[responder]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no responder for `{C}`",
    note = "add a method with `#[responder]` that takes `{C}` to its `#[responders]` block"
)]
pub trait Responder<C: Command>: Send + Sync {
    /// Carries the command out.
    ///
    /// # Errors
    /// [`Failure`]: a declared error, or one that stays on this side.
    ///
    /// # Cancellation
    /// The future is dropped at its next await when the connection is lost.
    fn respond(
        &self,
        command: C,
        peer: &Peer,
    ) -> impl Future<Output = Result<C::Response, Failure<C::Error>>> + Send;
}

/// A type whose `impl` block carries `#[responders]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` answers no commands",
    note = "put `#[responders]` on one of its `impl` blocks"
)]
pub trait ResponderTable: Send + Sync + Sized + 'static {
    /// One entry per command, in the order of the methods.
    const TABLE: &'static [Entry<Self>];
}

/// One command that `S` answers.
pub struct Entry<S> {
    /// The command's declaration.
    pub schema: CommandSchema,
    /// Decodes the arguments and begins to answer.
    pub respond: fn(&Arc<S>, &Fields<'_>, &Peer) -> Reply,
}

impl<S> core::fmt::Debug for Entry<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Entry").field(&self.schema.name).finish()
    }
}

/// What a responder leaves behind: its response, or how it failed.
pub type Outcome = Result<Answered, Refusal>;

/// A response whose type is forgotten.
#[derive(Debug)]
pub struct Answered {
    /// Its fields.
    pub fields: Box<dyn EncodeFields>,
    /// What becomes of the connection once they have been sent.
    pub afterwards: Afterwards,
}

/// An answer on its way.
#[expect(clippy::exhaustive_enums, reason = "an answer is there or it is not")]
pub enum Reply {
    /// It is there.
    Ready(Outcome),
    /// It is there when the future is.
    Pending(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

impl core::fmt::Debug for Reply {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Ready(outcome) => f.debug_tuple("Ready").field(&outcome.is_ok()).finish(),
            Self::Pending(_) => f.write_str("Pending"),
        }
    }
}

/// An ask that ends in an error, in the terms of the wire.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// A declared error.
    Declared {
        /// The code on the wire.
        code: &'static str,
        /// The text beside it.
        description: String,
        /// Whether the connection is closed after it.
        fatal: bool,
    },
    /// An error of another peer, passed on.
    Passed(crate::PassedError),
    /// The arguments do not decode. The caller's fault.
    BadArgument(DecodeError),
    /// Something that the caller has no part in. It is logged here and referred to there.
    Undeclared(Box<dyn core::error::Error + Send + Sync>),
    /// Nobody answers this command.
    Unhandled {
        /// The command's name, made printable.
        command: String,
    },
    /// Too much is going on. The command was not begun.
    Overloaded,
    /// The command has a stream, and the ask has none: the caller does not know streams.
    StreamNeeded,
    /// The time that the caller gave was over first. The command was stopped on the way.
    DeadlineExceeded,
}

impl Refusal {
    fn from_failure<E: CommandError>(failure: Failure<E>) -> Self {
        match failure {
            Failure::Declared(error) => {
                let schema = error.code();
                let description = error.wire_description();
                Self::Declared { code: schema.code, description, fatal: schema.fatal }
            }
            Failure::Undeclared(error) => Self::Undeclared(error),
            Failure::Passed(error) => Self::Passed(error),
        }
    }
}

/// The body of every table entry: decodes, and hands over to the responder.
#[doc(hidden)]
pub fn respond<S, C>(responder: &Arc<S>, fields: &Fields<'_>, peer: &Peer) -> Reply
where
    S: Responder<C> + 'static,
    C: Command,
{
    let command = match C::decode(fields) {
        Ok(command) => command,
        Err(error) => return Reply::Ready(Err(Refusal::BadArgument(error))),
    };
    if peer.stream().is_none() && (C::SCHEMA.takes.is_some() || C::SCHEMA.gives.is_some()) {
        return Reply::Ready(Err(Refusal::StreamNeeded));
    }
    let responder = Arc::clone(responder);
    let peer = peer.clone();
    Reply::Pending(Box::pin(async move {
        match responder.respond(command, &peer).await {
            Ok(response) => Ok(Answered { fields: Box::new(response), afterwards: C::AFTERWARDS }),
            Err(failure) => Err(Refusal::from_failure(failure)),
        }
    }))
}

/// What a method with `#[responder]` may return for a command with the response `R` and the
/// declared errors `E`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "expected `Result<{R}, {E}>`, found `{Self}`",
    label = "not what the command declares",
    note = "a responder returns the response and the declared errors of its command, or, if it can \
            fail in other ways, `Result<{R}, Failure<{E}>>`"
)]
pub trait Answer<R, E> {
    /// The same, in the terms of [`Responder`].
    fn into_outcome(self) -> Result<R, Failure<E>>;
}

#[diagnostic::do_not_recommend]
impl<R, E> Answer<R, E> for Result<R, E> {
    fn into_outcome(self) -> Result<R, Failure<E>> {
        self.map_err(Failure::Declared)
    }
}

#[diagnostic::do_not_recommend]
impl<R, E> Answer<R, E> for Result<R, Failure<E>> {
    fn into_outcome(self) -> Self {
        self
    }
}

/// Promises that a type answers commands; the compiler keeps the promise.
///
/// # Examples
/// ```compile_fail
/// # use amp_proto::*;
/// # #[derive(Debug, Command)] #[command(answered_by = Cluster)] struct Ping;
/// struct Cellar;
/// assert_answers!(Cellar: Ping); // `Cellar` has no responder for `Ping`
/// ```
#[macro_export]
macro_rules! assert_answers {
    ($responder:ty: $($command:ty),+ $(,)?) => {
        const _: () = {
            const fn answers<R: $crate::Responder<C>, C: $crate::Command>() {}
            $(answers::<$responder, $command>();)+
        };
    };
}
