//! What ampmesh is meant to reach beside the others, and whether it did in a run.

use std::fmt::Write as _;

use crate::figures::Cell;
use crate::job::{Mode, Scenario, name_of};
use crate::json::Report;
use crate::peers::Peer;
use crate::table::row;

/// The mode in which the program runs by default.
const DEFAULT_MODE: Mode = Mode::Single;

/// Something to be reached in one scenario.
struct Goal {
    mode: Mode,
    scenario: Scenario,
    peer: Peer,
    aim: Aim,
}

enum Aim {
    /// At least so many times the rate of this peer.
    Rate(f64, Peer),
    /// The same, in whichever mode without a processor in common suits that peer better.
    RateAtItsBest(f64, Peer),
    /// At most so many bytes at the server for each connection.
    ServerBytes(f64),
}

const fn rate(scenario: Scenario, times: f64, other: Peer) -> Goal {
    of(Peer::Ampmesh, scenario, Aim::Rate(times, other))
}

const fn of(peer: Peer, scenario: Scenario, aim: Aim) -> Goal {
    Goal { mode: Mode::Pinned, scenario, peer, aim }
}

const GOALS: [Goal; 33] = [
    rate(Scenario::S1, 0.9, Peer::BareApi),
    rate(Scenario::S1, 1.6, Peer::Tarpc),
    rate(Scenario::S1, 4.0, Peer::Tonic),
    rate(Scenario::S1, 15.0, Peer::Twisted),
    rate(Scenario::S64, 0.6, Peer::BareApi),
    rate(Scenario::S64, 6.0, Peer::Tarpc),
    rate(Scenario::S64, 20.0, Peer::Tonic),
    rate(Scenario::S64, 6.0, Peer::Nats),
    rate(Scenario::S512, 0.6, Peer::BareApi),
    rate(Scenario::S512, 5.0, Peer::Tarpc),
    rate(Scenario::S512, 5.0, Peer::Tonic),
    rate(Scenario::S512, 5.0, Peer::Nats),
    rate(Scenario::S64X16, 0.6, Peer::BareApi),
    rate(Scenario::S64X16, 5.0, Peer::Tarpc),
    rate(Scenario::S64X16, 5.0, Peer::Tonic),
    rate(Scenario::S64X16, 5.0, Peer::Nats),
    rate(Scenario::L1, 0.7, Peer::Raw),
    rate(Scenario::L1, 1.9, Peer::Tarpc),
    rate(Scenario::L1, 4.0, Peer::Tonic),
    rate(Scenario::L64, 0.55, Peer::Raw),
    rate(Scenario::L64, 1.9, Peer::Tarpc),
    rate(Scenario::L64, 4.0, Peer::Tonic),
    rate(Scenario::Broadcast5000, 0.7, Peer::Raw),
    rate(Scenario::Broadcast5000, 2.0, Peer::Nats),
    rate(Scenario::Broadcast5000, 2.0, Peer::Tonic),
    of(Peer::AmpmeshTls, Scenario::S64, Aim::Rate(0.7, Peer::Ampmesh)),
    of(Peer::AmpmeshTls, Scenario::S512, Aim::Rate(0.7, Peer::Ampmesh)),
    of(Peer::AmpmeshTls, Scenario::S64X16, Aim::Rate(0.7, Peer::Ampmesh)),
    of(Peer::AmpmeshTls, Scenario::L64, Aim::Rate(0.7, Peer::Ampmesh)),
    of(Peer::Ampmesh, Scenario::Idle, Aim::ServerBytes(4.0 * 1024.0)),
    of(Peer::AmpmeshTls, Scenario::Idle, Aim::ServerBytes(24.0 * 1024.0)),
    Goal { mode: DEFAULT_MODE, ..of(Peer::Ampmesh, Scenario::S64, BEST) },
    Goal { mode: DEFAULT_MODE, ..rate(Scenario::S64X16, 5.0, Peer::Tarpc) },
];

const BEST: Aim = Aim::RateAtItsBest(0.6, Peer::BareApi);

/// What is meant to be reached, and what was, as a table.
pub(crate) fn table(report: &Report) -> String {
    let mut out = String::from("| mode | scenario | peer | aim | measured | |\n");
    out.push_str("|---|---|---|---|---:|---|\n");
    for goal in &GOALS {
        let (aim, measured) = match &goal.aim {
            Aim::Rate(times, other) | Aim::RateAtItsBest(times, other) => {
                let at_best = if matches!(goal.aim, Aim::Rate(..)) { "" } else { " at its best" };
                let aim = format!("at least {times} × `{}`{at_best}", name_of(*other));
                let measured = goal.ratio(report, *other);
                (aim, measured.map(|it| (format!("{it:.2} ×"), it >= *times)))
            }
            Aim::ServerBytes(most) => {
                let measured = cell(report, goal.mode, goal.scenario, goal.peer);
                let measured = measured.and_then(|it| it.median(|it| it.server_bytes));
                let aim = format!("at most {most:.0} bytes at the server");
                (aim, measured.map(|it| (format!("{it:.0}"), it <= *most)))
            }
        };
        let (measured, reached) = match measured {
            Some((figure, true)) => (figure, "reached"),
            Some((figure, false)) => (figure, "**not reached**"),
            None => ("–".to_owned(), "not measured"),
        };
        let (mode, scenario, peer) = (name_of(goal.mode), goal.scenario.name(), name_of(goal.peer));
        let _written = writeln!(
            out,
            "| `{mode}` | `{scenario}` | `{peer}` | {aim} | {measured} | {reached} |"
        );
    }
    out
}

impl Goal {
    /// How many times the other's rate this is.
    fn ratio(&self, report: &Report, other: Peer) -> Option<f64> {
        let modes = match self.aim {
            Aim::RateAtItsBest(..) => vec![Mode::Single, Mode::Multi],
            Aim::Rate(..) | Aim::ServerBytes(_) => vec![self.mode],
        };
        // What is best is known of all of them only.
        let others = modes.iter().map(|it| {
            let cell = cell(report, *it, self.scenario, other)?;
            Some((cell, cell.median(|it| it.rate)?))
        });
        let others: Vec<_> = others.collect::<Option<_>>()?;
        let (best, _) = others.into_iter().max_by(|one, two| one.1.total_cmp(&two.1))?;
        cell(report, self.mode, self.scenario, self.peer)?.ratio(best, |it| it.rate)
    }
}

fn cell(report: &Report, mode: Mode, scenario: Scenario, peer: Peer) -> Option<&Cell> {
    row(report, mode, scenario).into_iter().find(|cell| cell.peer == peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;
    use crate::json::Machine;

    fn measured(mode: Mode, peer: Peer, rate: f64) -> Cell {
        let figures = Figures { rate: Some(rate), ..Figures::default() };
        Cell { rounds: vec![Some(figures)], ..Cell::new(mode, Scenario::S64, peer) }
    }

    #[test]
    fn a_goal_is_compared_with_the_other_at_its_best() {
        let cells = vec![
            measured(Mode::Single, Peer::BareApi, 100.0),
            measured(Mode::Multi, Peer::BareApi, 50.0),
            measured(DEFAULT_MODE, Peer::Ampmesh, 61.0),
        ];
        let report = Report { machine: Machine::default(), seconds: 1.0, repeats: 1, cells };
        let table = table(&report);
        assert!(
            table.contains("| at least 0.6 × `bare-api` at its best | 0.61 × | reached |"),
            "{table}"
        );
        assert!(table.contains("| at least 0.6 × `bare-api` | – | not measured |"), "{table}");
    }

    #[test]
    fn nobody_is_at_its_best_who_was_not_measured_in_every_mode() {
        let cells = vec![
            measured(Mode::Single, Peer::Ampmesh, 100.0),
            measured(Mode::Single, Peer::BareApi, 100.0),
        ];
        let report = Report { machine: Machine::default(), seconds: 1.0, repeats: 1, cells };
        let table = table(&report);
        assert!(
            table.contains("| at least 0.6 × `bare-api` at its best | – | not measured |"),
            "{table}"
        );
    }
}
