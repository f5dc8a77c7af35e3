//! What `ampmesh ls -v` shows of connections: three tables, because one would be too wide.

use std::io::{self, Write};

use crate::operator::{Connection, Directory, Proof, ReportedAgreement, ReportedDetails};
use crate::table::Table;
use crate::terminal::Style;
use crate::text::{bytes, harmless, round_trip, uptime};

/// What is not known, or not there.
const NONE: &str = "-";

/// Writes the tables, and whose connections are not in them.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(directory: &Directory, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let connections = &directory.connections;
    let told = || connections.iter().filter_map(|it| Some((it, it.details.as_ref()?)));
    writeln!(out)?;
    ways(connections).write(out, style)?;
    writeln!(out)?;
    proofs(told()).write(out, style)?;
    writeln!(out)?;
    agreements(told()).write(out, style)?;
    let regions = directory.regions.iter().map(|it| (&it.name, Some(&it.id)));
    let strangers = directory.unregistered.iter().map(|it| (&it.name, it.id.as_ref()));
    let untold = regions.chain(strangers).filter_map(|(name, id)| {
        let why = directory.untold.get(id.unwrap_or(name))?;
        Some(format!("{}: {}", harmless(name), harmless(&why.to_string())))
    });
    let untold: Vec<String> = untold.collect();
    if !untold.is_empty() {
        writeln!(out, "\nNothing more is known of the connections of these region processes:")?;
        untold.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    Ok(())
}

/// Where each goes, and what is under way on it.
fn ways(connections: &[Connection]) -> Table {
    let heading = ["CLUSTER", "REGION", "CLUSTER'S ADDRESS", "UP", "ROUND TRIP", "CALLS TO/FROM"];
    let mut table = Table::new(heading);
    for it in connections {
        let calls = it.details.as_ref();
        table.push([
            harmless(&it.cluster_name),
            harmless(&it.region_name),
            harmless(&it.address),
            uptime(it.up),
            it.round_trip.map_or_else(|| NONE.to_owned(), round_trip),
            calls.map_or_else(
                || NONE.to_owned(),
                |it| format!("{}/{}", it.calls_to_cluster, it.calls_to_region),
            ),
        ]);
    }
    table
}

/// Whom it is with, and how that is known.
fn proofs<'a>(told: impl Iterator<Item = (&'a Connection, &'a ReportedDetails)>) -> Table {
    let mut table = Table::new(["CLUSTER", "REGION", "OVER", "PROVED BY"]);
    for (it, details) in told {
        let proof = match (details.proof, &details.key) {
            (Proof::Key, Some(key)) => format!("key {key}"),
            (Proof::Key, None) => "key".to_owned(),
            (Proof::Secret, _) => "secret".to_owned(),
            (Proof::Nothing, _) => "nothing".to_owned(),
        };
        let over = if details.is_encrypted { "TLS" } else { "plain" };
        table.push([harmless(&it.cluster_name), harmless(&it.region_name), over.to_owned(), proof]);
    }
    table
}

/// What both ends said that they can do.
fn agreements<'a>(told: impl Iterator<Item = (&'a Connection, &'a ReportedDetails)>) -> Table {
    let heading =
        ["CLUSTER", "REGION", "FEATURES", "BOX", "LARGE", "CALLS TO/FROM", "WINDOW TO/FROM"];
    let mut table = Table::new(heading);
    for (it, details) in told {
        let mut row = vec![harmless(&it.cluster_name), harmless(&it.region_name)];
        match details.agreed.first() {
            Some(agreed) => row.extend(agreement(agreed)),
            None => row.extend(["none: plain AMP", NONE, NONE, NONE, NONE].map(str::to_owned)),
        }
        table.push(row);
    }
    table
}

fn agreement(it: &ReportedAgreement) -> [String; 5] {
    let (to, from) = (bytes(it.window_to_cluster_bytes), bytes(it.window_to_region_bytes));
    [
        harmless(&it.features.join(" ")),
        bytes(it.box_bytes_max),
        bytes(it.large_bytes_max),
        format!("{}/{}", it.calls_to_cluster_max, it.calls_to_region_max),
        format!("{to}/{from}"),
    ]
}
