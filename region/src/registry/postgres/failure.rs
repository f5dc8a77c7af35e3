//! What went wrong with the database, in a form that can be told to several callers.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::registry::{RegistryError, SharedError};

/// A [`RegistryError`] that can be told more than once.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    place: String,
    kind: Kind,
    /// Whether the connection is still good for other questions.
    pub(super) spares_connection: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Unreachable(SharedError),
    Refused(SharedError),
    Unencrypted(SharedError),
    Forbidden(SharedError),
    TooSlow(Duration),
    TooNew { found: i64, known: i64 },
    TooMany { what: &'static str, max: usize },
    Database(SharedError),
}

impl Failure {
    /// What an error of the client means.
    pub(super) fn of(error: Error, place: &str) -> Self {
        let code = error.code().cloned();
        // The client does not tell its kinds of errors apart in any other way.
        let words = error.to_string();
        // "db error" says nothing that its source does not say better.
        let error: SharedError = match (&code, error) {
            (Some(_), error) => error.into_source().map_or_else(|| Arc::from(unnamed()), Arc::from),
            (None, error) => Arc::new(error),
        };
        let kind = match (&code, words.as_str()) {
            (Some(code), _) => of_code(code, error),
            (None, "error performing TLS handshake") => Kind::Unencrypted(error),
            (None, "authentication error" | "invalid configuration") => Kind::Refused(error),
            (None, _) => Kind::Unreachable(error),
        };
        let spares_connection = code.is_some_and(|code| {
            // It took too long, or two were in each other's way.
            code == SqlState::QUERY_CANCELED
                || code == SqlState::LOCK_NOT_AVAILABLE
                || code.code().starts_with("40")
        });
        Self { place: place.to_owned(), kind, spares_connection }
    }

    /// The connection has ended without a word.
    pub(super) fn ended(place: &str) -> Self {
        let error = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        Self::new(place, Kind::Unreachable(Arc::new(error)))
    }

    /// No answer within `limit`.
    pub(super) fn too_slow(place: &str, limit: Duration) -> Self {
        Self::new(place, Kind::TooSlow(limit))
    }

    /// It was not our turn within `limit`.
    pub(super) fn too_busy(place: &str, limit: Duration) -> Self {
        Self { spares_connection: true, ..Self::too_slow(place, limit) }
    }

    /// The settings are not good any more.
    pub(super) fn refused(place: &str, error: SharedError) -> Self {
        Self::new(place, Kind::Refused(error))
    }

    pub(super) fn too_new(place: &str, found: i64, known: i64) -> Self {
        Self::new(place, Kind::TooNew { found, known })
    }

    pub(super) fn too_many(place: &str, what: &'static str, max: usize) -> Self {
        Self { spares_connection: true, ..Self::new(place, Kind::TooMany { what, max }) }
    }

    fn new(place: &str, kind: Kind) -> Self {
        Self { place: place.to_owned(), kind, spares_connection: false }
    }

    /// Whether only a person can mend it.
    pub(super) fn is_refusal(&self) -> bool {
        match self.kind {
            Kind::Refused(_) | Kind::Unencrypted(_) | Kind::Forbidden(_) | Kind::TooNew { .. } => {
                true
            }
            Kind::Unreachable(_) | Kind::TooSlow(_) | Kind::TooMany { .. } | Kind::Database(_) => {
                false
            }
        }
    }

    /// For one who is told.
    pub(super) fn tell(&self) -> RegistryError {
        let place = self.place.clone();
        match self.kind.clone() {
            Kind::Unreachable(error) => RegistryError::Unreachable { place, error },
            Kind::Refused(error) => RegistryError::Refused { place, error },
            Kind::Unencrypted(error) => RegistryError::Unencrypted { place, error },
            Kind::Forbidden(error) => RegistryError::Forbidden { place, error },
            Kind::TooSlow(limit) => RegistryError::TooSlow { place, limit },
            Kind::TooNew { found, known } => RegistryError::TooNew { found, known },
            Kind::TooMany { what, max } => RegistryError::TooMany { what, max },
            Kind::Database(error) => RegistryError::Database(Box::new(error)),
        }
    }
}

fn of_code(code: &SqlState, error: SharedError) -> Kind {
    match code.code() {
        // Who may connect; and no such database.
        refused if refused.starts_with("28") || refused == "3D000" => Kind::Refused(error),
        "42501" => Kind::Forbidden(error),
        // The server ends or starts, has no room, or was made a standby.
        gone if gone.starts_with("57P") || gone.starts_with("53") || gone == "25006" => {
            Kind::Unreachable(error)
        }
        _ => Kind::Database(error),
    }
}

fn unnamed() -> Box<dyn std::error::Error + Send + Sync> {
    "the server said no more".into()
}
