//! What meshes cost that are too large to be started here, from what was measured of smaller ones.
//!
//! Everything is taken to grow with its number and not faster, from the largest that was measured;
//! the curves show how far that holds. Every cluster is connected to every region process.

use std::fmt::Write as _;
use std::str::FromStr;

use anyhow::{Context as _, Result};

use super::table::{count, largest, thousands};
use super::{Curve, Growth, Whole};
use crate::figures::Reading;
use crate::job::name_of;
use crate::peers::Peer;
use crate::table::{head, line, short};

/// How often a region process looks into PostgreSQL for those that have expired, each second, and
/// reads one row for every region process. This is beside the announcements.
const LOOKS: f64 = 1.0;

/// More processes than anyone has.
const PROCESSES_MAX: usize = 1_000_000_000;

/// The size of a mesh: `100x100000` are 100 region processes and 100,000 clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    regions: usize,
    clusters: usize,
}

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (regions, clusters) = text.split_once('x').context("write it like `100x100000`")?;
        let number = |text: &str| {
            let number = text.parse().ok().filter(|it| (1..=PROCESSES_MAX).contains(it));
            number.with_context(|| format!("`{text}` is no number from 1 to {PROCESSES_MAX}"))
        };
        Ok(Self { regions: number(regions)?, clusters: number(clusters)? })
    }
}

/// What one of each costs.
struct Costs {
    region_alone_bytes: f64,
    server_bytes: f64,
    client_bytes: f64,
    kernel_bytes: f64,
    server_idle_us: f64,
    client_idle_us: f64,
    server_opening_us: f64,
    client_opening_us: f64,
    server_call_us: f64,
    list_ns: f64,
    announcements: f64,
    writings: f64,
    /// Of each connection.
    rows: f64,
}

impl Costs {
    fn of(growth: &Growth, peer: Peer) -> Result<Self> {
        let whole = growth.whole.as_ref().context("no whole mesh was measured")?;
        let Whole { regions, clusters, region_alone_bytes, asked, .. } = whole;
        let of_connections = |what: &'static str, reading: Reading| {
            let found = largest(growth, peer, Curve::Connections, reading);
            found.with_context(|| format!("{what} was not measured for {}", name_of(peer)))
        };
        let lists = growth.points(Curve::Clusters, Peer::Ampmesh);
        let lists = lists.filter_map(|it| Some(it.median(|it| it.list_ns)? / count(it.at)));
        let list_ns = lists.last().context("no list of clusters was measured")?;
        Ok(Self {
            region_alone_bytes: *region_alone_bytes,
            server_bytes: of_connections("memory", |it| it.server_bytes)?,
            client_bytes: of_connections("memory", |it| it.client_bytes)?,
            // A bit more or less than nothing is what others did meanwhile.
            kernel_bytes: of_connections("memory", |it| it.kernel_bytes)?.max(0.0),
            server_idle_us: of_connections("idling", |it| it.server_idle_us)?,
            client_idle_us: of_connections("idling", |it| it.client_idle_us)?,
            server_opening_us: of_connections("opening", |it| it.server_opening_us)?,
            client_opening_us: of_connections("opening", |it| it.client_opening_us)?,
            server_call_us: of_connections("a call", |it| it.server_cpu_us)?,
            list_ns,
            announcements: asked.announcements / count(*regions),
            writings: asked.writings / count(*regions),
            rows: asked.rows / count(regions * clusters),
        })
    }

    /// What a mesh of this size costs, in the order of [`ROWS`].
    fn rows(&self, size: Size) -> [f64; ROWS.len()] {
        let (regions, clusters) = (count(size.regions), count(size.clusters));
        let connections = regions * clusters;
        // Kernel memory was measured for both ends of a connection together.
        let kernel = self.kernel_bytes / 2.0;
        let region_bytes = self.region_alone_bytes + clusters * (self.server_bytes + kernel);
        let cluster_bytes = regions * (self.client_bytes + kernel);
        [
            connections,
            clusters,
            region_bytes,
            clusters * self.server_idle_us / 1e4,
            clusters * self.server_opening_us / 1e6,
            clusters * self.server_call_us / 1e6,
            clusters * self.list_ns / 1e6,
            regions,
            cluster_bytes,
            regions * self.client_idle_us / 1e4,
            regions * self.client_opening_us / 1e3,
            regions * region_bytes + clusters * cluster_bytes,
            connections * (self.server_idle_us + self.client_idle_us) / 1e6,
            connections,
            regions * (self.announcements + LOOKS + self.writings),
            regions * regions * LOOKS,
            connections * self.rows,
            clusters * self.rows / self.writings,
        ]
    }
}

/// What the rows are called, and their units.
const ROWS: [(&str, &str); 18] = [
    ("connections", ""),
    ("a region process: sockets", ""),
    ("memory, with the kernel's", "B"),
    ("CPU while idle", "% of a processor"),
    ("CPU to let all in", "s"),
    ("CPU to call all once", "s"),
    ("to list all clients", "ms"),
    ("a cluster process: sockets", ""),
    ("memory of its connections", "B"),
    ("CPU while idle", "% of a processor"),
    ("CPU to connect to all", "ms"),
    ("all processes: memory", "B"),
    ("CPU while idle", "processors"),
    ("the registry: rows of connections", ""),
    ("operations", "/s"),
    ("rows read", "/s"),
    ("rows written", "/s"),
    ("rows in one operation", ""),
];

/// One table for each peer.
///
/// # Errors
/// When something that is needed was not measured.
pub(crate) fn estimate(growth: &Growth, sizes: &[Size]) -> Result<String> {
    let mut out = String::new();
    for peer in Curve::Connections.peers() {
        let costs = Costs::of(growth, *peer)?;
        let columns: Vec<_> = sizes.iter().map(|size| costs.rows(*size)).collect();
        let mut header = vec![format!("{}: regions × clusters", name_of(*peer))];
        let size = |it: &Size| format!("{} × {}", thousands(it.regions), thousands(it.clusters));
        header.extend(sizes.iter().map(size));
        head(&mut out, &header);
        for (index, (name, unit)) in ROWS.iter().enumerate() {
            let mut row = String::new();
            for column in &columns {
                let value = round(column.get(index).copied());
                // `260 GB`, but `52 % of a processor`.
                let gap = if value.ends_with(char::is_alphabetic) { "" } else { " " };
                write!(row, " {} |", [&*value, unit].join(gap).trim())?;
            }
            line(&mut out, &format!("| {name} |{row}"));
        }
        line(&mut out, "");
    }
    Ok(out)
}

/// Two digits count: more would say more than is known.
fn round(value: Option<f64>) -> String {
    let round = |value: f64| {
        if value == 0.0 {
            return value;
        }
        let unit = 10_f64.powf(value.abs().log10().floor() - 1.0);
        (value / unit).round() * unit
    };
    let Some(value) = value.map(round) else { return short(None) };
    let (value, unit) = match value.abs() {
        size if size >= 1e12 => (value / 1e12, " T"),
        size if size >= 1e9 => (value / 1e9, " G"),
        size if size >= 1e6 => (value / 1e6, " M"),
        size if size >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        0.0 => 0,
        size if size < 0.1 => 3,
        size if size < 1.0 => 2,
        size if size < 10.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::super::{Asked, Point};
    use super::*;
    use crate::figures::Figures;
    use crate::json::Machine;

    fn measured() -> Growth {
        let figures = Figures {
            client_bytes: Some(20_000.0),
            server_bytes: Some(10_000.0),
            kernel_bytes: Some(2_000.0),
            client_idle_us: Some(20.0),
            server_idle_us: Some(10.0),
            client_opening_us: Some(400.0),
            server_opening_us: Some(200.0),
            server_cpu_us: Some(5.0),
            list_ns: Some(50_000.0),
            ..Figures::default()
        };
        let point = |curve, peer| Point {
            curve,
            peer,
            at: 1_000,
            rounds: vec![figures.clone()],
            missing: None,
        };
        let points = vec![
            point(Curve::Connections, Peer::Ampmesh),
            point(Curve::Connections, Peer::AmpmeshTls),
            point(Curve::Clusters, Peer::Ampmesh),
        ];
        let asked = Asked { announcements: 8.0, writings: 0.8, rows: 400.0, readings: 0.0 };
        let whole = Whole {
            regions: 8,
            clusters: 500,
            whole_s: 1.0,
            region_alone_bytes: 1e7,
            region_bytes: 2e7,
            cluster_bytes: 1e5,
            region_percent: 1.0,
            clusters_percent: 1.0,
            asked,
        };
        Growth {
            machine: Machine::default(),
            seconds: 1.0,
            points,
            whole: Some(whole),
            whole_missing: None,
        }
    }

    #[test]
    fn a_mesh_of_ten_million_connections_is_added_up() {
        let costs = Costs::of(&measured(), Peer::Ampmesh).unwrap();
        let rows = costs.rows("100x100000".parse().unwrap());
        let of = |name: &str| {
            let index = ROWS.iter().position(|(row, _)| *row == name).unwrap();
            rows[index]
        };
        assert_eq!(of("connections"), 1e7);
        assert_eq!(of("memory, with the kernel's"), 1e7 + 1e5 * 11_000.0);
        assert_eq!(of("memory of its connections"), 100.0 * 21_000.0);
        assert_eq!(of("CPU to let all in"), 20.0);
        // Each connection's row is written every ten seconds.
        assert_eq!(of("rows written"), 1e6);
        assert_eq!(of("rows in one operation"), 1e5);
        assert_eq!(of("rows read"), 1e4);
    }

    #[test]
    fn what_was_not_measured_is_named() {
        let without = Growth { whole: None, ..measured() };
        let error = estimate(&without, &[]).unwrap_err().to_string();
        assert_eq!(error, "no whole mesh was measured");
    }

    #[test]
    fn two_digits_count() {
        assert_eq!(round(Some(1_234_567_890_123.0)), "1.2 T");
        assert_eq!(round(Some(260e9)), "260 G");
        assert_eq!(round(Some(94.2e6)), "94 M");
        assert_eq!(round(Some(98.7)), "99");
        assert_eq!(round(Some(0.01234)), "0.012");
        assert_eq!(round(Some(0.0)), "0");
    }

    #[test]
    fn a_mesh_has_processes_of_both_kinds_and_not_more_than_there_can_be() {
        for size in ["0x5", "5x0", "18446744073709551615x2", "5", "5x", "-1x5"] {
            assert!(size.parse::<Size>().is_err(), "{size}");
        }
        assert_eq!("2x30".parse::<Size>().unwrap(), Size { regions: 2, clusters: 30 });
    }
}
