//! `ampmesh ls -v`: what was agreed on every connection, and who could not be asked.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::by_hand::{path, ready, region, scratch};
use crate::keys;
use crate::support::{Dev, Running, ampmesh, run};

const FEATURES: [&str; 6] = ["cancel", "deadline", "trace", "stream", "large", "once"];

fn text(data_dir: &Path) -> String {
    let output = run(&["ls", "-v", "--data-dir", path(data_dir)]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn listed(data_dir: &Path) -> Value {
    let output = run(&["ls", "-v", "--json", "--data-dir", path(data_dir)]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The connection of the cluster with this name.
fn connection_of<'a>(mesh: &'a Value, cluster: &str) -> &'a Value {
    let mut all = mesh["connections"].as_array().unwrap().iter();
    all.find(|it| it["cluster"] == cluster).unwrap_or_else(|| panic!("{cluster}: {mesh:#}"))
}

/// The table whose heading has this in it, each row with its cells.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let table = text.split("\n\n").find(|it| it.lines().next().unwrap().contains(heading));
    let rows = table.unwrap_or_else(|| panic!("no {heading}: {text}")).lines();
    rows.map(|row| row.split("  ").map(str::trim).filter(|it| !it.is_empty()))
        .map(|cells| cells.map(str::to_owned).collect())
        .collect()
}

/// A stock Twisted cluster.
fn stock_cluster(uuid: &str, address: &str, secret: &Path) -> Running {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let interpreter = std::env::var_os("AMPMESH_VENV")
        .map_or_else(|| repository.join("target/venv"), PathBuf::from)
        .join("bin/python");
    assert!(interpreter.exists(), "{} is missing: run tests/setup", interpreter.display());
    let mut command = Command::new(interpreter);
    command.arg(repository.join("tests/python/twisted_cluster.py"));
    command.args(["--uuid", uuid, "--name", "stock", address, "--secret-file"]).arg(secret);
    Running::start(command)
}

#[test]
fn a_stock_cluster_stands_beside_one_of_ours_and_has_agreed_on_nothing() {
    const STOCK: &str = "5f0d6a3e-0000-4000-8000-00000000000a";
    let (home, site) = (scratch(), scratch());
    let mut north = region(home.path(), &["--name", "north"]);
    let address = ready(&mut north)["address"].as_str().unwrap().to_owned();
    let secret = home.path().join("secret");
    let _stock = stock_cluster(STOCK, &address, &secret);
    north.line_with("a cluster is connected");
    let mut arguments = vec!["cluster", "--data-dir", path(site.path()), "--region", &address];
    arguments.extend(["--secret-file", path(&secret), "--name", "ours"]);
    let mut ours = Running::start(ampmesh(&arguments));
    ours.line_with("connected to a region");

    let mesh = listed(home.path());
    assert_eq!(mesh["regions"][0]["details"], "given");
    let stock = mesh["connections"].as_array().unwrap().iter();
    let stock = stock.clone().find(|it| it["cluster_uuid"] == STOCK).unwrap();
    let name = stock["cluster"].as_str().unwrap();
    assert_eq!(
        stock["details"],
        json!({
            "transport": "plain", "proved_by": "secret", "key": null,
            "calls_to_cluster": 0, "calls_to_region": 0, "agreed": null,
        })
    );
    let details = &connection_of(&mesh, "ours")["details"];
    assert_eq!((&details["transport"], &details["proved_by"]), (&json!("plain"), &json!("secret")));
    assert_eq!(
        details["agreed"],
        json!({
            "version": 1, "features": FEATURES,
            "box_bytes_max": 1 << 20, "large_bytes_max": 16 << 20,
            "calls_to_cluster_max": 1024, "calls_to_region_max": 1024,
            "window_to_cluster_bytes": 64 << 10, "window_to_region_bytes": 64 << 10,
        })
    );

    let text = text(home.path());
    let agreed = table(&text, "FEATURES");
    let heading =
        ["CLUSTER", "REGION", "FEATURES", "BOX", "LARGE", "CALLS TO/FROM", "WINDOW TO/FROM"];
    assert_eq!(agreed[0], heading);
    let (features, window) = (FEATURES.join(" "), "64 KiB/64 KiB");
    let of_ours = ["ours", "north", &features, "1 MiB", "16 MiB", "1024/1024", window];
    assert!(agreed.iter().any(|row| row == &of_ours), "{text}");
    let of_stock = [name, "north", "none: plain AMP", "-", "-", "-", "-"];
    assert!(agreed.iter().any(|row| row == &of_stock), "{text}");
    assert!(table(&text, "PROVED BY").iter().any(|row| *row == [name, "north", "plain", "secret"]));
    assert!(!text.contains("Nothing more is known"), "{text}");
}

#[test]
fn the_key_of_a_connection_is_that_of_the_list_of_keys() {
    let (home, site) = (scratch(), scratch());
    let _north = keys::region(home.path(), "north");
    keys::join(site.path(), &keys::invite(home.path()));
    let _rack = keys::cluster(site.path());
    let known = run(&["keys", "ls", "--json", "--data-dir", path(home.path())]);
    let known: Value = serde_json::from_slice(&known.stdout).unwrap();
    let mut known = known.as_array().unwrap().iter();
    let key = known.find(|key| key["role"] == "cluster").unwrap()["key"].as_str().unwrap();

    let mesh = listed(home.path());
    let details = &connection_of(&mesh, "rack-7")["details"];
    assert_eq!((&details["transport"], &details["proved_by"]), (&json!("tls"), &json!("key")));
    assert_eq!(details["key"], key);
    assert_eq!(details["agreed"]["features"], json!(FEATURES));
    let text = text(home.path());
    let row = ["rack-7", "north", "TLS", &format!("key {key}")];
    assert!(table(&text, "PROVED BY").iter().any(|it| it == &row), "{text}");
}

#[test]
fn calls_under_way_are_counted_both_ways() {
    let mut dev = Dev::start(&["--regions", "1", "--clusters", "1", "--log", "ampmesh=debug"]);
    let data_dir = dev.data_dir.to_str().unwrap();
    let age = ["call", "cluster-1", "AgeCheez", "name=Gouda", "seconds=60", "--data-dir", data_dir];
    let mut call = Running::start(ampmesh(&age));
    dev.process.line_with("a cheez is left to ripen");
    let details = &listed(&dev.data_dir)["connections"][0]["details"];
    let counted = (&details["calls_to_cluster"], &details["calls_to_region"]);
    assert_eq!(counted, (&json!(1), &json!(0)));
    let text = text(&dev.data_dir);
    assert_eq!(table(&text, "CLUSTER'S ADDRESS").last().unwrap().last().unwrap(), "1/0", "{text}");
    // Its end would wait for the call.
    dev.child("cluster-1").signal(Signal::KILL);
    call.ended();
}

#[test]
fn region_processes_that_cannot_be_asked_are_named_with_the_reason() {
    let dev = Dev::start(&["--regions", "2", "--clusters", "1"]);
    let hanging = dev.child("region-1");
    hanging.stop();
    let mesh = listed(&dev.data_dir);
    let told: Vec<_> =
        mesh["regions"].as_array().unwrap().iter().map(|it| &it["details"]).collect();
    assert_eq!(told, ["none", "given"]);
    let connections = mesh["connections"].as_array().unwrap();
    let of = |region: &str| connections.iter().find(|it| it["region"] == region).unwrap();
    assert!(of("region-1")["details"].is_null(), "{mesh:#}");
    assert!(of("region-2")["details"]["agreed"].is_object(), "{mesh:#}");
    let text = text(&dev.data_dir);
    assert!(text.contains("\n  region-1: no answer in 1 s\n"), "{text}");
    hanging.signal(Signal::CONT);
}

#[test]
fn a_region_process_of_another_data_directory_is_not_asked_and_one_of_another_registry_is() {
    let (home, elsewhere) = (scratch(), scratch());
    let registry = home.path().join("registry.sqlite");
    let mut north = region(home.path(), &["--name", "north", "--registry", path(&registry)]);
    ready(&mut north);
    let mut south = region(elsewhere.path(), &["--name", "south", "--registry", path(&registry)]);
    ready(&mut south);
    let other = home.path().join("other.sqlite");
    let mut west = region(home.path(), &["--name", "west", "--registry", path(&other)]);
    let address = ready(&mut west)["address"].as_str().unwrap().to_owned();
    let (secret, site) = (home.path().join("secret"), scratch());
    let mut arguments = vec!["cluster", "--data-dir", path(site.path()), "--region", &address];
    arguments.extend(["--secret-file", path(&secret), "--name", "rack-7"]);
    let mut rack = Running::start(ampmesh(&arguments));
    rack.line_with("connected to a region");

    let mesh = listed(home.path());
    let told = |name: &str| {
        let mut regions = mesh["regions"].as_array().unwrap().iter();
        regions.find(|it| it["name"] == name).unwrap_or_else(|| panic!("{mesh:#}"))["details"]
            .clone()
    };
    assert_eq!(
        (told("north"), told("south"), told("west")),
        ("given".into(), "not-asked".into(), "given".into())
    );
    assert!(connection_of(&mesh, "rack-7")["details"].is_object());
    assert_eq!(mesh["clusters"][0]["name"], "rack-7");
    let text = text(home.path());
    assert!(
        text.contains("\n  south: not asked: it does not run with this data directory\n"),
        "{text}"
    );
    assert!(table(&text, "FEATURES").iter().any(|row| row[..2] == ["rack-7", "west"]), "{text}");
}
