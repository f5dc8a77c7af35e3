//! What was said on every connection, box by box, for the eyes of whoever mends a failed test.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use amp_proto::{Fields, Incoming, Limits, Scanned, Scanner};
use bytes::{Buf as _, BytesMut};
use tokio::time::Instant;

/// How many lines are kept; the oldest go first.
const LINES_MAX: usize = 4096;
/// How many asks of a connection are remembered until they are answered.
const ASKS_MAX: usize = 4096;
/// The longest text that is shown whole, in bytes.
const SHOWN_MAX: usize = 48;

/// Who said a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Direction {
    /// The cluster, to the region process.
    ToRegion,
    /// The region process, to the cluster.
    ToCluster,
}

/// One box, or something that happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, since the mesh was started; by tokio's clock, which may be paused.
    pub at: Duration,
    /// The region process, by its index.
    pub region: usize,
    /// The cluster, by its index.
    pub cluster: usize,
    /// Which connection of the mesh, counted from 1.
    pub connection: u32,
    /// Who said it; `None` for what was said by nobody.
    pub direction: Option<Direction>,
    /// The box, as text for people.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { region, cluster, connection, .. } = self;
        write!(f, "{:>10.3} s  #{connection:<3} ", self.at.as_secs_f64())?;
        match self.direction {
            Some(Direction::ToRegion) => write!(f, "cluster-{cluster} → region-{region}  "),
            Some(Direction::ToCluster) => write!(f, "region-{region} → cluster-{cluster}  "),
            None => write!(f, "region-{region} ⇄ cluster-{cluster}  "),
        }?;
        f.write_str(&self.text)
    }
}

/// The boxes that went over the connections of a mesh, in the order of time.
///
/// Long values are cut, and proofs of the secret are left out. Only the last few thousand lines are
/// kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The lines that were kept.
    pub lines: Vec<Line>,
    /// How many earlier lines were not.
    pub dropped: u64,
}

impl Transcript {
    /// Only what went over connections of one link.
    #[must_use]
    pub fn of_link(&self, region: usize, cluster: usize) -> Self {
        let is_here = |line: &&Line| line.region == region && line.cluster == cluster;
        Self { lines: self.lines.iter().filter(is_here).cloned().collect(), ..*self }
    }

    /// Only the last lines, so many of them.
    #[must_use]
    pub fn last(mut self, count: usize) -> Self {
        let earlier = self.lines.len().saturating_sub(count);
        self.lines.drain(..earlier);
        self.dropped += u64::try_from(earlier).unwrap_or_default();
        self
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dropped > 0 {
            writeln!(f, "({} earlier lines were dropped)", self.dropped)?;
        }
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Where the lines of a mesh come together.
#[derive(Debug)]
pub(crate) struct Log {
    started: Instant,
    connections: AtomicU32,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<Line>,
    dropped: u64,
}

impl Log {
    pub(crate) fn new() -> Arc<Self> {
        let (connections, kept) = (AtomicU32::new(0), Mutex::default());
        Arc::new(Self { started: Instant::now(), connections, kept })
    }

    pub(crate) fn transcript(&self) -> Transcript {
        let kept = self.kept();
        Transcript { lines: kept.lines.iter().cloned().collect(), dropped: kept.dropped }
    }

    fn push(&self, line: Line) {
        let mut kept = self.kept();
        if kept.lines.len() == LINES_MAX {
            kept.lines.pop_front();
            kept.dropped += 1;
        }
        kept.lines.push_back(line);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads along on one connection.
#[derive(Debug)]
pub(crate) struct Scribe {
    log: Arc<Log>,
    region: usize,
    cluster: usize,
    connection: u32,
    to_region: Half,
    to_cluster: Half,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Half {
    buffer: BytesMut,
    scanner: Scanner,
    /// What was asked in this direction and not answered, by tag.
    asked: HashMap<Vec<u8>, String>,
    /// It is not AMP, so nothing of it can be told.
    astray: bool,
}

impl Scribe {
    pub(crate) fn new(log: Arc<Log>, region: usize, cluster: usize) -> Self {
        let connection = log.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let (to_region, to_cluster) = (Half::default(), Half::default());
        let scribe = Self { log, region, cluster, connection, to_region, to_cluster };
        scribe.push(None, "connected".to_owned());
        scribe
    }

    /// Takes the next bytes of one direction.
    pub(crate) fn read_along(&mut self, direction: Direction, bytes: &[u8]) {
        let (half, back) = match direction {
            Direction::ToRegion => (&mut self.to_region, &mut self.to_cluster),
            Direction::ToCluster => (&mut self.to_cluster, &mut self.to_region),
        };
        let mut texts = Vec::new();
        half.read(bytes, back, &mut texts);
        texts.into_iter().for_each(|text| self.push(Some(direction), text));
    }

    fn push(&self, direction: Option<Direction>, text: String) {
        let Self { region, cluster, connection, .. } = *self;
        let at = self.log.started.elapsed();
        self.log.push(Line { at, region, cluster, connection, direction, text });
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.push(None, "the cluster's end is closed".to_owned());
    }
}

impl Half {
    fn read(&mut self, bytes: &[u8], back: &mut Self, texts: &mut Vec<String>) {
        if self.astray {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        let limits =
            Limits { box_bytes_max: usize::MAX, keys_per_box_max: usize::MAX, ..Limits::default() };
        loop {
            match self.scanner.scan(&self.buffer, &limits) {
                Ok(Scanned::Whole { bytes }) => {
                    let place = self.buffer.get(..bytes).unwrap_or_default();
                    let fields = Fields::in_place(place, self.scanner.spans(), &limits);
                    texts.push(text_of(&fields, &mut self.asked, &mut back.asked));
                    self.buffer.advance(bytes);
                    self.scanner.reset();
                }
                Ok(_) => return,
                Err(error) => {
                    texts.push(format!("no AMP from here on: {error}"));
                    self.astray = true;
                    self.buffer = BytesMut::new();
                    return;
                }
            }
        }
    }
}

/// A box in one line. `asked` is what this side asked, `asked_back` what the other did.
fn text_of(
    fields: &Fields<'_>,
    asked: &mut HashMap<Vec<u8>, String>,
    asked_back: &mut HashMap<Vec<u8>, String>,
) -> String {
    let (head, is_proof) = match Incoming::of(*fields) {
        Ok(Incoming::Ask(ask)) => {
            let command = printable(ask.command);
            let head = match ask.tag {
                Some(tag) => {
                    if asked.len() >= ASKS_MAX {
                        asked.clear();
                    }
                    asked.insert(tag.to_vec(), command.clone());
                    format!("ask {} {command}", printable(tag))
                }
                None => format!("tell {command}"),
            };
            (head, false)
        }
        Ok(Incoming::Answer { tag, .. }) => {
            let command = asked_back.remove(tag).unwrap_or_else(|| "(unknown)".to_owned());
            let is_proof = command == "Authenticate";
            (format!("answer {} {command}", printable(tag)), is_proof)
        }
        Ok(Incoming::Error { tag, .. }) => {
            let command = asked_back.remove(tag).unwrap_or_else(|| "(unknown)".to_owned());
            (format!("error {} {command}", printable(tag)), false)
        }
        Err(error) => (error.to_string(), false),
    };
    let mut text = head;
    for (key, value) in fields.iter() {
        if matches!(key, b"_ask" | b"_command" | b"_answer" | b"_error") {
            continue;
        }
        let shown = if is_proof { "(withheld)".to_owned() } else { shown(value.bytes()) };
        text.push_str(&format!("  {}={shown}", printable(key)));
    }
    text
}

fn shown(value: &[u8]) -> String {
    let text = std::str::from_utf8(value).ok().filter(|text| !text.contains('\0'));
    let Some(text) = text else { return format!("({} bytes)", value.len()) };
    if text.len() <= SHOWN_MAX {
        return format!("{text:?}");
    }
    let start = text.get(..text.floor_char_boundary(SHOWN_MAX)).unwrap_or_default();
    format!("{start:?}… ({} bytes)", value.len())
}

fn printable(bytes: &[u8]) -> String {
    bytes.get(..SHOWN_MAX).unwrap_or(bytes).escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scribe() -> (Arc<Log>, Scribe) {
        let log = Log::new();
        (Arc::clone(&log), Scribe::new(log, 0, 1))
    }

    fn texts(log: &Log) -> Vec<String> {
        log.transcript().lines.into_iter().skip(1).map(|line| line.text).collect()
    }

    #[test]
    fn a_box_becomes_a_line_when_its_last_byte_has_come() {
        let (log, mut scribe) = scribe();
        for byte in b"\0\x04_ask\0\x011\0\x08_command\0\x03Sum\0\x01a\0\x027\n\0\0" {
            assert_eq!(texts(&log), Vec::<String>::new());
            scribe.read_along(Direction::ToRegion, &[*byte]);
        }
        scribe.read_along(Direction::ToCluster, b"\0\x07_answer\0\x011\0\x05total\0\x01\xff\0\0");
        assert_eq!(texts(&log), [r#"ask 1 Sum  a="7\n""#, "answer 1 Sum  total=(1 bytes)"]);
    }

    #[test]
    fn proofs_of_the_secret_are_withheld() {
        let (log, mut scribe) = scribe();
        let ask = b"\0\x04_ask\0\x011\0\x08_command\0\x0cAuthenticate\0\0";
        scribe.read_along(Direction::ToCluster, ask);
        let answer = b"\0\x07_answer\0\x011\0\x06digest\0\x04code\0\x04salt\0\x02na\0\0";
        scribe.read_along(Direction::ToRegion, answer);
        let expected =
            ["ask 1 Authenticate", "answer 1 Authenticate  digest=(withheld)  salt=(withheld)"];
        assert_eq!(texts(&log), expected);
    }

    #[test]
    fn what_is_not_amp_is_said_to_be_none_and_nothing_more() {
        let (log, mut scribe) = scribe();
        scribe.read_along(Direction::ToRegion, b"GET / HTTP/1.1\r\n");
        scribe.read_along(Direction::ToRegion, b"\r\n");
        assert_eq!(texts(&log).len(), 1);
    }

    #[test]
    fn the_oldest_lines_go_first() {
        let (log, mut scribe) = scribe();
        for _ in 0..LINES_MAX + 9 {
            scribe.read_along(Direction::ToRegion, b"\0\0");
        }
        let transcript = log.transcript();
        assert_eq!((transcript.lines.len(), transcript.dropped), (LINES_MAX, 10));
        assert_eq!(transcript.of_link(0, 1).lines.len(), LINES_MAX);
        assert_eq!(transcript.of_link(1, 1).lines.len(), 0);
        let last = transcript.last(7);
        assert_eq!((last.lines.len(), last.dropped), (7, u64::try_from(LINES_MAX + 3).unwrap()));
    }
}
