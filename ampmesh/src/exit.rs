//! Exit codes: the one table that says what a failure is to the caller.

use std::io;

use amp_proto::CallError;
use cluster::JoinError;
use mesh::commands::CannotJoin;
use region::RegistryError;

use crate::arguments::ArgumentsError;
use crate::commands::keys::KeyChoiceError;
use crate::config::ConfigError;
use crate::keys::KeyFileError;
use crate::logging::LogError;
use crate::operator::{OperatorError, Problem, ProblemKind, ServeError};
use crate::private::PrivateError;
use crate::target::TargetError;

/// How a subcommand ended. The higher of two codes is the one to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// It went well.
    Ok,
    /// It failed in a way nobody foresaw.
    Failed,
    /// The command line, the configuration or an argument is wrong.
    Usage,
    /// The peer refused.
    Declared,
    /// There is no such target.
    NoTarget,
    /// No answer came.
    NoAnswer,
    /// No region process can be reached.
    NoRegion,
}

impl Exit {
    /// The number that the operating system gets.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Declared => 3,
            Self::NoTarget => 4,
            Self::NoAnswer => 5,
            Self::NoRegion => 6,
        }
    }

    /// The word for it in JSON.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Declared => "declared",
            Self::NoTarget => "no-target",
            Self::NoAnswer => "no-answer",
            Self::NoRegion => "no-region",
        }
    }

    /// What an error of the program means.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(of_cause).unwrap_or(Self::Failed)
    }

    /// What a failed call means.
    pub(crate) fn of_problem(kind: ProblemKind) -> Self {
        match kind {
            ProblemKind::Declared => Self::Declared,
            ProblemKind::Unhandled | ProblemKind::Unsendable => Self::Usage,
            ProblemKind::Undeclared | ProblemKind::Unreadable => Self::Failed,
            ProblemKind::NotConnected => Self::NoTarget,
            ProblemKind::TimedOut | ProblemKind::Lost | ProblemKind::Overloaded => Self::NoAnswer,
        }
    }
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(Problem { kind, .. }) = cause.downcast_ref() {
        return Some(Exit::of_problem(*kind));
    }
    match cause.downcast_ref() {
        Some(TargetError::Empty) => return Some(Exit::Usage),
        Some(TargetError::Silent { .. }) => return Some(Exit::NoAnswer),
        Some(_) => return Some(Exit::NoTarget),
        None => {}
    }
    match cause.downcast_ref() {
        Some(OperatorError::Failed { .. } | OperatorError::NoAnswer { .. }) => {
            return Some(Exit::NoAnswer);
        }
        Some(OperatorError::Refused { .. }) => return Some(Exit::Declared),
        Some(_) => return Some(Exit::NoRegion),
        None => {}
    }
    if cause.downcast_ref::<KeyChoiceError>().is_some() {
        return Some(Exit::NoTarget);
    }
    if let Some(error) = cause.downcast_ref() {
        return Some(of_joining(error));
    }
    if let Some(error) = cause.downcast_ref() {
        return of_registry(error);
    }
    let is_usage = cause.downcast_ref::<ConfigError>().is_some()
        || cause.downcast_ref::<ArgumentsError>().is_some()
        || cause.downcast_ref::<LogError>().is_some()
        || cause.downcast_ref::<PrivateError>().is_some()
        || cause.downcast_ref::<ServeError>().is_some()
        || cause.downcast_ref::<region::StartError>().is_some_and(is_of_settings)
        || cause.downcast_ref::<cluster::StartError>().is_some()
        || cause.downcast_ref::<KeyFileError>().is_some()
        || cause.downcast_ref::<mesh::TokenError>().is_some()
        || cause.downcast_ref::<mesh::SecretError>().is_some()
        || cause.downcast_ref::<mesh::X509Error>().is_some();
    is_usage.then_some(Exit::Usage)
}

fn of_joining(error: &JoinError) -> Exit {
    match error {
        // Nothing is wrong with the token, and a later try may do.
        JoinError::Refused { error: CallError::Declared(CannotJoin::Unavailable), .. } => {
            Exit::NoAnswer
        }
        JoinError::Refused { error: CallError::Declared(_), .. } => Exit::Declared,
        JoinError::Handshake { error, .. } if error.is_refusal() => Exit::Declared,
        _ => Exit::NoAnswer,
    }
}

/// Whether the reader of our output went away: no failure, and nobody to tell.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        kind == Some(io::ErrorKind::BrokenPipe)
    })
}

fn of_registry(error: &RegistryError) -> Option<Exit> {
    match error {
        RegistryError::Settings(_)
        | RegistryError::Refused { .. }
        | RegistryError::Unencrypted { .. }
        | RegistryError::Forbidden { .. } => Some(Exit::Usage),
        RegistryError::Unreachable { .. } | RegistryError::TooSlow { .. } => Some(Exit::NoAnswer),
        _ => None,
    }
}

/// What is wrong with the registry, that decides; all else that keeps a region from starting is of
/// the settings.
fn is_of_settings(error: &region::StartError) -> bool {
    !matches!(error, region::StartError::Registry(_) | region::StartError::Keys(_))
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_cause_decides_however_deep_it_lies() {
        let error = anyhow::Error::new(ConfigError::NoRegion).context("cannot start");
        assert_eq!(Exit::of(&error), Exit::Usage);
        let error = anyhow::Error::new(TargetError::NoClusters).context("cannot call");
        assert_eq!(Exit::of(&error).code(), 4);
        let silent = TargetError::silent("north", std::time::Duration::from_secs(1), true);
        assert_eq!(Exit::of(&silent.into()).code(), 5);
        assert_eq!(Exit::of(&TargetError::Empty.into()).code(), 2);
        assert_eq!(Exit::of(&anyhow::anyhow!("something else")), Exit::Failed);
    }

    #[test]
    fn a_reader_that_went_away_is_noticed() {
        let error = Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert!(is_broken_pipe(&error.unwrap_err()));
    }
}
