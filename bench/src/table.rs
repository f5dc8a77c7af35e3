//! Figures as tables, in Markdown: the ratios of each group of scenarios, and then each scenario by
//! itself.

use std::fmt::Write as _;

use crate::figures::{Cell, Reading};
use crate::job::{Mode, Scenario, name_of};
use crate::json::Report;
use crate::peers::Peer;

/// Scenarios that belong together.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) scenarios: &'static [Scenario],
    /// What is compared, and how it is called.
    pub(crate) readings: &'static [(&'static str, Reading)],
    /// With whom it is compared.
    pub(crate) with: &'static [Peer],
}

const RATE: (&str, Reading) = ("/s", |it| it.rate);

pub(crate) const GROUPS: [Group; 6] = [
    Group {
        name: "small",
        title: "Small calls: two strings of 16 bytes there, an integer back",
        scenarios: &[Scenario::S1, Scenario::S64, Scenario::S512, Scenario::S64X16],
        readings: &[RATE],
        with: &[Peer::Raw, Peer::BareApi],
    },
    Group {
        name: "large",
        title: "Large calls: 32 KiB there and back",
        scenarios: &[Scenario::L1, Scenario::L64],
        readings: &[RATE],
        with: &[Peer::Raw, Peer::BareApi],
    },
    Group {
        name: "stream",
        title: "Small items in one stream",
        scenarios: &[Scenario::Stream],
        readings: &[RATE],
        with: &[Peer::Raw],
    },
    Group {
        name: "broadcast",
        title: "One command to all, until every answer is there: answers per second",
        scenarios: &[Scenario::Broadcast100, Scenario::Broadcast1000, Scenario::Broadcast5000],
        readings: &[RATE],
        with: &[Peer::Raw],
    },
    Group {
        name: "connect",
        title: "Connecting, with the proof and a first call",
        scenarios: &[Scenario::Connect],
        readings: &[RATE],
        with: &[Peer::Raw],
    },
    Group {
        name: "idle",
        title: "Bytes of memory that an idle connection keeps",
        scenarios: &[Scenario::Idle],
        readings: &[(" server B", |it| it.server_bytes), (" client B", |it| it.client_bytes)],
        with: &[],
    },
];

/// What else is known of each scenario.
const DETAILS: [(&str, Reading); 5] = [
    ("p50 µs", |it| it.p50_us),
    ("p99 µs", |it| it.p99_us),
    ("p99.9 µs", |it| it.p999_us),
    ("CPU µs client", |it| it.client_cpu_us),
    ("CPU µs server", |it| it.server_cpu_us),
];

/// The time on a processor of both ends, and with whom it is compared.
const CPU: (&str, Reading) = ("CPU µs both", |it| Some(it.client_cpu_us? + it.server_cpu_us?));
const CPU_WITH: [Peer; 2] = [Peer::Raw, Peer::BareApi];

/// The cells of one scenario in one mode.
pub(crate) fn row(report: &Report, mode: Mode, scenario: Scenario) -> Vec<&Cell> {
    let is_of = |cell: &&Cell| cell.mode == mode && cell.scenario == scenario;
    report.cells.iter().filter(is_of).collect()
}

/// The scenarios of a group that the report has.
pub(crate) fn measured(report: &Report, mode: Mode, group: &Group) -> Vec<Scenario> {
    let scenarios = group.scenarios.iter().copied();
    scenarios.filter(|scenario| !row(report, mode, *scenario).is_empty()).collect()
}

/// The modes that the report has.
pub(crate) fn modes(report: &Report) -> Vec<Mode> {
    let mut modes: Vec<_> = report.cells.iter().map(|cell| cell.mode).collect();
    modes.sort_unstable();
    modes.dedup();
    modes
}

/// All tables of a report.
pub(crate) fn tables(report: &Report) -> String {
    let mut out = String::new();
    let machine = &report.machine;
    line(
        &mut out,
        &format!(
            "{} × {}, Linux {}, load {} before; {} rounds of {} s, medians.\n",
            machine.processors,
            machine.processor,
            machine.kernel,
            machine.load_before,
            report.repeats,
            report.seconds,
        ),
    );
    for mode in modes(report) {
        line(&mut out, &format!("## {}: {}\n", name_of(mode), mode.title()));
        for group in &GROUPS {
            let scenarios = measured(report, mode, group);
            if !scenarios.is_empty() {
                compare(&mut out, report, mode, group, &scenarios);
                for scenario in scenarios {
                    detail(&mut out, report, mode, scenario);
                }
            }
        }
    }
    out
}

/// The ratios of a group.
fn compare(out: &mut String, report: &Report, mode: Mode, group: &Group, scenarios: &[Scenario]) {
    line(out, &format!("### {}\n", group.title));
    let mut header = vec!["peer".to_owned()];
    for scenario in scenarios {
        for (unit, _reading) in group.readings {
            header.push(format!("{}{unit}", scenario.name()));
            header.extend(group.with.iter().map(|with| format!("÷ {}", name_of(*with))));
        }
    }
    head(out, &header);
    let rows: Vec<_> = scenarios.iter().map(|it| row(report, mode, *it)).collect();
    let peers = rows.first().into_iter().flatten().map(|cell| cell.peer);
    for (index, peer) in peers.enumerate() {
        let mut columns = vec![name_of(peer)];
        for row in &rows {
            let Some(cell) = row.get(index) else { continue };
            for (_unit, reading) in group.readings {
                columns.push(short(cell.median(*reading)));
                columns.extend(group.with.iter().map(|with| ratio(cell, row, *with, *reading)));
            }
        }
        line(out, &format!("| {} |", columns.join(" | ")));
    }
    line(out, "");
    let mut is_whole = true;
    for cell in rows.iter().flatten() {
        if let Some(why) = &cell.missing {
            let (peer, scenario) = (name_of(cell.peer), cell.scenario.name());
            line(out, &format!("- `{peer}` was not measured in `{scenario}`: {why}"));
            is_whole = false;
        }
    }
    if !is_whole {
        line(out, "");
    }
}

/// Everything about one scenario.
fn detail(out: &mut String, report: &Report, mode: Mode, scenario: Scenario) {
    let row = row(report, mode, scenario);
    let is_known =
        |(_, reading): &&(&str, Reading)| row.iter().any(|cell| cell.median(*reading).is_some());
    let details: Vec<_> = DETAILS.iter().filter(is_known).collect();
    if details.is_empty() {
        return;
    }
    let mut header = vec![scenario.name(), "/s".to_owned()];
    header.extend(details.iter().map(|(name, _reading)| (*name).to_owned()));
    let has_cpu = row.iter().any(|cell| cell.median(CPU.1).is_some());
    if has_cpu {
        header.push(CPU.0.to_owned());
        header.extend(CPU_WITH.iter().map(|with| format!("÷ {}", name_of(*with))));
    }
    header.push("spread".to_owned());
    head(out, &header);
    for cell in row.iter().filter(|cell| cell.rounds.iter().any(Option::is_some)) {
        let mut columns = vec![name_of(cell.peer), short(cell.median(RATE.1))];
        columns.extend(details.iter().map(|(_name, reading)| plain(cell.median(*reading))));
        if has_cpu {
            columns.push(plain(cell.median(CPU.1)));
            columns.extend(CPU_WITH.iter().map(|with| ratio(cell, &row, *with, CPU.1)));
        }
        let spread = cell.spread(RATE.1).map(|spread| format!("{:.0} %", spread * 100.0));
        columns.push(spread.unwrap_or_else(none));
        line(out, &format!("| {} |", columns.join(" | ")));
    }
    line(out, "");
}

pub(crate) fn line(out: &mut String, text: &str) {
    // A String takes everything.
    let _written = writeln!(out, "{text}");
}

pub(crate) fn head(out: &mut String, columns: &[String]) {
    line(out, &format!("| {} |", columns.join(" | ")));
    line(out, &format!("|---|{}", "---:|".repeat(columns.len().saturating_sub(1))));
}

fn none() -> String {
    "–".to_owned()
}

/// What a cell is to that of another peer.
fn ratio(cell: &Cell, row: &[&Cell], with: Peer, reading: Reading) -> String {
    let other = row.iter().find(|it| it.peer == with);
    times(other.and_then(|it| cell.ratio(it, reading)))
}

fn times(ratio: Option<f64>) -> String {
    let digits = |ratio: f64| if ratio < 0.095 { 3 } else { 2 };
    ratio.map_or_else(none, |ratio| format!("{ratio:.0$}×", digits(ratio)))
}

/// Three digits that count.
pub(crate) fn short(number: Option<f64>) -> String {
    let Some(number) = number else { return none() };
    let (number, unit) = match number {
        number if number.abs() >= 1e6 => (number / 1e6, " M"),
        number if number.abs() >= 1e4 => (number / 1e3, " k"),
        number => (number, ""),
    };
    let digits = match number.abs() {
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    format!("{number:.digits$}{unit}")
}

fn plain(number: Option<f64>) -> String {
    number.map_or_else(none, |number| {
        let digits = match number.abs() {
            size if size < 10.0 => 2,
            size if size < 100.0 => 1,
            _ => 0,
        };
        format!("{number:.digits$}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;
    use crate::json::Machine;

    fn cell(peer: Peer, rate: Option<f64>) -> Cell {
        let rounds = rate.map(|rate| Some(Figures { rate: Some(rate), ..Figures::default() }));
        let missing = rate.is_none().then(|| "it is elsewhere".to_owned());
        let rounds = rounds.into_iter().collect();
        Cell { rounds, missing, ..Cell::new(Mode::Pinned, Scenario::S1, peer) }
    }

    #[test]
    fn who_was_not_measured_is_named_with_the_reason() {
        let cells = vec![
            cell(Peer::Raw, Some(100_000.0)),
            cell(Peer::Ampmesh, Some(50_000.0)),
            cell(Peer::Nats, None),
        ];
        let report = Report { machine: Machine::default(), seconds: 1.0, repeats: 1, cells };
        let tables = tables(&report);
        assert!(tables.contains("| ampmesh | 50.0 k | 0.50× | – |"), "{tables}");
        assert!(tables.contains("| nats | – | – | – |"), "{tables}");
        assert!(tables.contains("`nats` was not measured in `s1`: it is elsewhere"), "{tables}");
    }

    #[test]
    fn numbers_have_three_digits_that_count() {
        assert_eq!(short(Some(1_234_567.0)), "1.23 M");
        assert_eq!(short(Some(56_789.0)), "56.8 k");
        assert_eq!(short(Some(1_941.0)), "1941");
        assert_eq!(times(Some(0.0123)), "0.012×");
    }
}
