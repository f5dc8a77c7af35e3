//! The mesh's own commands as a page of the book's reference, made from their schemas.
#![expect(clippy::print_stdout, reason = "the page goes to standard output")]

use amp_proto::{Command, CommandSchema, FieldSchema, RoleName};
use mesh::commands::{
    AnnounceKey, Authenticate, Cancel, Credit, Describe, End, Identify, Item, Join, Leave,
    ListRegionKeys, ListRegions, Negotiate, Part, Ping, RegionKeysChanged, RegionsChanged,
    RegisterCluster, RotateKey, StartTls, Unwanted,
};

// ANCHOR: schemas
const BOTH: [CommandSchema; 12] = [
    Authenticate::SCHEMA,
    Negotiate::SCHEMA,
    Identify::SCHEMA,
    Ping::SCHEMA,
    Leave::SCHEMA,
    Describe::SCHEMA,
    Cancel::SCHEMA,
    Item::SCHEMA,
    Credit::SCHEMA,
    End::SCHEMA,
    Unwanted::SCHEMA,
    Part::SCHEMA,
];
const REGION: [CommandSchema; 6] = [
    StartTls::SCHEMA,
    Join::SCHEMA,
    RegisterCluster::SCHEMA,
    ListRegions::SCHEMA,
    ListRegionKeys::SCHEMA,
    AnnounceKey::SCHEMA,
];
const CLUSTER: [CommandSchema; 3] =
    [RegionsChanged::SCHEMA, RegionKeysChanged::SCHEMA, RotateKey::SCHEMA];
// ANCHOR_END: schemas

fn main() {
    chapter("Both sides", &[RoleName::Region, RoleName::Cluster], &BOTH);
    chapter("Regions", &[RoleName::Region], &REGION);
    chapter("Clusters", &[RoleName::Cluster], &CLUSTER);
}

fn chapter(title: &str, answered_by: &[RoleName], commands: &[CommandSchema]) {
    println!("## {title}\n");
    for command in commands {
        assert_eq!(command.answered_by, answered_by, "{} is in the wrong chapter", command.name);
        println!("### {}\n\n{}\n", command.name, command.doc);
        table("argument", command.arguments);
        table("response", command.response);
        for error in command.errors {
            println!("- error `{}`{}", error.code, if error.fatal { ", fatal" } else { "" });
        }
        if !command.errors.is_empty() {
            println!();
        }
    }
}

fn table(title: &str, fields: &[FieldSchema]) {
    if fields.is_empty() {
        return;
    }
    println!("| {title} | type | |\n|---|---|---|");
    for FieldSchema { name, kind, optional, doc } in fields {
        let optional = if *optional { "?" } else { "" };
        println!("| `{name}` | `{kind}`{optional} | {doc} |");
    }
    println!();
}
