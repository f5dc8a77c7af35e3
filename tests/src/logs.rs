//! The log of a test, to be looked at.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

/// Everything that is logged on this thread, at any level, while this value lives; only what the
/// runtime says of itself is left out.
///
/// A test on a current-thread runtime hears all tasks of its mesh. Nothing is printed.
#[derive(Debug)]
pub struct Logs {
    lines: Arc<Mutex<Vec<u8>>>,
    _guard: DefaultGuard,
}

impl Logs {
    /// Begins to listen.
    #[must_use]
    pub fn capture() -> Self {
        let lines: Arc<Mutex<Vec<u8>>> = Arc::default();
        let writer = Writer(Arc::clone(&lines));
        let heard = Targets::new()
            .with_default(LevelFilter::TRACE)
            .with_targets([("mio", LevelFilter::OFF), ("tokio", LevelFilter::OFF)]);
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .with_filter(heard);
        let subscriber = tracing_subscriber::registry().with(layer);
        let guard = tracing::subscriber::set_default(subscriber);
        Self { lines, _guard: guard }
    }

    /// All lines so far.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&lines).into_owned()
    }

    /// The lines that contain `words`.
    #[must_use]
    pub fn lines_with(&self, words: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_heard_and_nothing_after_the_end() {
        let logs = Logs::capture();
        tracing::trace!("a whisper");
        tracing::error!(what = "fire", "a cry");
        assert_eq!(logs.lines_with("whisper").len(), 1);
        assert_eq!(logs.lines_with("what=\"fire\"").len(), 1);
    }
}
