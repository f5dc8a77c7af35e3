//! Region processes that share a PostgreSQL database, each with a data directory of its own, as if
//! each had a machine of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use postgres_harness::{Database, Postgres};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{Running, ampmesh, failure, run};

fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("amp").tempdir().unwrap()
}

/// A database of the shared server.
fn database() -> Database {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let made = runtime.block_on(async { Postgres::shared().await?.database().await });
    made.unwrap_or_else(|error| panic!("{error}"))
}

/// A data directory that has the mesh's secret.
fn machine() -> TempDir {
    let home = scratch();
    let secret = home.path().join("secret");
    fs::write(&secret, "00112233445566778899aabbccddeeff").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    home
}

fn region(home: &Path, name: &str, registry: &[&str], variable: Option<&str>) -> Running {
    let mut command = ampmesh(&["region", "--json", "--listen", "127.0.0.1", "--ports", "0"]);
    command.arg("--name").arg(name).arg("--data-dir").arg(home).args(registry);
    command.envs(variable.map(|url| ("AMPMESH_REGISTRY", url)));
    command.env("HOME", home);
    Running::start(command)
}

fn ready(process: &mut Running) -> Value {
    serde_json::from_str(&process.line_with("\"role\"")).unwrap()
}

/// What `ls` says on one machine.
fn listed(home: &Path) -> Value {
    let ls = run(&["ls", "--json", "--data-dir", home.to_str().unwrap()]);
    serde_json::from_slice(&ls.stdout).unwrap()
}

/// Waits until `ls` lists so many region processes and connections, and tells how long that took.
fn until_listed(home: &Path, regions: usize, connections: usize) -> Duration {
    let began = Instant::now();
    loop {
        let mesh = listed(home);
        let count = |key: &str| mesh[key].as_array().map_or(0, Vec::len);
        if (count("regions"), count("connections")) == (regions, connections) {
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{mesh:#}");
    }
}

#[test]
fn region_processes_of_two_machines_find_each_other_and_one_that_is_killed_is_forgotten() {
    let (database, here, there, site) = (database(), machine(), machine(), machine());
    // The password of one is in the environment, of the other in PostgreSQL's own file.
    let mut north = region(here.path(), "north", &[], Some(&database.url()));
    let address = ready(&mut north)["address"].as_str().unwrap().to_owned();
    let passwords = there.path().join(".pgpass");
    fs::write(&passwords, format!("*:*:*:*:{}\n", database.password)).unwrap();
    fs::set_permissions(&passwords, Permissions::from_mode(0o600)).unwrap();
    let url = database.url().replace(&format!("&password={}", database.password), "");
    let mut south = region(there.path(), "south", &["--registry", &url], None);
    ready(&mut south);
    for process in [&north, &south] {
        let line = fs::read_to_string(format!("/proc/{}/cmdline", process.pid())).unwrap();
        assert!(!line.contains(&database.password), "{line}");
    }
    let mut command = ampmesh(&["cluster", "--json", "--name", "rack", "--region", &address]);
    let mut rack = Running::start({
        command.arg("--data-dir").arg(site.path());
        command
    });
    ready(&mut rack);
    // The cluster knows the address of one only.
    until_listed(here.path(), 2, 2);

    south.signal(Signal::KILL);
    south.ended();
    let elapsed = until_listed(here.path(), 1, 1);
    println!("forgotten after {} ms", elapsed.as_millis());
    let data_dir = here.path().to_str().unwrap();
    let called =
        run(&["call", "rack", "EatCheez", "name=Gouda", "origin=Holland", "--data-dir", data_dir]);
    assert!(called.status.success(), "{called:?}");
    north.signal(Signal::TERM);
    assert!(north.ended().success());
    assert!(!north.rest().contains(&database.password));
}

#[test]
fn a_registry_that_refuses_says_so_and_the_password_stays_secret() {
    let (database, home) = (database(), machine());
    let wrong = database.url_with("geheim-and-wrong");
    let mut refused = region(home.path(), "north", &[], Some(&wrong));
    let line = refused.line_with("cannot open the registry");
    assert!(line.contains("does not let us in: FATAL: password authentication failed"), "{line}");
    assert_eq!(refused.ended().code(), Some(2));
    assert!(!refused.rest().contains("geheim"));

    let nobody = "postgres://ada:geheim@127.0.0.1:1/mesh";
    let mut alone = region(home.path(), "north", &[], Some(nobody));
    alone.line_with("no connection to the registry's database at 127.0.0.1:1/mesh");
    assert_eq!(alone.ended().code(), Some(5));
    assert!(!alone.rest().contains("geheim"));
}

#[test]
fn a_password_has_to_be_where_nobody_else_can_read_it() {
    let home = machine();
    let url = "postgres://ada:geheim@127.0.0.1:1/mesh";
    let (exit, err) = failure(&run(&["region", "--registry", url]));
    assert_eq!(exit, 2);
    assert!(err.contains("AMPMESH_REGISTRY") && !err.contains("geheim"), "{err}");

    let file = home.path().join("mesh.toml");
    fs::write(&file, format!("[region]\nregistry = '{url}'\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let (exit, err) = failure(&run(&["region", "--config", file.to_str().unwrap()]));
    assert_eq!(exit, 2);
    assert!(err.contains("`chmod 600` it") && !err.contains("geheim"), "{err}");

    let file = home.path().join("url");
    fs::write(&file, url).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    let (exit, err) = failure(&run(&["region", "--registry-url-file", file.to_str().unwrap()]));
    assert_eq!(exit, 2);
    assert!(err.contains("`chmod 600` it") && !err.contains("geheim"), "{err}");
}
