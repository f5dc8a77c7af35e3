//! Where the program writes: two streams it was given, and whether they are looked at by people.

use std::io::{self, IsTerminal as _, Write};

/// The two streams of a command.
pub(crate) struct Terminal<'a> {
    /// Results.
    pub(crate) out: &'a mut (dyn Write + Send),
    /// What is said on the way.
    pub(crate) err: &'a mut (dyn Write + Send),
    /// How to write to `out`.
    pub(crate) style: Style,
    /// How to write to `err`.
    pub(crate) err_style: Style,
}

impl Terminal<'_> {
    /// Writes a value as JSON, on lines of its own.
    ///
    /// # Errors
    /// Those of the stream.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *self.out, value)?;
        writeln!(self.out)
    }
}

/// Whether text may be decorated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    decorated: bool,
}

impl Style {
    /// Letters and nothing else.
    pub(crate) fn plain() -> Self {
        Self { decorated: false }
    }

    /// Decorated if stdout is a terminal that is able to, and nobody objects by `NO_COLOR`.
    pub(crate) fn of_stdout() -> Self {
        Self::of_stream(io::stdout().is_terminal())
    }

    /// As [`Style::of_stdout`].
    pub(crate) fn of_stderr() -> Self {
        Self::of_stream(io::stderr().is_terminal())
    }

    fn of_stream(is_terminal: bool) -> Self {
        let welcome = is_terminal && decorations_are_welcome();
        if welcome { Self { decorated: true } } else { Self::plain() }
    }

    /// Whether it is not plain.
    pub(crate) fn is_decorated(self) -> bool {
        self.decorated
    }

    /// Bold.
    pub(crate) fn strong(self, text: &str) -> String {
        self.wrapped("1", text)
    }

    /// Faint.
    pub(crate) fn faint(self, text: &str) -> String {
        self.wrapped("2", text)
    }

    /// For what went well.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrapped("32", text)
    }

    /// For what did not.
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrapped("31", text)
    }

    fn wrapped(self, code: &str, text: &str) -> String {
        if self.decorated { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// <https://no-color.org>: set and not empty means no.
fn decorations_are_welcome() -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    !no_color && !dumb
}
