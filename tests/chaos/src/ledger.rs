//! What each process writes down of its calls, to be judged when all is over.
//!
//! A line is one write at the end of a file that nobody else writes to: it survives the process
//! that wrote it, however that ended.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// The book of one life of one process.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
}

/// How a call ended, as its caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum End {
    /// With the answer, or with an error that the command declares: it was carried out.
    Answered,
    /// It may have been carried out.
    Maybe,
    /// It was not carried out.
    NotDone,
    /// There was nobody to ask.
    Nobody,
    /// With an answer that is another's.
    Mismatched,
}

impl End {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Answered, "answered"),
        (Self::Maybe, "maybe"),
        (Self::NotDone, "not-done"),
        (Self::Nobody, "nobody"),
        (Self::Mismatched, "mismatched"),
    ];

    pub(crate) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(end, _)| *end == self).map_or("", |(_, word)| word)
    }
}

/// A line of a ledger.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    /// A caller begins.
    Begun { id: u64, kind: String },
    /// A caller was told. `late` is by how much the slowest of its tries missed its time.
    Ended { id: u64, end: End, late: Duration, why: String },
    /// A responder carries it out.
    Done { id: u64 },
    /// A responder saw items that cannot be.
    Wrong { id: u64, why: String },
}

impl Ledger {
    /// Opens a file that is not there yet.
    ///
    /// # Errors
    /// It is there, or cannot be made.
    pub(crate) fn new(path: &Path) -> std::io::Result<Self> {
        Ok(Self { file: File::options().append(true).create_new(true).open(path)? })
    }

    /// Writes a line, with one write.
    ///
    /// # Errors
    /// The disk is full, say. Whoever cannot write down what is done must not do it.
    pub(crate) fn write(&self, entry: &Entry) -> std::io::Result<()> {
        let line = entry.to_line();
        let written = (&self.file).write(line.as_bytes())?;
        if written == line.len() { Ok(()) } else { Err(std::io::ErrorKind::WriteZero.into()) }
    }
}

impl Entry {
    fn to_line(&self) -> String {
        match self {
            Self::Begun { id, kind } => format!("b {id} {kind}\n"),
            Self::Ended { id, end, late, why } => {
                let why = why.replace('\n', " ");
                format!("e {id} {} {} {why}\n", end.word(), late.as_millis())
            }
            Self::Done { id } => format!("x {id}\n"),
            Self::Wrong { id, why } => format!("w {id} {}\n", why.replace('\n', " ")),
        }
    }

    /// Reads a line. A line that was cut short by a crash of the machine is none.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let (sign, rest) = line.split_once(' ')?;
        let (id, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let id = id.parse().ok()?;
        Some(match sign {
            "b" => Self::Begun { id, kind: rest.to_owned() },
            "e" => {
                let mut words = rest.splitn(3, ' ');
                let word = words.next()?;
                let (end, _) = *End::ALL.iter().find(|(_, its)| *its == word)?;
                let late = Duration::from_millis(words.next()?.parse().ok()?);
                let why = words.next().unwrap_or_default().to_owned();
                Self::Ended { id, end, late, why }
            }
            "x" => Self::Done { id },
            "w" => Self::Wrong { id, why: rest.to_owned() },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let late = Duration::from_millis(7);
        let entries = [
            Entry::Begun { id: 1, kind: "plain".to_owned() },
            Entry::Done { id: 1 },
            Entry::Wrong { id: 9, why: "3 after 1".to_owned() },
            Entry::Ended { id: 1, end: End::Answered, late, why: String::new() },
            Entry::Ended { id: 2, end: End::Maybe, late, why: "Lost { a b }".to_owned() },
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let ledger = Ledger::new(&path).unwrap();
        for entry in &entries {
            ledger.write(entry).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let read: Vec<_> = text.lines().map(|line| Entry::from_line(line).unwrap()).collect();
        assert_eq!(read, entries);
        assert!(Ledger::new(&path).is_err(), "a life has a ledger of its own");
    }
}
