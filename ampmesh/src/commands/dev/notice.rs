//! What is told of the processes while they run.

use std::io::{self, Write};

use tokio::sync::mpsc;

use crate::terminal::Style;
use crate::text::harmless;

/// How many notices may wait to be told; a process that says more waits.
pub(super) const NOTICES_MAX: usize = 256;

/// Something that happened to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// Whose.
    pub(super) name: String,
    /// What.
    pub(super) what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It wrote this line to stderr.
    Said(String),
    /// It ended without being told to.
    Died {
        /// Its process id.
        pid: u32,
        /// How: `died: signal: 9 (SIGKILL)`.
        how: String,
        /// Whether it is started again.
        again: bool,
    },
    /// It is up again.
    Back {
        /// Its process id.
        pid: u32,
    },
    /// It did not end when told to, and was killed.
    Killed,
}

impl Notice {
    fn write(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let Self { name, what } = self;
        match what {
            What::Said(line) => {
                writeln!(out, "{} {}", style.faint(&format!("{name} |")), harmless(line))
            }
            What::Died { pid, how, again } => {
                let then = if *again { "starting it again" } else { "giving it up" };
                let text = format!("{name} (pid {pid}) {how}; {then}");
                writeln!(out, "{}", style.bad(&text))
            }
            What::Back { pid } => {
                writeln!(out, "{}", style.good(&format!("{name} is up again (pid {pid})")))
            }
            What::Killed => writeln!(out, "{name} did not end in time and was killed"),
        }
    }
}

/// Tells everything that happens until nobody is left to whom something can happen.
///
/// # Errors
/// Those of `out`. Nothing more is told then, and nobody waits to be heard.
///
/// # Cancellation
/// No notice is lost.
pub(super) async fn tell(
    notices: &mut mpsc::Receiver<Notice>,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    while let Some(notice) = notices.recv().await {
        if let Err(error) = notice.write(out, style).and_then(|()| out.flush()) {
            notices.close();
            return Err(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_told_with_its_cause_and_what_follows() {
        let what = What::Died { pid: 7, how: "died: signal: 9 (SIGKILL)".to_owned(), again: true };
        let mut out = Vec::new();
        Notice { name: "cluster-1".to_owned(), what }.write(&mut out, Style::plain()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "cluster-1 (pid 7) died: signal: 9 (SIGKILL); starting it again\n"
        );
    }
}
