//! How a call can end without a response.

use alloc::string::String;
use core::time::Duration;

use crate::command::{Arguments, Command, CommandError};
use crate::connection::{AskRefused, AskResult, AskStopped, Lost};
use crate::error::{DecodeError, EncodeError, OneLine};

/// Why a call has no response. `E` is the command's own enum of declared errors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The responder refused, in one of the ways that the command declares. Its fault or yours:
    /// the error says.
    #[error(transparent)]
    Declared(E),
    /// The peer has no responder for this command: an older version, or the wrong peer.
    #[error("the peer does not answer this command: {}", OneLine(.description))]
    Unhandled {
        /// The peer's words. A MAAS peer says the same of a responder that failed, with a
        /// reference into its log.
        description: String,
    },
    /// The responder failed in a way that the command does not declare. The description refers to
    /// the peer's log.
    #[error("the peer failed with the code {}: {}", OneLine(.code), OneLine(.description))]
    Undeclared {
        /// The code on the wire; `UNKNOWN` unless the peer knows better.
        code: String,
        /// The peer's words.
        description: String,
    },
    /// The peer has too much to do and did not begin. Ask again later, or elsewhere.
    #[error("the peer has too much to do")]
    Overloaded,
    /// The command does not fit AMP's boxes. Your fault; nothing was sent.
    #[error("the command cannot be sent")]
    Encode(#[source] EncodeError),
    /// The response is not what the command declares. The peer's fault; the command was carried
    /// out.
    #[error("the response cannot be read")]
    Decode(#[source] DecodeError),
    /// The id of a call that is made once is older than what the peer remembers, or than the peer,
    /// or is of a time to come; or the answer was too large to be kept. Whether the command was
    /// carried out is not known, but for the last; this try did nothing.
    #[error("what became of this call is not known: {}", OneLine(.description))]
    OnceExpired {
        /// The peer's words.
        description: String,
    },
    /// The id of a call that is made once belongs to another call. Your fault; this try did
    /// nothing.
    #[error("the id of this call belongs to another one")]
    OnceReused,
    /// No answer came in time.
    #[error("no answer within {} ms; {}", .after.as_millis(), whether_done(*.maybe_done))]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
        /// Whether the command may have been carried out.
        maybe_done: bool,
    },
    /// The connection went away before the answer came, or was away already.
    #[error("the connection was lost; {}", whether_done(*.maybe_done))]
    Lost {
        /// Why it went.
        #[source]
        lost: Lost,
        /// Whether the command may have been carried out.
        maybe_done: bool,
    },
}

fn whether_done(maybe: bool) -> &'static str {
    if maybe { "the command may have been carried out" } else { "the command was not carried out" }
}

impl<E> CallError<E> {
    /// Whether the same call, made again, can succeed without any risk of carrying the command
    /// out twice.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Overloaded => true,
            Self::TimedOut { maybe_done, .. } | Self::Lost { maybe_done, .. } => !maybe_done,
            Self::Declared(_)
            | Self::Unhandled { .. }
            | Self::Undeclared { .. }
            | Self::OnceExpired { .. }
            | Self::OnceReused
            | Self::Encode(_)
            | Self::Decode(_) => false,
        }
    }

    /// Whether the same call, made again with the same id, can succeed: for calls that are made
    /// once, of which a second try never carries the command out twice.
    #[must_use]
    pub fn is_retryable_once(&self) -> bool {
        matches!(self, Self::Overloaded | Self::TimedOut { .. } | Self::Lost { .. })
    }

    /// Whether the command may have been carried out, in whole or in part, although there is no
    /// response.
    #[must_use]
    pub fn maybe_done(&self) -> bool {
        match self {
            Self::Declared(_)
            | Self::Undeclared { .. }
            | Self::OnceExpired { .. }
            | Self::Decode(_) => true,
            Self::TimedOut { maybe_done, .. } | Self::Lost { maybe_done, .. } => *maybe_done,
            Self::Unhandled { .. } | Self::Overloaded | Self::OnceReused | Self::Encode(_) => false,
        }
    }

    /// The same failure with the declared error mapped.
    pub fn map_declared<F>(self, map: impl FnOnce(E) -> F) -> CallError<F> {
        match self {
            Self::Declared(error) => CallError::Declared(map(error)),
            Self::Unhandled { description } => CallError::Unhandled { description },
            Self::Undeclared { code, description } => CallError::Undeclared { code, description },
            Self::Overloaded => CallError::Overloaded,
            Self::OnceExpired { description } => CallError::OnceExpired { description },
            Self::OnceReused => CallError::OnceReused,
            Self::Encode(error) => CallError::Encode(error),
            Self::Decode(error) => CallError::Decode(error),
            Self::TimedOut { after, maybe_done } => CallError::TimedOut { after, maybe_done },
            Self::Lost { lost, maybe_done } => CallError::Lost { lost, maybe_done },
        }
    }
}

impl<E> From<AskRefused> for CallError<E> {
    fn from(refused: AskRefused) -> Self {
        match refused {
            AskRefused::TooManyInFlight { .. } | AskRefused::NoRoom { .. } => Self::Overloaded,
            AskRefused::Lost(lost) => Self::Lost { lost, maybe_done: false },
            AskRefused::Encode(error) => Self::Encode(error),
        }
    }
}

/// Reads the outcome of an ask as the command declares it. `timeout` is how long it was waited
/// for.
///
/// # Errors
/// [`CallError`], in every variant but `Encode`.
pub fn response_of<C: Command>(
    outcome: AskResult,
    timeout: Duration,
) -> Result<C::Response, CallError<C::Error>> {
    match outcome {
        Ok(received) => C::Response::decode(&received.fields()).map_err(CallError::Decode),
        Err(stopped) => Err(stopped_as(stopped, timeout, C::Error::from_code)),
    }
}

/// As [`response_of`], for the failures of a command that `declared` knows the errors of.
pub fn stopped_as<E>(
    stopped: AskStopped,
    timeout: Duration,
    declared: impl FnOnce(&str, &str) -> Option<E>,
) -> CallError<E> {
    match stopped {
        AskStopped::Error { code, description } => match code.as_str() {
            "UNHANDLED" => CallError::Unhandled { description },
            "OVERLOADED" => CallError::Overloaded,
            "ONCE_EXPIRED" => CallError::OnceExpired { description },
            "ONCE_REUSED" => CallError::OnceReused,
            "DEADLINE_EXCEEDED" => CallError::TimedOut { after: timeout, maybe_done: true },
            _ => match declared(&code, &description) {
                Some(error) => CallError::Declared(error),
                None => CallError::Undeclared { code, description },
            },
        },
        AskStopped::TimedOut { sent } => CallError::TimedOut { after: timeout, maybe_done: sent },
        AskStopped::Lost { lost, sent } => CallError::Lost { lost, maybe_done: sent },
    }
}
