//! What a cluster keeps of its joining, and starts again with.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::keys::{cluster, in_dir, invite, join, json, region, region_at, scratch};
use crate::support::{Running, ampmesh, failure, until};

const UUID: &str = "0f3c2a52-5d3a-4a53-9f4a-3f1f6a6e7a10";
const OTHER: &str = "5b8b0d6e-7f0a-4f0e-8a7f-90f0c2a4d1ce";

/// Whose the only key of a cluster is: its name, and its uuid.
fn owner(home: &Path) -> (String, String) {
    let keys = json(&in_dir(home, &["keys", "ls", "--json"]));
    let key = keys.as_array().unwrap().iter().find(|key| key["role"] == "cluster").unwrap();
    let text = |field: &Value| field.as_str().unwrap().to_owned();
    (text(&key["name"]), text(&key["ident"]))
}

fn start(site: &Path, flags: &[&str]) -> Running {
    let mut command = ampmesh(&[&["cluster", "--json"], flags].concat());
    command.arg("--data-dir").arg(site);
    Running::start(command)
}

fn stop(mut process: Running) {
    process.signal(Signal::TERM);
    process.ended();
}

#[test]
fn a_cluster_joins_as_its_configuration_says() {
    let (home, site) = (scratch(), scratch());
    let _north = region(home.path(), "north");
    let file = site.path().join("ampmesh.toml");
    fs::write(&file, format!("[cluster]\nname = 'rack-9'\nuuid = '{UUID}'\n")).unwrap();
    let config = ["--config", file.to_str().unwrap()];
    let joined = json(&in_dir(
        site.path(),
        &[&["join", &invite(home.path()), "--json"], &config[..]].concat(),
    ));
    assert_eq!((joined["name"].as_str(), joined["uuid"].as_str()), (Some("rack-9"), Some(UUID)));
    assert_eq!(owner(home.path()), ("rack-9".to_owned(), UUID.to_owned()));
    start(site.path(), &config).line_with("connected to a region");
}

#[test]
fn the_uuid_that_was_joined_with_is_kept_and_no_other_is_claimed() {
    let (home, site) = (scratch(), scratch());
    let _north = region(home.path(), "north");
    let token = invite(home.path());
    json(&in_dir(site.path(), &["join", &token, "--uuid", UUID, "--json"]));
    assert_eq!(owner(home.path()).1, UUID);
    let mut rack = start(site.path(), &[]);
    rack.line_with("connected to a region");
    assert!(rack.line_with("\"role\"").contains(UUID));
    stop(rack);

    let (exit, err) = failure(&in_dir(site.path(), &["cluster", "--uuid", OTHER]));
    assert_eq!(exit, 2, "{err}");
    assert!(err.contains(UUID) && err.contains(OTHER) && err.contains("ampmesh join"), "{err}");
    start(site.path(), &["--uuid", UUID]).line_with("connected to a region");
}

#[test]
fn a_second_token_is_left_good_and_who_is_killed_on_the_way_comes_again_with_the_same() {
    let (home, site, other) = (scratch(), scratch(), scratch());
    let _north = region(home.path(), "north");
    let (token, second) = (invite(home.path()), invite(home.path()));
    let first = join(site.path(), &token);
    assert_eq!(first["had_joined"], false);

    let again = in_dir(site.path(), &["join", &second, "--name", "rack-7"]);
    let (exit, err) = failure(&again);
    assert_eq!(exit, 0, "{err}");
    let out = String::from_utf8(again.stdout).unwrap();
    let key = first["key"].as_str().unwrap();
    assert_eq!(out, format!("rack-7 had joined before, with the key {key}\n"));
    assert!(err.contains("the token was not used"), "{err}");
    assert_eq!(join(site.path(), &second)["had_joined"], true);

    // As a kill leaves it between the answer and what is written down of it.
    fs::remove_file(site.path().join("regions.json")).unwrap();
    let retried = join(site.path(), &token);
    assert_eq!((retried["had_joined"].as_bool(), &retried["key"]), (Some(false), &first["key"]));
    assert_eq!(join(other.path(), &second)["had_joined"], false);
}

#[test]
fn a_cluster_comes_back_when_the_region_process_that_let_it_in_is_gone_for_good() {
    let (home, site) = (scratch(), scratch());
    let north = region(home.path(), "north");
    join(site.path(), &invite(home.path()));
    let mut rack = cluster(site.path());
    let (_south, address) = region_at(home.path(), "south");
    rack.line_with("connected to a region");
    let kept = || fs::read_to_string(site.path().join("regions.json")).unwrap();
    until("the cluster writes down where the other is", || kept().contains(&address));
    stop(north);
    stop(rack);
    start(site.path(), &[]).line_with("connected to a region");
}

#[test]
fn a_cluster_that_has_all_its_files_starts_on_a_full_disk() {
    let (home, site) = (scratch(), scratch());
    let _north = region(home.path(), "north");
    join(site.path(), &invite(home.path()));
    stop(cluster(site.path()));
    // Nothing can be written to a file any more, as on a disk that is full.
    let mut full = Command::new("/bin/sh");
    full.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"]);
    full.arg(env!("CARGO_BIN_EXE_ampmesh")).args(["cluster", "--data-dir"]).arg(site.path());
    full.stdin(Stdio::null()).env_clear();
    Running::start(full).line_with("connected to a region");
}
