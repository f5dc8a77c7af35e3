//! Why a call has no response, as it travels from a region process to its operator.
//!
//! A call through a region process can fail on either of two connections. So that nobody takes one
//! for the other, a failure on the way to the cluster is part of the region's *response*; an AMP
//! error on the operator's socket is the region process's own.

use std::time::Duration;

use amp_proto::{Arguments, CallError, Choice, PassedError};
use mesh::chain;
use mesh::commands::STREAM_NEEDED;

/// What is said of a command that cannot be called from here.
const NEEDS_STREAM: &str = "this command is called from a program, with a stream of items beside \
                            the call; nothing was begun";

/// In what way a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Choice, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub(crate) enum ProblemKind {
    /// The peer refused.
    #[wire("declared")]
    Declared,
    /// The peer does not know the command.
    #[wire("unhandled")]
    Unhandled,
    /// The peer failed.
    #[wire("undeclared")]
    Undeclared,
    /// The peer has too much to do.
    #[wire("overloaded")]
    Overloaded,
    /// No answer came in time.
    #[wire("timed-out")]
    TimedOut,
    /// The connection went away.
    #[wire("lost")]
    Lost,
    /// There is no connection to the target.
    #[wire("not-connected")]
    NotConnected,
    /// The response is not as described.
    #[wire("unreadable")]
    Unreadable,
    /// The command does not fit AMP's boxes.
    #[wire("unsendable")]
    Unsendable,
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[error("{description}")]
pub(crate) struct Problem {
    /// In what way the call failed.
    pub(crate) kind: ProblemKind,
    /// The code on the wire, if the peer answered with one.
    pub(crate) code: Option<String>,
    /// What happened, for people. For a declared error: the peer's own words.
    pub(crate) description: String,
    /// Whether the command may have been carried out.
    pub(crate) maybe_done: bool,
    /// How long the peer took, if it answered at all.
    #[serde(skip)]
    pub(crate) round_trip: Option<Duration>,
}

/// A [`Problem`] on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(super) struct ReportedProblem {
    /// In what way the call failed.
    pub(super) kind: ProblemKind,
    /// The code on the wire, if the peer answered with one.
    pub(super) code: Option<String>,
    /// What happened, for people.
    pub(super) description: String,
    /// Whether the command may have been carried out.
    pub(super) maybe_done: bool,
}

impl ProblemKind {
    /// Whether the peer answered, with whatever it was.
    fn is_answer(self) -> bool {
        match self {
            Self::Declared
            | Self::Unhandled
            | Self::Undeclared
            | Self::Overloaded
            | Self::Unreadable => true,
            Self::TimedOut | Self::Lost | Self::NotConnected | Self::Unsendable => false,
        }
    }
}

impl Problem {
    /// The same problem, after a call that took so long.
    pub(super) fn after(self, time: Duration) -> Self {
        let round_trip = self.kind.is_answer().then_some(time);
        Self { round_trip, ..self }
    }

    /// A problem that the peer has no part in, before anything was sent.
    pub(crate) fn before_sending(kind: ProblemKind, description: impl Into<String>) -> Self {
        Self {
            kind,
            code: None,
            description: description.into(),
            maybe_done: false,
            round_trip: None,
        }
    }

    fn coded(self, code: String) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The peer answered, with something that it should not have.
    pub(crate) fn unreadable(error: &(dyn std::error::Error + 'static)) -> Self {
        let description = format!("the response cannot be read: {}", chain(error));
        let kind = ProblemKind::Unreadable;
        Self { kind, code: None, description, maybe_done: true, round_trip: None }
    }
}

impl From<CallError<PassedError>> for Problem {
    fn from(error: CallError<PassedError>) -> Self {
        let maybe_done = error.maybe_done();
        let (kind, code, description) = match error {
            // No command declares it: a peer that knows commands for streams answers with it by
            // itself, before anything is begun.
            CallError::Declared(PassedError { code, .. }) | CallError::Undeclared { code, .. }
                if code == STREAM_NEEDED =>
            {
                return Self::before_sending(ProblemKind::Unhandled, NEEDS_STREAM).coded(code);
            }
            CallError::Declared(PassedError { code, description, .. }) => {
                (ProblemKind::Declared, Some(code), description)
            }
            CallError::Undeclared { code, description } => {
                (ProblemKind::Undeclared, Some(code), description)
            }
            other => (kind_of(&other), None, chain(&other).to_string()),
        };
        Self { kind, code, description, maybe_done, round_trip: None }
    }
}

fn kind_of(error: &CallError<PassedError>) -> ProblemKind {
    match error {
        CallError::Declared(_) => ProblemKind::Declared,
        CallError::Unhandled { .. } => ProblemKind::Unhandled,
        CallError::Overloaded => ProblemKind::Overloaded,
        CallError::Encode(_) => ProblemKind::Unsendable,
        CallError::Decode(_) => ProblemKind::Unreadable,
        CallError::TimedOut { .. } => ProblemKind::TimedOut,
        CallError::Lost { .. } => ProblemKind::Lost,
        _ => ProblemKind::Undeclared,
    }
}

impl From<Problem> for ReportedProblem {
    fn from(problem: Problem) -> Self {
        let Problem { kind, code, description, maybe_done, round_trip: _ } = problem;
        Self { kind, code, description, maybe_done }
    }
}

impl From<ReportedProblem> for Problem {
    fn from(problem: ReportedProblem) -> Self {
        let ReportedProblem { kind, code, description, maybe_done } = problem;
        Self { kind, code, description, maybe_done, round_trip: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_needs_a_stream_was_not_begun_and_is_not_to_be_called_from_here() {
        let description = "this command is called with a stream".to_owned();
        let passed = |code: &str| PassedError {
            code: code.to_owned(),
            description: description.clone(),
            fatal: false,
        };
        let problem = Problem::from(CallError::Declared(passed("STREAM_NEEDED")));
        assert_eq!((problem.kind, problem.maybe_done), (ProblemKind::Unhandled, false));
        assert_eq!(problem.code.as_deref(), Some("STREAM_NEEDED"));
        assert!(problem.description.contains("from a program, with a stream"), "{problem}");
        assert_eq!(crate::exit::Exit::of_problem(problem.kind), crate::exit::Exit::Usage);
        let declared = Problem::from(CallError::Declared(passed("CELLAR_LOCKED")));
        assert_eq!((declared.kind, declared.maybe_done), (ProblemKind::Declared, true));
    }

    #[test]
    fn a_refusal_keeps_its_code_and_words() {
        let refusal = PassedError {
            code: "CELLAR_LOCKED".to_owned(),
            description: "the cellar is locked".to_owned(),
            fatal: false,
        };
        let problem = Problem::from(CallError::Declared(refusal));
        assert_eq!(problem.kind, ProblemKind::Declared);
        assert_eq!(problem.code.as_deref(), Some("CELLAR_LOCKED"));
        assert_eq!(problem.description, "the cellar is locked");
    }

    #[test]
    fn a_timeout_says_whether_the_command_may_have_been_carried_out() {
        let after = Duration::from_secs(1);
        let problem = Problem::from(CallError::TimedOut { after, maybe_done: true });
        assert_eq!(problem.kind, ProblemKind::TimedOut);
        assert!(problem.maybe_done);
    }

    #[test]
    fn only_what_was_answered_has_a_round_trip() {
        let time = Duration::from_millis(3);
        let after = |kind| Problem::before_sending(kind, "").after(time).round_trip;
        assert_eq!(after(ProblemKind::Declared), Some(time));
        assert_eq!(after(ProblemKind::TimedOut), None);
    }
}
