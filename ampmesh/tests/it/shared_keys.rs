//! Keys that region processes of many machines share through PostgreSQL, as operators see them.
//! Each process has a data directory of its own, as if it had a machine of its own.

use std::path::Path;
use std::process::Output;

use postgres_harness::{Database, Postgres, PostgresError};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Running, ampmesh, failure, run, until};

fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("amp").tempdir().unwrap()
}

/// What the server of a database does for a test.
fn on_server<T>(work: impl Future<Output = Result<T, PostgresError>>) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(work).unwrap_or_else(|error| panic!("{error}"))
}

fn database() -> Database {
    on_server(async { Postgres::shared().await?.database().await })
}

fn in_dir(data_dir: &Path, arguments: &[&str]) -> Output {
    run(&[arguments, &["--data-dir", data_dir.to_str().unwrap()]].concat())
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A region process that is up.
fn region(home: &Path, name: &str, registry: Option<&str>) -> Running {
    let mut command = ampmesh(&["region", "--listen", "127.0.0.1", "--ports", "0", "--json"]);
    command.arg("--name").arg(name).arg("--data-dir").arg(home);
    command.envs(registry.map(|url| ("AMPMESH_REGISTRY", url)));
    let mut region = Running::start(command);
    region.line_with("\"role\"");
    region
}

fn stop(mut region: Running) {
    region.signal(Signal::TERM);
    assert!(region.ended().success());
}

fn cluster(site: &Path) -> Running {
    let mut command = ampmesh(&["cluster", "--json", "--name", "rack-7"]);
    command.arg("--data-dir").arg(site);
    Running::start(command)
}

fn invite(home: &Path) -> String {
    json(&in_dir(home, &["invite", "--json"]))["token"].as_str().unwrap().to_owned()
}

fn join(site: &Path, token: &str) -> Output {
    in_dir(site, &["join", token, "--name", "rack-7", "--json"])
}

/// The keys of clusters, and whether each is good.
fn keys_of_clusters(home: &Path) -> Vec<(String, bool)> {
    let keys = json(&in_dir(home, &["keys", "ls", "--json"]));
    let keys = keys.as_array().unwrap().iter().filter(|key| key["role"] == "cluster");
    keys.map(|key| (key["key"].as_str().unwrap().to_owned(), key["good"].as_bool().unwrap()))
        .collect()
}

const EAT: [&str; 4] = ["call", "rack-7", "EatCheez", "name=Gouda"];

fn is_answered(home: &Path) -> bool {
    in_dir(home, &[&EAT[..], &["origin=Holland"]].concat()).status.success()
}

#[test]
fn an_invite_of_one_machine_opens_another_and_a_revoked_key_is_gone_on_all() {
    let (database, here, there) = (database(), scratch(), scratch());
    let (site, thief) = (scratch(), scratch());
    let url = database.url();
    let north = region(here.path(), "north", Some(&url));
    let _south = region(there.path(), "south", Some(&url));
    // The token names the region processes that are known.
    until("the processes find each other", || {
        json(&in_dir(here.path(), &["ls", "--json"]))["regions"].as_array().unwrap().len() == 2
    });
    let token = invite(here.path());
    // Whoever made the invite is gone; the other is there.
    stop(north);
    let joined = json(&join(site.path(), &token));
    let (exit, err) = failure(&join(thief.path(), &token));
    assert_eq!(exit, 3, "{err}");
    assert!(err.contains("the invite was used before"), "{err}");
    let _north = region(here.path(), "north", Some(&url));
    let key = joined["key"].as_str().unwrap().to_owned();
    for home in [&here, &there] {
        assert_eq!(keys_of_clusters(home.path()), [(key.clone(), true)]);
        assert!(!home.path().join("keys.sqlite").exists(), "nothing is kept here");
    }

    let mut rack = cluster(site.path());
    for home in [&here, &there] {
        until("the cluster finds both", || is_answered(home.path()));
    }
    let revoked = json(&in_dir(there.path(), &["keys", "revoke", "rack-7", "--json"]));
    assert_eq!(revoked["revoked"][0], joined["key"]);
    rack.line_with("the region refuses our key: this key was revoked");
    for home in [&here, &there] {
        until("the cluster is gone", || !is_answered(home.path()));
        assert_eq!(keys_of_clusters(home.path()), [(key.clone(), false)]);
    }
}

#[test]
fn keys_are_changed_by_way_of_any_machine() {
    let (database, here, there, site) = (database(), scratch(), scratch(), scratch());
    let url = database.url();
    let _north = region(here.path(), "north", Some(&url));
    let _south = region(there.path(), "south", Some(&url));
    let joined = json(&join(site.path(), &invite(here.path())));
    let mut rack = cluster(site.path());
    until("the cluster finds both", || is_answered(here.path()) && is_answered(there.path()));
    let rotated = json(&in_dir(there.path(), &["keys", "rotate", "rack-7", "--json"]));
    assert_eq!(rotated[0]["error"], Value::Null, "{rotated}");
    rack.line_with("the cluster has a new key");
    let keys = keys_of_clusters(here.path());
    assert!(keys.len() == 2 && keys.iter().all(|(_, is_good)| *is_good), "{keys:?}");
    assert!(keys.iter().any(|(key, _)| joined["key"] == **key), "{keys:?}");
    until("the cluster is called", || is_answered(here.path()) && is_answered(there.path()));
}

#[test]
fn the_keys_of_a_machine_are_brought_along_when_it_shares_them() {
    let (database, home, site) = (database(), scratch(), scratch());
    let url = database.url();
    let alone = region(home.path(), "north", None);
    let token = invite(home.path());
    let joined = json(&join(site.path(), &token));
    let (key, gone) = (joined["key"].as_str().unwrap().to_owned(), scratch());
    json(&join(gone.path(), &invite(home.path())));
    let lost = keys_of_clusters(home.path());
    let (lost, _) = lost.iter().find(|(it, _)| *it != key).unwrap();
    json(&in_dir(home.path(), &["keys", "revoke", lost, "--json"]));
    stop(alone);

    let mut shared = region(home.path(), "north", Some(&url));
    assert_eq!(keys_of_clusters(home.path()), [(key.clone(), true)], "what was good is good");
    shared.line_with("the keys of this machine are in the database now");
    json(&in_dir(home.path(), &["keys", "revoke", "rack-7", "--json"]));
    stop(shared);
    // What is in the file is of no account any more.
    let shared = region(home.path(), "north", Some(&url));
    assert_eq!(keys_of_clusters(home.path()), [(key, false)]);
    stop(shared);
    // Nor does it come back when somebody forgets to name the database.
    let alone = ["region", "--name", "north", "--listen", "127.0.0.1", "--ports", "0"];
    let (exit, err) = failure(&in_dir(home.path(), &alone));
    assert_eq!(exit, 2, "{err}");
    assert!(err.contains("keys.moved") && err.contains("--registry-url-file"), "{err}");
}

#[test]
fn whoever_joins_while_the_database_is_gone_is_told_to_come_again() {
    let server = on_server(Postgres::own());
    let database = on_server(server.database());
    let (home, site) = (scratch(), scratch());
    let mut north = region(home.path(), "north", Some(&database.url()));
    let token = invite(home.path());
    on_server(server.stop());
    north.line_with("the keys cannot be looked up");
    let (exit, err) = failure(&join(site.path(), &token));
    assert_eq!(exit, 3, "{err}");
    assert!(err.contains("the region cannot look its keys up now"), "{err}");
    for command in [&["invite"][..], &["keys", "ls"], &["keys", "revoke", "rack-7"]] {
        let (_, err) = failure(&in_dir(home.path(), command));
        assert!(err.contains("no connection to the registry's database"), "{command:?}: {err}");
        assert!(!err.contains(&database.password), "{err}");
    }
    on_server(server.start());
    until("the same token opens the door", || join(site.path(), &token).status.success());
    north.line_with("the keys can be looked up again");
    north.signal(Signal::TERM);
    north.ended();
    assert!(!north.rest().contains(&database.password));
}
