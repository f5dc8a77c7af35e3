//! Log lines on stderr. Nothing here or elsewhere logs a secret: the type that holds it prints
//! nothing.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Log lines cannot be written as asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LogError {
    /// The filter is not one. Whoever gave it is to correct it.
    #[error("`{filter}` is not a log filter; write a level, or a list such as `info,mesh=debug`")]
    BadFilter {
        /// What was given.
        filter: String,
        /// What is the matter with it.
        #[source]
        error: tracing_subscriber::filter::ParseError,
    },
    /// Somebody else set up logging first: our bug.
    #[error("logging is set up already")]
    SetUpAlready(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Writes what passes `filter` to stderr from now on, in colour if `coloured`.
///
/// # Errors
/// [`LogError::BadFilter`].
pub(crate) fn start(filter: &str, format: LogFormat, coloured: bool) -> Result<(), LogError> {
    let parsed = EnvFilter::try_new(filter)
        .map_err(|error| LogError::BadFilter { filter: filter.to_owned(), error })?;
    // A child whose parent died has nobody left to read its log lines, and must still drain: that
    // a line cannot be written is no reason for another one.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(io::stderr)
        .with_ansi(coloured)
        .log_internal_errors(false);
    match format {
        LogFormat::Text => lines.compact().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(LogError::SetUpAlready)
}
