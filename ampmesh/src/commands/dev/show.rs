//! The mesh as a table.

use std::io::{self, Write};
use std::time::Duration;

use super::mesh::Mesh;
use crate::table::Table;
use crate::terminal::Style;
use crate::text::{count, harmless, round_trip};

/// Writes what is there: a line per cluster, a column of round trips per region.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(
    mesh: &Mesh,
    took: Duration,
    out: &mut (dyn Write + Send),
    style: Style,
) -> io::Result<()> {
    writeln!(
        out,
        "{} × {}: {}, up after {:.2} s\n",
        count(mesh.operators.len(), "region"),
        count(mesh.clusters.len(), "cluster"),
        style.strong(&count(mesh.connections, "connection")),
        took.as_secs_f64(),
    )?;
    let regions = mesh.operators.iter().map(|operator| harmless(operator.name()).to_uppercase());
    let heading = ["CLUSTER".to_owned(), "UUID".to_owned()].into_iter().chain(regions);
    let mut table = Table::new(heading);
    for (index, cluster) in mesh.clusters.iter().enumerate() {
        let times = mesh.round_trips.iter().map(|row| row.get(index).copied());
        let times = times.map(|time| time.map_or_else(|| "-".to_owned(), round_trip));
        table.push([harmless(&cluster.name), harmless(&cluster.id)].into_iter().chain(times));
    }
    table.write(out, style)?;
    writeln!(out)?;
    out.flush()
}
