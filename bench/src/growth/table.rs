//! What grows, as tables in Markdown.

use std::fmt::Write as _;

use anyhow::Result;

use super::{Asked, Curve, Growth, Point, Whole};
use crate::figures::Reading;
use crate::job::name_of;
use crate::peers::Peer;
use crate::table::{head, line, short};

/// A column of a table.
type Column = (&'static str, fn(&Point) -> Option<f64>);

const CONNECTIONS: [Column; 11] = [
    ("opened /s", |it| it.median(|it| it.opened)),
    ("CPU µs client", |it| it.median(|it| it.client_opening_us)),
    ("server", |it| it.median(|it| it.server_opening_us)),
    ("B client", |it| it.median(|it| it.client_bytes)),
    ("server", |it| it.median(|it| it.server_bytes)),
    ("kernel", |it| it.median(|it| it.kernel_bytes)),
    ("idle µs/s client", |it| it.median(|it| it.client_idle_us)),
    ("server", |it| it.median(|it| it.server_idle_us)),
    ("calls /s", |it| it.median(|it| it.rate)),
    ("CPU µs client", |it| it.median(|it| it.client_cpu_us)),
    ("server", |it| it.median(|it| it.server_cpu_us)),
];

const IN_FLIGHT: [Column; 7] = [
    ("calls /s", |it| it.median(|it| it.rate)),
    ("CPU µs client", |it| it.median(|it| it.client_cpu_us)),
    ("server", |it| it.median(|it| it.server_cpu_us)),
    ("p50 µs", |it| it.median(|it| it.p50_us)),
    ("p99 µs", |it| it.median(|it| it.p99_us)),
    ("B client", |it| it.median(|it| it.client_bytes)),
    ("server", |it| it.median(|it| it.server_bytes)),
];

const CLUSTERS: [Column; 6] = [
    ("`get_client_for` ns", |it| it.median(|it| it.find_ns)),
    ("and a call µs", |it| it.median(|it| it.p50_us)),
    ("`get_all_clients` ns", |it| it.median(|it| it.list_ns)),
    ("each ns", |it| Some(it.median(|it| it.list_ns)? / count(it.at))),
    ("and a call to all µs", |it| it.median(|it| it.all_us)),
    ("each µs", |it| Some(it.median(|it| it.all_us)? / count(it.at))),
];

/// All tables.
///
/// # Errors
/// Never: it writes to memory.
pub(crate) fn tables(growth: &Growth) -> Result<String> {
    let mut out = String::new();
    let machine = &growth.machine;
    writeln!(
        out,
        "{} × {}, Linux {}, load {} before.\n",
        machine.processors, machine.processor, machine.kernel, machine.load_before,
    )?;
    curve(&mut out, growth, Curve::Connections, "connections", &CONNECTIONS);
    curve(&mut out, growth, Curve::InFlight, "in flight", &IN_FLIGHT);
    curve(&mut out, growth, Curve::Clusters, "clusters", &CLUSTERS);
    if let Some(of) = &growth.whole {
        whole(&mut out, of);
    }
    for missing in growth.missing() {
        writeln!(out, "- not measured: {missing}")?;
    }
    Ok(out)
}

fn curve(out: &mut String, growth: &Growth, curve: Curve, title: &str, columns: &[Column]) {
    for peer in curve.peers() {
        let mut points = growth.points(curve, *peer).peekable();
        if points.peek().is_none() {
            continue;
        }
        let mut header = vec![format!("{title}, {}", name_of(*peer))];
        header.extend(columns.iter().map(|(name, _)| (*name).to_owned()));
        head(out, &header);
        for point in points {
            let mut cells = vec![thousands(point.at)];
            cells.extend(columns.iter().map(|(_, reading)| short(reading(point))));
            line(out, &format!("| {} |", cells.join(" | ")));
        }
        line(out, "");
    }
}

fn whole(out: &mut String, of: &Whole) {
    let Asked { announcements, writings, rows, readings } = of.asked;
    let title = format!(
        "{} regions, {} clusters, {} connections",
        of.regions,
        thousands(of.clusters),
        thousands(of.regions * of.clusters),
    );
    head(out, &[title, String::new()]);
    let rows = [
        ("whole after", of.whole_s, "s"),
        ("memory of a region process", of.region_bytes, "B"),
        ("before the clusters came", of.region_alone_bytes, "B"),
        ("memory of a cluster", of.cluster_bytes, "B"),
        ("idle, a region process", of.region_percent, "% of a processor"),
        ("idle, all clusters", of.clusters_percent, "% of a processor"),
        ("announcements in the registry", announcements, "/s"),
        ("writings of connections", writings, "/s"),
        ("connections written", rows, "/s"),
        ("readings", readings, "/s"),
    ];
    for (name, value, unit) in rows {
        line(out, &format!("| {name} | {} {unit} |", short(Some(value))));
    }
    line(out, "");
}

/// The last point of the curve of connections that has this figure: the largest that was measured.
pub(super) fn largest(growth: &Growth, peer: Peer, curve: Curve, reading: Reading) -> Option<f64> {
    growth.points(curve, peer).filter_map(|point| point.median(reading)).last()
}

#[expect(clippy::cast_precision_loss, reason = "nothing is counted beyond 2^52")]
pub(super) fn count(number: usize) -> f64 {
    number as f64
}

/// As people write it: `10,000`.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut words = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            words.push(',');
        }
        words.push(digit);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;
    use crate::json::Machine;

    #[test]
    fn a_row_tells_how_many_there_were_and_what_one_of_them_takes() {
        let figures = Figures { list_ns: Some(200_000.0), ..Figures::default() };
        let point = Point {
            curve: Curve::Clusters,
            peer: Peer::Ampmesh,
            at: 10_000,
            rounds: vec![figures],
            missing: None,
        };
        let missing = Some("it broke".to_owned());
        let without = Point { rounds: Vec::new(), missing, ..point.clone() };
        let growth = Growth {
            machine: Machine::default(),
            seconds: 1.0,
            points: vec![point, without],
            whole: None,
            whole_missing: None,
        };
        let tables = tables(&growth).unwrap();
        assert!(tables.contains("| 10,000 | – | – | 200 k | 20.0 | – | – |"), "{tables}");
        assert!(!tables.contains("in flight"), "{tables}");
        assert!(tables.contains("- not measured: `ampmesh`, 10000 clusters: it broke"), "{tables}");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(10_000_000), "10,000,000");
    }
}
