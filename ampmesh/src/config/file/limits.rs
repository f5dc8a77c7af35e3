//! The table `[limits]` of the configuration file.

use std::time::Duration;

use amp_proto::Limits;
use serde::Deserialize;

use super::{FileError, Span};

/// Bounds of every connection; what is absent keeps its default. The meaning of each is told at
/// [`Limits`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct LimitsTable {
    box_bytes_max: Option<usize>,
    keys_per_box_max: Option<usize>,
    decompressed_bytes_max: Option<usize>,
    asks_in_flight_max: Option<usize>,
    asks_forgotten_max: Option<usize>,
    responders_running_max: Option<usize>,
    outbound_bytes_max: Option<usize>,
    outbound_stalled_max: Option<Span>,
    closing_timeout: Option<Span>,
    half_closed_timeout: Option<Span>,
    streams_max: Option<usize>,
    stream_window_bytes: Option<usize>,
    large_bytes_max: Option<usize>,
    once_window: Option<Span>,
    once_answers_max: Option<usize>,
    once_bytes_max: Option<usize>,
    call_timeout: Option<Span>,
    handshake_timeout: Option<Span>,
    handshake_bytes_max: Option<usize>,
    handshake_asks_max: Option<usize>,
    ping_after: Option<Span>,
    dead_after: Option<Span>,
}

impl LimitsTable {
    /// The defaults, with what the table says laid over them.
    ///
    /// # Errors
    /// [`FileError::Limit`].
    pub(crate) fn limits(&self) -> Result<Limits, FileError> {
        let limits = self.unchecked();
        let as_key = |text: &str| text.replace('_', "-");
        limits
            .check()
            .map_err(|it| FileError::Limit { key: as_key(it.limit), needs: as_key(it.needs) })?;
        Ok(limits)
    }

    fn unchecked(&self) -> Limits {
        let usual = Limits::default();
        let span = |own: Option<Span>, usual: Duration| own.map_or(usual, |Span(span)| span);
        Limits {
            box_bytes_max: self.box_bytes_max.unwrap_or(usual.box_bytes_max),
            keys_per_box_max: self.keys_per_box_max.unwrap_or(usual.keys_per_box_max),
            decompressed_bytes_max: self
                .decompressed_bytes_max
                .unwrap_or(usual.decompressed_bytes_max),
            asks_in_flight_max: self.asks_in_flight_max.unwrap_or(usual.asks_in_flight_max),
            asks_forgotten_max: self.asks_forgotten_max.unwrap_or(usual.asks_forgotten_max),
            responders_running_max: self
                .responders_running_max
                .unwrap_or(usual.responders_running_max),
            outbound_bytes_max: self.outbound_bytes_max.unwrap_or(usual.outbound_bytes_max),
            outbound_stalled_max: span(self.outbound_stalled_max, usual.outbound_stalled_max),
            closing_timeout: span(self.closing_timeout, usual.closing_timeout),
            half_closed_timeout: span(self.half_closed_timeout, usual.half_closed_timeout),
            streams_max: self.streams_max.unwrap_or(usual.streams_max),
            stream_window_bytes: self.stream_window_bytes.unwrap_or(usual.stream_window_bytes),
            large_bytes_max: self.large_bytes_max.unwrap_or(usual.large_bytes_max),
            once_window: span(self.once_window, usual.once_window),
            once_answers_max: self.once_answers_max.unwrap_or(usual.once_answers_max),
            once_bytes_max: self.once_bytes_max.unwrap_or(usual.once_bytes_max),
            call_timeout: span(self.call_timeout, usual.call_timeout),
            handshake_timeout: span(self.handshake_timeout, usual.handshake_timeout),
            handshake_bytes_max: self.handshake_bytes_max.unwrap_or(usual.handshake_bytes_max),
            handshake_asks_max: self.handshake_asks_max.unwrap_or(usual.handshake_asks_max),
            ping_after: span(self.ping_after, usual.ping_after),
            dead_after: span(self.dead_after, usual.dead_after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_nothing_can_work_with_is_named_by_its_key() {
        let table: LimitsTable = toml::from_str("ping-after = '20s'").unwrap();
        assert_eq!(
            table.limits().unwrap_err().to_string(),
            "`dead-after` in [limits] has to be more than `ping-after`"
        );
    }
}
