//! What a connection will hold at most. Nothing is unbounded.

use core::time::Duration;

/// The bounds of one connection. Each says what happens when it is reached.
///
/// The defaults suit a mesh of trusted peers on ordinary machines; `Limits { box_bytes_max:
/// 65_536, ..Limits::default() }` changes one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one box, as it stands on the wire. A larger one from the peer closes the
    /// connection; a larger one of ours goes in pieces between two of us, and is refused before
    /// anything is sent where it cannot. Default 1 MiB.
    pub box_bytes_max: usize,
    /// Keys in one box, ours or the peer's, as above. Default 256.
    pub keys_per_box_max: usize,
    /// Bytes that one compressed value may decompress to. Beyond it that one ask is refused.
    /// Default 4 MiB.
    pub decompressed_bytes_max: usize,
    /// Asks of ours that may be in flight on one connection, those with streams among them. Further
    /// calls wait for their turn, each no longer than its own deadline; with a stream they are
    /// refused, `OVERLOADED`. Default 1,024.
    pub asks_in_flight_max: usize,
    /// Asks whose caller went away and whose answers are still due. Beyond it late answers are no
    /// longer told from answers to nothing. Default 4,096.
    pub asks_forgotten_max: usize,
    /// Asks of the peer that we work on at once. Further ones are refused with the code
    /// `OVERLOADED`. Default 1,024.
    pub responders_running_max: usize,
    /// Bytes that wait to be written. Beyond it calls wait, and with streams none is begun. When so
    /// much are answers to the peer, nothing more is read from it; sixteen times as much while we
    /// expect answers ourselves, for the two sides might else wait for each other. Default 1 MiB.
    pub outbound_bytes_max: usize,
    /// How long waiting bytes may make no progress at all before the peer counts as a reader that
    /// went away, and the connection is closed. Default 10 s.
    pub outbound_stalled_max: Duration,
    /// How long a connection that closes may take to send what it still has, large answers
    /// included. Default 2 s.
    pub closing_timeout: Duration,
    /// How long a peer that has closed its side may wait for the answers that are still due to it.
    /// Default 5 s.
    pub half_closed_timeout: Duration,
    /// Streams that may be open on one connection for each side that asked. Beyond it calls with
    /// streams are refused, `OVERLOADED`. Default 64.
    pub streams_max: usize,
    /// Bytes of items that one stream may hold before its reader has taken them, and of pieces of
    /// large boxes that may be on their way. At it the sender waits. So much goes in one round
    /// trip, so more is faster where the way is long; with less, small calls on the same
    /// connection wait less. Default 64 KiB.
    pub stream_window_bytes: usize,
    /// Bytes of one ask or answer that goes in pieces, as those beyond
    /// [`Exchange::PART_BYTES`](crate::Exchange::PART_BYTES) do between two of us. Four such may be
    /// under way at once in each direction. On a connection where it is less than `box_bytes_max`,
    /// the smaller of both sides each, nothing goes in pieces. Default 16 MiB.
    pub large_bytes_max: usize,
    /// How long a process remembers what it answered to a call that is made once, from when its id
    /// was made. Older ids are refused. Default 2 min.
    pub once_window: Duration,
    /// Answers that a process remembers. While there are so many no further call that is made once
    /// is begun, `OVERLOADED`. Default 16,384.
    pub once_answers_max: usize,
    /// Bytes that remembered answers may take, and 4 KiB for each that is still to come, before the
    /// same happens. A larger answer that finds no room is given to those who wait for it, and not
    /// kept. Default 16 MiB.
    pub once_bytes_max: usize,
    /// How long a call waits for its answer if it does not say. Default 30 s.
    pub call_timeout: Duration,
    /// How long authentication and registration may take together. Default 5 s.
    pub handshake_timeout: Duration,
    /// Bytes that a peer may send before it has proved who it is. Default 8 KiB.
    pub handshake_bytes_max: usize,
    /// Asks that a peer may have waiting before it has proved who it is. Default 4.
    pub handshake_asks_max: usize,
    /// Silence after which the peer is asked for a sign of life. Default 5 s.
    pub ping_after: Duration,
    /// Silence after which the peer counts as dead. Default 15 s.
    pub dead_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            box_bytes_max: 1024 * 1024,
            keys_per_box_max: 256,
            decompressed_bytes_max: 4 * 1024 * 1024,
            asks_in_flight_max: 1024,
            asks_forgotten_max: 4096,
            responders_running_max: 1024,
            outbound_bytes_max: 1024 * 1024,
            outbound_stalled_max: Duration::from_secs(10),
            closing_timeout: Duration::from_secs(2),
            half_closed_timeout: Duration::from_secs(5),
            streams_max: 64,
            stream_window_bytes: 64 * 1024,
            large_bytes_max: 16 * 1024 * 1024,
            once_window: Duration::from_secs(120),
            once_answers_max: 16_384,
            once_bytes_max: 16 * 1024 * 1024,
            call_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(5),
            handshake_bytes_max: 8 * 1024,
            handshake_asks_max: 4,
            ping_after: Duration::from_secs(5),
            dead_after: Duration::from_secs(15),
        }
    }
}

/// A limit with which no mesh can work. The fault is in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the limit `{limit}` has to be {needs}")]
pub struct UnusableLimit {
    /// The name of the field of [`Limits`].
    pub limit: &'static str,
    /// What it has to be.
    pub needs: &'static str,
}

impl Limits {
    /// The least [`Limits::box_bytes_max`]: the boxes of the handshake have to fit.
    pub const BOX_BYTES_LEAST: usize = 1024;
    /// The least [`Limits::keys_per_box_max`]: the mesh's own commands have to fit.
    pub const KEYS_PER_BOX_LEAST: usize = 16;

    /// Finds the first limit with which nothing could work at all.
    ///
    /// # Errors
    /// [`UnusableLimit`], which names it and says what it has to be.
    pub fn check(&self) -> Result<(), UnusableLimit> {
        let needs = |limit, is_usable, needs| {
            if is_usable { Ok(()) } else { Err(UnusableLimit { limit, needs }) }
        };
        let is_box_usable = self.box_bytes_max >= Self::BOX_BYTES_LEAST;
        needs("box_bytes_max", is_box_usable, "at least 1024, for the mesh's own boxes")?;
        let are_keys_usable = self.keys_per_box_max >= Self::KEYS_PER_BOX_LEAST;
        needs("keys_per_box_max", are_keys_usable, "at least 16, for the mesh's own commands")?;
        let is_handshake_usable = self.handshake_bytes_max >= Self::BOX_BYTES_LEAST;
        needs("handshake_bytes_max", is_handshake_usable, "at least 1024, for the proof")?;
        needs("asks_in_flight_max", self.asks_in_flight_max > 0, "at least 1")?;
        needs("responders_running_max", self.responders_running_max > 0, "at least 1")?;
        needs("outbound_bytes_max", self.outbound_bytes_max > 0, "at least 1")?;
        needs("large_bytes_max", self.large_bytes_max > 0, "at least 1")?;
        needs("stream_window_bytes", self.stream_window_bytes > 0, "at least 1")?;
        for (limit, time) in [
            ("outbound_stalled_max", self.outbound_stalled_max),
            ("call_timeout", self.call_timeout),
            ("handshake_timeout", self.handshake_timeout),
            ("ping_after", self.ping_after),
        ] {
            needs(limit, !time.is_zero(), "more than no time")?;
        }
        needs("dead_after", self.dead_after > self.ping_after, "more than `ping_after`")
    }
}

/// The limits of one box that is written: those of a connection, or what is large has others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BoxLimits {
    pub(crate) bytes_max: usize,
    pub(crate) keys_max: usize,
}

impl From<&Limits> for BoxLimits {
    fn from(limits: &Limits) -> Self {
        Self { bytes_max: limits.box_bytes_max, keys_max: limits.keys_per_box_max }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn the_defaults_are_usable() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn what_nothing_can_work_with_is_named() {
        let usual = Limits::default;
        for (limits, name) in [
            (Limits { box_bytes_max: 10, ..usual() }, "box_bytes_max"),
            (Limits { keys_per_box_max: 0, ..usual() }, "keys_per_box_max"),
            (Limits { handshake_bytes_max: 0, ..usual() }, "handshake_bytes_max"),
            (Limits { asks_in_flight_max: 0, ..usual() }, "asks_in_flight_max"),
            (Limits { responders_running_max: 0, ..usual() }, "responders_running_max"),
            (Limits { outbound_bytes_max: 0, ..usual() }, "outbound_bytes_max"),
            (Limits { large_bytes_max: 0, ..usual() }, "large_bytes_max"),
            (Limits { stream_window_bytes: 0, ..usual() }, "stream_window_bytes"),
            (Limits { call_timeout: Duration::ZERO, ..usual() }, "call_timeout"),
            (Limits { dead_after: Duration::from_secs(1), ..usual() }, "dead_after"),
        ] {
            assert_eq!(limits.check().unwrap_err().limit, name);
        }
        let hasty = Limits { dead_after: Duration::from_secs(1), ..usual() };
        assert_eq!(
            hasty.check().unwrap_err().to_string(),
            "the limit `dead_after` has to be more than `ping_after`"
        );
    }
}
