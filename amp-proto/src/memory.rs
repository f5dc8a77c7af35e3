//! How much memory a peer can make a process hold, from the limits.

use crate::Limits;
use crate::connection::{Exchange, Inbound};

/// One part of what a connection may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryShare {
    /// What it is for, in a few words, with the limits that it follows from.
    pub what: &'static str,
    /// Bytes, at the most.
    pub bytes: usize,
}

impl Limits {
    /// So many large boxes may be under way at once in each direction, and asks of so many of the
    /// largest may be being answered.
    pub const LARGE_AT_ONCE_MAX: usize = 4;
    /// What TLS, the stream and the tasks of a connection take, in bytes: TLS holds a message of
    /// its handshake of 64 KiB at the most as it came and as it was read, and later a record of 16
    /// KiB each way and 64 KiB that wait to be sent.
    const FIXED_BYTES: usize = 384 * 1024;
    /// What the mesh needs beside the bytes of an ask that waits for something.
    const RESPONDER_BYTES: usize = 4 * 1024;
    /// What an ask of ours needs beside its bytes, with the room that a table grows by.
    const ASK_BYTES: usize = 512;
    /// So many threads may write an answer of less than [`Exchange::PART_BYTES`] at the same
    /// moment.
    const WRITERS: usize = 8;

    /// Bytes of the peer's asks that may wait for something at once; further ones are refused,
    /// `OVERLOADED`. Four of the largest.
    #[must_use]
    pub fn asks_bytes_max(&self) -> usize {
        let largest = self.large_bytes_max.max(self.box_bytes_max);
        largest.saturating_mul(Self::LARGE_AT_ONCE_MAX)
    }

    /// Bytes of large boxes that may be under way at once in one direction.
    #[must_use]
    pub(crate) fn large_at_once_bytes_max(&self) -> usize {
        self.large_bytes_max.saturating_mul(Self::LARGE_AT_ONCE_MAX)
    }

    /// The most memory, in bytes, that a peer can make a process hold through one connection before
    /// it has proved who it is.
    ///
    /// # Limits
    /// Memory of the operating system, such as the buffers of a socket, comes on top.
    #[must_use]
    pub fn memory_per_stranger_max(&self) -> usize {
        // As they came, with the room that a buffer grows by, and once more as asks that wait.
        self.handshake_bytes_max.saturating_mul(4).saturating_add(Self::FIXED_BYTES)
    }

    /// The most memory, in bytes, that a peer can make a process hold through one connection once
    /// it has proved who it is: the sum of [`Limits::memory_shares`].
    ///
    /// # Limits
    /// What the application does with an ask comes on top, for it alone knows: what its responders
    /// hold while they run, their responses until there is room for them, of which there are no
    /// more than [`responders_running_max`](Self::responders_running_max) at once, and what a
    /// value becomes that is decompressed or read into something larger than its bytes. So do the
    /// answers to its own calls, which their callers hold, and memory of the operating system,
    /// such as the buffers of a socket. What a process remembers of calls that are made once is no
    /// connection's: see [`Limits::memory_of_once_max`].
    #[must_use]
    pub fn memory_per_connection_max(&self) -> usize {
        self.memory_shares().iter().fold(0, |all, share| all.saturating_add(share.bytes))
    }

    /// The most memory, in bytes, that a process holds to answer calls that are made once, whatever
    /// the number of connections.
    #[must_use]
    pub fn memory_of_once_max(&self) -> usize {
        let largest = self.large_bytes_max.max(self.box_bytes_max);
        // The bound is looked at before an ask and before an answer is counted.
        self.once_bytes_max.saturating_add(largest.saturating_mul(2))
    }

    /// What [`Limits::memory_per_connection_max`] is the sum of.
    #[must_use]
    pub fn memory_shares(&self) -> [MemoryShare; 9] {
        let Self { box_bytes_max, large_bytes_max, outbound_bytes_max, streams_max, .. } = *self;
        let sum = |parts: &[usize]| parts.iter().fold(0, |all: usize, it| all.saturating_add(*it));
        let share = |what, times: usize, bytes: usize| MemoryShare {
            what,
            bytes: times.saturating_mul(bytes),
        };
        let asks = sum(&[self.asks_in_flight_max, self.asks_forgotten_max, streams_max]);
        let small_answers = Exchange::PART_BYTES * Self::WRITERS;
        // Waiting or being written: answers and refusals, twice the bound and one box; an answer
        // that was too long to be told beforehand; items, and calls of ours, once and one box each.
        let outbound = [outbound_bytes_max.saturating_mul(4), box_bytes_max.saturating_mul(4)];
        let outbound = sum(&[sum(&outbound), small_answers]);
        [
            share("TLS, and the tasks of the connection", 1, Self::FIXED_BYTES),
            share(
                "a box that is being received: `box_bytes_max` and one read, and as much again to \
                 grow",
                2,
                sum(&[box_bytes_max, *Inbound::READ_BYTES.end()]),
            ),
            share("large boxes on their way in: 4 × `large_bytes_max`", 1, {
                self.large_at_once_bytes_max()
            }),
            share(
                "asks that wait for something, as they came and as they were read: 2 × 4 × the \
                 largest",
                2,
                self.asks_bytes_max(),
            ),
            share(
                "the tasks that wait: `responders_running_max` × 4 KiB",
                self.responders_running_max,
                Self::RESPONDER_BYTES,
            ),
            share(
                "items that nobody takes: `streams_max` of each side × (`stream_window_bytes` and \
                 one box)",
                streams_max.saturating_mul(2),
                sum(&[self.stream_window_bytes, box_bytes_max]),
            ),
            share(
                "what waits to be written, and as much again to grow: 4 × `outbound_bytes_max`, \
                 4 × `box_bytes_max` and 256 KiB",
                2,
                outbound,
            ),
            share(
                "large boxes on their way out: 2 × `outbound_bytes_max` and 5 × `large_bytes_max`",
                1,
                sum(&[outbound_bytes_max.saturating_mul(2), large_bytes_max.saturating_mul(5)]),
            ),
            share(
                "calls of ours: (`asks_in_flight_max`, `asks_forgotten_max` and `streams_max`) × \
                 512 bytes",
                asks,
                Self::ASK_BYTES,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_of_the_defaults_is_known_and_smaller_limits_lower_it() {
        const MIB: usize = 1024 * 1024;
        let usual = Limits::default();
        assert!((400 * MIB..450 * MIB).contains(&usual.memory_per_connection_max()));
        assert_eq!(usual.memory_per_stranger_max(), 416 * 1024);
        assert_eq!(usual.memory_of_once_max(), 48 * MIB);
        let small = Limits {
            box_bytes_max: 64 * 1024,
            large_bytes_max: MIB,
            streams_max: 8,
            outbound_bytes_max: 256 * 1024,
            asks_forgotten_max: 256,
            responders_running_max: 64,
            ..usual
        };
        assert!(small.memory_per_connection_max() < 28 * MIB);
    }

    #[test]
    fn limits_without_end_have_a_ceiling_without_end() {
        let endless = Limits { box_bytes_max: usize::MAX, ..Limits::default() };
        assert_eq!(endless.memory_per_connection_max(), usize::MAX);
    }
}
