//! `ampmesh ls`.

mod details;
mod listing;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use self::listing::Listing;
use crate::cli::LsArgs;
use crate::exit::Exit;
use crate::operator::{
    Connection, Directory, Operator, Presence, Unregistered, ask_all, details_of_all,
};
use crate::table::Table;
use crate::terminal::{Style, Terminal};
use crate::text::{count, harmless, round_trip, span, uptime};

/// How much is shown of the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// How many there are.
    Count,
    /// Each.
    Each,
    /// Each, and what only those know who hold it.
    Details,
}

/// Lists what the mesh consists of.
///
/// # Errors
/// [`OperatorError`](crate::operator::OperatorError), or those of stdout.
///
/// # Cancellation
/// Nothing is left behind.
pub(crate) async fn run(
    args: &LsArgs,
    data_dir: &Path,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Exit> {
    let listing = async { Operator::connect_any(data_dir, Duration::MAX).await?.directory().await };
    let details =
        async { if args.verbose { details_of_all(data_dir).await.map(Some) } else { Ok(None) } };
    let (directory, asked, details) = tokio::join!(listing, ask_all(data_dir), details);
    let mut directory = directory?;
    directory.mark(asked?);
    if let Some(told) = details? {
        directory.detail(told);
    }
    let extent = match args {
        LsArgs { verbose: true, .. } => Extent::Details,
        LsArgs { connections: true, .. } => Extent::Each,
        _ => Extent::Count,
    };
    if args.json {
        terminal.json(&Listing::of(&directory, extent == Extent::Details))?;
    } else {
        write(&directory, extent, terminal.out, terminal.style)?;
    }
    if let Some((known, why)) = directory.partial() {
        let known: Vec<_> = known.into_iter().map(harmless).collect();
        let (known, why) = (known.join(" and "), harmless(why));
        writeln!(
            terminal.err,
            "ampmesh: the registry cannot be asked, so only the connections of {known} are shown: \
             {why}"
        )?;
    }
    Ok(Exit::Ok)
}

fn write(
    directory: &Directory,
    extent: Extent,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    let Directory { regions, clusters, connections, .. } = directory;
    region_table(directory).write(out, style)?;
    writeln!(out)?;
    let mut table = Table::new(["CLUSTER", "UUID", "VERSION", "UP", "REGIONS", "ROUND TRIP"]);
    for cluster in clusters {
        let own: Vec<&Connection> = directory.connections_of(&cluster.uuid).collect();
        let up = own.iter().map(|it| it.up).max().unwrap_or_default();
        table.push([
            harmless(&cluster.name),
            harmless(&cluster.uuid),
            harmless(cluster.version.as_deref().unwrap_or("-")),
            uptime(up),
            format!("{}/{}", own.len(), regions.len()),
            range(own.iter().filter_map(|it| it.round_trip)),
        ]);
    }
    table.write(out, style)?;
    if extent == Extent::Each {
        writeln!(out)?;
        connection_table(connections).write(out, style)?;
    }
    if extent == Extent::Details {
        details::write(directory, out, style)?;
    }
    let mut summary = [
        count(regions.len() + directory.unregistered.len(), "region"),
        count(clusters.len(), "cluster"),
        count(connections.len(), "connection"),
    ]
    .join(", ");
    let silent = directory.silent();
    if silent > 0 {
        summary += &format!("; no answer from {}", count(silent, "region"));
    }
    let strangers = directory.unregistered.len();
    if strangers > 0 {
        summary += &format!("; not in this registry: {}", count(strangers, "region"));
    }
    writeln!(out, "\n{}", style.faint(&summary))
}

/// The column of answers is there only when one is missing.
fn region_table(directory: &Directory) -> Table {
    let Directory { regions, unregistered, connections, .. } = directory;
    let complete = directory.silent() == 0 && unregistered.is_empty();
    let mut heading = vec!["REGION", "ID", "ADDRESS", "VERSION", "UP", "CLUSTERS"];
    heading.extend((!complete).then_some("ANSWER"));
    let mut table = Table::new(heading);
    for region in regions {
        let own = connections.iter().filter(|it| it.region_id == region.id).count();
        let known = directory.knows_connections_of(&region.id);
        let mut row = vec![
            harmless(&region.name),
            harmless(&region.id),
            harmless(region.addresses.first().map_or("-", String::as_str)),
            harmless(&region.version),
            uptime(region.up),
            if known { own.to_string() } else { "-".to_owned() },
        ];
        row.extend((!complete).then(|| answer(region.presence)));
        table.push(row);
    }
    for Unregistered { name, id, version, presence } in unregistered {
        let unknown = || "-".to_owned();
        let [id, version] = [id, version].map(|it| it.as_deref().map_or_else(unknown, harmless));
        let answer = format!("{}, not registered", answer(*presence));
        table.push([harmless(name), id, unknown(), version, unknown(), unknown(), answer]);
    }
    table
}

fn answer(presence: Presence) -> String {
    match presence {
        Presence::NotAsked => "not asked".to_owned(),
        Presence::Answers => "yes".to_owned(),
        Presence::Silent(waited) => format!("no answer in {}", span(waited)),
    }
}

fn connection_table(connections: &[Connection]) -> Table {
    let mut table = Table::new(["CLUSTER", "REGION", "CLUSTER'S ADDRESS", "UP", "ROUND TRIP"]);
    for it in connections {
        table.push([
            harmless(&it.cluster_name),
            harmless(&it.region_name),
            harmless(&it.address),
            uptime(it.up),
            it.round_trip.map_or_else(|| "-".to_owned(), round_trip),
        ]);
    }
    table
}

/// `0.42 ms`, or `0.42 ms – 3.1 ms` where times differ.
fn range(times: impl Iterator<Item = Duration> + Clone) -> String {
    let (least, most) = (times.clone().min(), times.max());
    match (least.map(round_trip), most.map(round_trip)) {
        (Some(least), Some(most)) if least != most => format!("{least} – {most}"),
        (Some(least), _) => least,
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{KnownRegion, Unasked};

    #[test]
    fn a_range_of_times_is_one_time_where_they_agree() {
        let ms = Duration::from_millis;
        assert_eq!(range([ms(12), ms(12)].into_iter()), "12 ms");
        assert_eq!(range([ms(20), ms(12)].into_iter()), "12 ms – 20 ms");
        assert_eq!(range([].into_iter()), "-");
    }

    #[test]
    fn an_empty_mesh_is_listed_as_such() {
        let mut out = Vec::new();
        write(&Directory::default(), Extent::Each, &mut out, Style::plain()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("0 regions, 0 clusters, 0 connections\n"), "{text}");
    }

    #[test]
    fn nothing_is_said_of_connections_that_only_a_registry_knows_while_it_cannot_be_asked() {
        let region = |id: &str| KnownRegion {
            id: id.to_owned(),
            name: format!("name of {id}"),
            addresses: Vec::new(),
            version: "0.1.0".to_owned(),
            up: Duration::from_secs(9),
            presence: Presence::NotAsked,
        };
        let directory = Directory {
            regions: ["r1", "r2"].map(region).into(),
            unasked: Some(Unasked::new("it hangs".to_owned(), "r1")),
            ..Directory::default()
        };
        let mut out = Vec::new();
        region_table(&directory).write(&mut out, Style::plain()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "REGION      ID  ADDRESS  VERSION  UP   CLUSTERS\n\
             name of r1  r1  -        0.1.0    9 s  0\n\
             name of r2  r2  -        0.1.0    9 s  -\n"
        );
        assert_eq!(directory.partial(), Some((vec!["name of r1"], "it hangs")));
        let json = serde_json::to_value(Listing::of(&directory, false)).unwrap();
        assert_eq!(json["registry_error"], "it hangs");
    }

    #[test]
    fn a_region_that_does_not_answer_is_in_the_table_and_in_the_json() {
        let region = |name: &str, presence| KnownRegion {
            id: format!("id-{name}"),
            name: name.to_owned(),
            addresses: Vec::new(),
            version: "0.1.0".to_owned(),
            up: Duration::from_secs(9),
            presence,
        };
        let second = Duration::from_secs(1);
        let directory = Directory {
            regions: vec![
                region("north", Presence::Answers),
                region("south", Presence::Silent(second)),
            ],
            unregistered: vec![
                Unregistered {
                    name: "arctic".to_owned(),
                    id: Some("id-arctic".to_owned()),
                    version: Some("0.1.0".to_owned()),
                    presence: Presence::Answers,
                },
                Unregistered {
                    name: "west".to_owned(),
                    id: None,
                    version: None,
                    presence: Presence::Silent(second),
                },
            ],
            ..Directory::default()
        };
        let mut out = Vec::new();
        region_table(&directory).write(&mut out, Style::plain()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "REGION  ID         ADDRESS  VERSION  UP   CLUSTERS  ANSWER\n\
             north   id-north   -        0.1.0    9 s  0         yes\n\
             south   id-south   -        0.1.0    9 s  0         no answer in 1 s\n\
             arctic  id-arctic  -        0.1.0    -    -         yes, not registered\n\
             west    -          -        -        -    -         no answer in 1 s, not registered\n"
        );
        let json = serde_json::to_value(Listing::of(&directory, false)).unwrap();
        assert_eq!(json["regions"][0]["answer"], "yes");
        assert_eq!(json["regions"][1]["answer"], "none");
        assert_eq!(json["regions"][1]["waited_ms"], 1000.0);
        assert_eq!(json["regions"][2]["registered"], false);
        assert_eq!(json["regions"][2]["answer"], "yes");
        assert_eq!(json["regions"][3]["registered"], false);
        assert!(json["regions"][3]["id"].is_null());
    }
}
