//! Log lines on stderr. Nothing here or elsewhere logs a secret: the type that holds it prints
//! nothing.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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
    /// A word alone is no level. It could be a target, but then everything else would be silent.
    #[error(
        "`{word}` is not a log level: write off, error, warn, info, debug or trace, or \
         `{word}=debug` for the lines of a target of that name"
    )]
    NotALevel {
        /// The word.
        word: String,
    },
    /// Somebody else set up logging first: our bug.
    #[error("logging is set up already")]
    SetUpAlready(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Writes what passes `filter` to stderr from now on, in colour if `coloured`.
///
/// # Errors
/// [`LogError`].
pub(crate) fn start(filter: &str, format: LogFormat, coloured: bool) -> Result<(), LogError> {
    let parsed = parse(filter)?;
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

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    let words = filter.split(',').map(str::trim).filter(|word| !word.is_empty());
    let mut alone = words.filter(|word| !word.contains(['=', '[']));
    if let Some(word) = alone.find(|word| word.parse::<LevelFilter>().is_err()) {
        return Err(LogError::NotALevel { word: word.to_owned() });
    }
    EnvFilter::try_new(filter)
        .map_err(|error| LogError::BadFilter { filter: filter.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_level_is_refused_and_not_taken_for_a_target() {
        for filter in ["verbose", "inof", "info,mesh=debug,wrn", "mesh"] {
            assert!(matches!(parse(filter), Err(LogError::NotALevel { .. })), "{filter}");
        }
        for filter in ["info", "WARN", "off", "", "info,mesh=debug", "mesh[span]=trace,warn"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        assert!(matches!(parse("mesh=loud"), Err(LogError::BadFilter { .. })));
    }
}
