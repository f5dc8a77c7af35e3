//! Region processes that share a PostgreSQL database, each with a data directory of its own, as if
//! each had a machine of its own.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use postgres_harness::{Database, Postgres, PostgresError};
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
    on_server(async { Postgres::shared().await?.database().await })
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
    let mut command =
        ampmesh(&["region", "--plain", "--json", "--listen", "127.0.0.1", "--ports", "0"]);
    command.arg("--name").arg(name).arg("--data-dir").arg(home).args(registry);
    command.envs(variable.map(|url| ("AMPMESH_REGISTRY", url)));
    command.env("HOME", home);
    Running::start(command)
}

fn cluster(home: &Path, region: &str) -> Running {
    let mut command =
        ampmesh(&["cluster", "--plain", "--json", "--name", "rack", "--region", region]);
    command.arg("--data-dir").arg(home);
    Running::start(command)
}

/// Calls the cluster by way of the region process of one machine.
fn assert_called(home: &Path) {
    let eat = ["call", "rack", "EatCheez", "name=Gouda", "origin=Holland", "--data-dir"];
    let called = run(&[&eat[..], &[home.to_str().unwrap()]].concat());
    assert!(called.status.success(), "{called:?}");
}

fn ready(process: &mut Running) -> Value {
    serde_json::from_str(&process.line_with("\"role\"")).unwrap()
}

/// What `ls` says on one machine.
fn listed(home: &Path) -> Value {
    let ls = run(&["ls", "--json", "--data-dir", home.to_str().unwrap()]);
    serde_json::from_slice(&ls.stdout).unwrap()
}

/// How long the connection of this region process has been up, in seconds.
fn uptime_of(mesh: &Value, region: &str) -> f64 {
    let mut all = mesh["connections"].as_array().unwrap().iter();
    let known = all.find(|it| it["region"] == region).unwrap_or_else(|| panic!("{mesh:#}"));
    known["uptime_s"].as_f64().unwrap()
}

/// Says what `ls` has to while the registry cannot be asked: what is known is right, and that it is
/// not all.
fn assert_partial(home: &Path, up: f64, password: &str) {
    assert!(up > 0.0);
    let mesh = listed(home);
    assert!(uptime_of(&mesh, "north") >= up, "{mesh:#}");
    let why = mesh["registry_error"].as_str().unwrap_or_else(|| panic!("{mesh:#}"));
    assert!(!why.is_empty() && !why.contains(password), "{why}");
    let (exit, err) = failure(&run(&["ls", "--data-dir", home.to_str().unwrap()]));
    assert_eq!(exit, 0);
    let said = "the registry cannot be asked, so only the connections of north are shown: ";
    assert!(err.contains(said) && err.lines().count() == 1, "{err}");
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
    let mut rack = cluster(site.path(), &address);
    ready(&mut rack);
    // The cluster knows the address of one only.
    until_listed(here.path(), 2, 2);

    south.signal(Signal::KILL);
    south.ended();
    let elapsed = until_listed(here.path(), 1, 1);
    println!("forgotten after {} ms", elapsed.as_millis());
    assert_called(here.path());
    north.signal(Signal::TERM);
    assert!(north.ended().success());
    assert!(!north.rest().contains(&database.password));
}

/// What the server of a database does for a test that stops it.
fn on_server<T>(work: impl Future<Output = Result<T, PostgresError>>) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(work).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn operators_list_and_call_while_the_database_is_gone_or_hangs() {
    let server = on_server(Postgres::own());
    let database = on_server(server.database());
    let (here, there, site) = (machine(), machine(), machine());
    let mut north = region(here.path(), "north", &[], Some(&database.url()));
    let address = ready(&mut north)["address"].as_str().unwrap().to_owned();
    let mut south = region(there.path(), "south", &[], Some(&database.url()));
    ready(&mut south);
    let mut rack = cluster(site.path(), &address);
    ready(&mut rack);
    until_listed(here.path(), 2, 2);

    let up = uptime_of(&listed(here.path()), "north");

    server.freeze().unwrap();
    // Both region processes are known; of the connections, its own.
    until_listed(here.path(), 2, 1);
    assert_partial(here.path(), up, &database.password);
    assert_called(here.path());
    server.thaw().unwrap();
    until_listed(here.path(), 2, 2);
    let whole = listed(here.path());
    assert!(whole["registry_error"].is_null() && uptime_of(&whole, "north") >= up, "{whole:#}");

    on_server(server.stop());
    until_listed(here.path(), 2, 1);
    assert_partial(here.path(), up, &database.password);
    assert_called(here.path());
    north.line_with("the registry fails");
    on_server(server.start());
    north.line_with("the registry works again");
    until_listed(here.path(), 2, 2);
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
