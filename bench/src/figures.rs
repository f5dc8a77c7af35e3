//! What comes of a measurement, and of several of the same.

use serde::{Deserialize, Serialize};

use crate::job::{Mode, Scenario};
use crate::peers::Peer;

/// What one measurement found. What it did not measure is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Figures {
    /// Calls, items, answers of a broadcast, or connections, per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    /// The median of the time that one took, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<f64>,
    /// What 99 of 100 stayed below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<f64>,
    /// What 999 of 1,000 stayed below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p999_us: Option<f64>,
    /// Processor time of the connecting end for each, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_cpu_us: Option<f64>,
    /// Processor time of the listening end for each, with that of a broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_cpu_us: Option<f64>,
    /// Bytes that a connection keeps at the connecting end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_bytes: Option<f64>,
    /// Bytes that a connection keeps at the listening end, with those of a broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_bytes: Option<f64>,
    /// Bytes that the operating system keeps for a connection, for both ends together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kernel_bytes: Option<f64>,
    /// Processor time of the connecting end for an idle connection, in microseconds per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_idle_us: Option<f64>,
    /// Processor time of the listening end for an idle connection, in microseconds per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_idle_us: Option<f64>,
    /// Connections that were opened per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) opened: Option<f64>,
    /// Processor time of the connecting end for opening a connection, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_opening_us: Option<f64>,
    /// Processor time of the listening end for opening a connection, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_opening_us: Option<f64>,
    /// The time to find one peer among all, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) find_ns: Option<f64>,
    /// The time to list all peers, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) list_ns: Option<f64>,
    /// The time from asking all peers until every answer is there, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) all_us: Option<f64>,
}

/// All that is known of one peer in one scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) mode: Mode,
    pub(crate) scenario: Scenario,
    pub(crate) peer: Peer,
    /// One for each round; rounds of the same number are of the same minute. `None`: it failed.
    pub(crate) rounds: Vec<Option<Figures>>,
    /// Why it was not measured, or not in every round.
    pub(crate) missing: Option<String>,
}

/// How one figure is read from all of them.
pub(crate) type Reading = fn(&Figures) -> Option<f64>;

impl Cell {
    pub(crate) fn new(mode: Mode, scenario: Scenario, peer: Peer) -> Self {
        Self { mode, scenario, peer, rounds: Vec::new(), missing: None }
    }

    fn read(&self, reading: Reading) -> Vec<f64> {
        self.rounds.iter().flatten().filter_map(reading).collect()
    }

    /// The median of the rounds.
    pub(crate) fn median(&self, reading: Reading) -> Option<f64> {
        median(self.read(reading))
    }

    /// The farthest rounds from each other, as a share of the median.
    pub(crate) fn spread(&self, reading: Reading) -> Option<f64> {
        let values = self.read(reading);
        let least = values.iter().copied().reduce(f64::min)?;
        let most = values.iter().copied().reduce(f64::max)?;
        Some((most - least) / median(values)?)
    }

    /// The median of what this is to `other`, round by round: what disturbs the machine for longer
    /// than a round disturbs both.
    pub(crate) fn ratio(&self, other: &Self, reading: Reading) -> Option<f64> {
        let rounds = self.rounds.iter().zip(&other.rounds);
        let ratios = rounds.filter_map(|(this, other)| {
            let (this, other) = (reading(this.as_ref()?)?, reading(other.as_ref()?)?);
            (other > 0.0).then(|| this / other)
        });
        median(ratios.collect())
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some((upper + values.get(middle - 1)?) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(rates: &[Option<f64>]) -> Cell {
        let rounds =
            rates.iter().map(|rate| rate.map(|_| Figures { rate: *rate, ..Figures::default() }));
        let rounds = rounds.collect();
        Cell { rounds, ..Cell::new(Mode::Pinned, Scenario::S1, Peer::Raw) }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_ratio_compares_rounds_of_the_same_number() {
        let slow_machine_later = cell(&[Some(100.0), Some(10.0), None]);
        let other = cell(&[Some(50.0), Some(5.0), Some(1.0)]);
        assert_eq!(slow_machine_later.ratio(&other, |it| it.rate), Some(2.0));
        assert_eq!(other.ratio(&cell(&[None]), |it| it.rate), None);
    }

    #[test]
    fn the_spread_is_a_share_of_the_median() {
        assert_eq!(cell(&[Some(90.0), Some(100.0), Some(120.0)]).spread(|it| it.rate), Some(0.3));
    }
}
