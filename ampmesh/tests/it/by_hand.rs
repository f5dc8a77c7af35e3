//! `ampmesh region` and `ampmesh cluster`, each started by itself.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Running, ampmesh, failure, mode, run};

pub(crate) fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("amp").tempdir().unwrap()
}

pub(crate) fn path(directory: &Path) -> &str {
    directory.to_str().unwrap()
}

pub(crate) fn region(data_dir: &Path, arguments: &[&str]) -> Running {
    let usual =
        ["region", "--plain", "--data-dir", path(data_dir), "--listen", "127.0.0.1", "--json"];
    let any_port = ["--ports", "0"];
    let ports = if arguments.contains(&"--ports") { &[][..] } else { &any_port };
    Running::start(ampmesh(&[&usual[..], ports, arguments].concat()))
}

pub(crate) fn ready(process: &mut Running) -> Value {
    serde_json::from_str(&process.line_with("\"role\"")).unwrap()
}

#[test]
fn a_first_region_makes_a_secret_and_a_cluster_with_it_joins() {
    let (home, site) = (scratch(), scratch());
    let mut north = region(home.path(), &["--name", "north"]);
    let secret = home.path().join("secret");
    assert!(north.line_with("made a new secret: ").contains(path(&secret)));
    assert_eq!(mode(&secret), 0o600);
    let ready_north = ready(&mut north);
    assert_eq!(ready_north["name"], "north");

    let address = ready_north["address"].as_str().unwrap().to_owned();
    let arguments =
        ["cluster", "--plain", "--data-dir", path(site.path()), "--region", &address, "--json"];
    let (exit, err) = failure(&run(&arguments));
    assert_eq!(exit, 2, "{err}");
    assert!(err.contains("copy the file `secret`"), "{err}");

    let arguments =
        [&arguments[..], &["--secret-file", path(&secret), "--name", "rack-7"]].concat();
    let mut rack = Running::start(ampmesh(&arguments));
    let uuid = ready(&mut rack)["uuid"].as_str().unwrap().to_owned();
    rack.line_with("connected to a region");
    let kept = fs::read_to_string(site.path().join("cluster-uuid")).unwrap();
    assert_eq!(kept.trim(), uuid);

    let eat = ["call", "rack-7", "EatCheez", "name=Gouda", "origin=H", "--data-dir"];
    let answer = run(&[&eat[..], &[path(home.path())]].concat());
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "rating: 6\n", "{answer:?}");

    rack.signal(Signal::TERM);
    assert_eq!(rack.ended().code(), Some(0));
    north.signal(Signal::INT);
    assert_eq!(north.ended().code(), Some(0));
    assert!(!home.path().join("operator/north.sock").exists());
}

#[test]
fn a_region_that_is_told_to_end_finishes_operators_calls_and_takes_no_new_ones() {
    let (home, site) = (scratch(), scratch());
    let mut north = region(home.path(), &["--name", "north", "--log", "info,ampmesh=debug"]);
    let address = ready(&mut north)["address"].as_str().unwrap().to_owned();
    let secret = home.path().join("secret");
    let mut arguments = vec!["cluster", "--data-dir", path(site.path()), "--region", &address];
    arguments.extend(["--secret-file", path(&secret), "--name", "rack-7", "--log", "debug"]);
    let mut rack = Running::start(ampmesh(&arguments));
    rack.line_with("connected to a region");

    let age = ["call", "rack-7", "AgeCheez", "name=Gouda", "seconds=3", "--data-dir"];
    let mut call = Running::start(ampmesh(&[&age[..], &[path(home.path())]].concat()));
    rack.line_with("a cheez is left to ripen");
    north.signal(Signal::TERM);
    north.line_with("operators' calls may finish; new ones are refused");
    let (exit, err) = failure(&run(&["ls", "--data-dir", path(home.path())]));
    assert_eq!(exit, 6, "{err}");
    assert!(err.contains("the region process `north` is ending and takes no new calls"), "{err}");
    call.line_with("rating: 7");
    assert_eq!(call.ended().code(), Some(0));
    assert_eq!(north.ended().code(), Some(0));
}

#[test]
fn without_the_demonstration_its_commands_are_not_there() {
    let home = scratch();
    let mut north = region(home.path(), &["--name", "north", "--no-demo"]);
    ready(&mut north);
    let output = run(&[
        "call",
        "region",
        "RateCheez",
        "name=x",
        "rating=1",
        "--data-dir",
        path(home.path()),
    ]);
    let (exit, err) = failure(&output);
    assert_eq!(exit, 2);
    assert!(err.contains("the region north does not answer `RateCheez`"), "{err}");
}

#[test]
fn a_name_is_taken_once_per_data_directory() {
    let home = scratch();
    let mut first = region(home.path(), &["--name", "north"]);
    ready(&mut first);
    let mut second = region(home.path(), &["--name", "north"]);
    second.line_with("`north` runs in this data directory already; choose another --name");
    assert_eq!(second.ended().code(), Some(2));
    let mut third = region(home.path(), &["--name", "south"]);
    assert_eq!(ready(&mut third)["name"], "south");
}

#[test]
fn a_region_that_cannot_listen_says_where_and_leaves_no_socket() {
    let home = scratch();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut north = region(home.path(), &["--name", "north", "--ports", &port]);
    north.line_with(&format!("cannot start the region: cannot listen: no port from {port} to "));
    assert_eq!(north.ended().code(), Some(2));
    assert!(!home.path().join("operator/north.sock").exists());
}

#[test]
fn a_region_that_starts_clears_away_the_sockets_of_dead_ones() {
    let home = scratch();
    ready(&mut region(home.path(), &["--name", "north"]));
    let dead = home.path().join("operator/a-dead-one.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let again = home.path().join("operator/north.sock");
    drop(std::os::unix::net::UnixListener::bind(&again).unwrap());
    let mut north = region(home.path(), &["--name", "north"]);
    ready(&mut north);
    assert!(!dead.exists() && again.exists());
}

#[test]
fn a_region_with_another_registry_is_listed_and_its_clusters_are_found() {
    let (home, site) = (scratch(), scratch());
    let mut arctic = region(home.path(), &["--name", "arctic"]);
    ready(&mut arctic);
    let other = home.path().join("other.sqlite");
    let mut north = region(home.path(), &["--name", "north", "--registry", path(&other)]);
    let address = ready(&mut north)["address"].as_str().unwrap().to_owned();
    let secret = home.path().join("secret");
    let mut arguments = vec!["cluster", "--data-dir", path(site.path()), "--region", &address];
    arguments.extend(["--secret-file", path(&secret), "--name", "rack-7"]);
    let mut rack = Running::start(ampmesh(&arguments));
    rack.line_with("connected to a region");

    let ls = run(&["ls", "--json", "--data-dir", path(home.path())]);
    let regions = serde_json::from_slice::<Value>(&ls.stdout).unwrap()["regions"].clone();
    assert_eq!(regions[0]["name"], "arctic");
    assert_eq!(regions[1]["name"], "north");
    assert_eq!((&regions[1]["answer"], &regions[1]["registered"]), (&"yes".into(), &false.into()));
    let text = run(&["ls", "--data-dir", path(home.path())]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with("; not in this registry: 1 region\n"), "{text}");

    let pinged = run(&["ping", "rack-7", "-c", "1", "--data-dir", path(home.path())]);
    assert_eq!(pinged.status.code(), Some(0), "{pinged:?}");
}

#[test]
fn nonsense_on_the_operators_socket_is_logged() {
    let home = scratch();
    let mut north = region(home.path(), &["--name", "north"]);
    ready(&mut north);
    let socket = home.path().join("operator/north.sock");
    let mut stranger = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    north.line_with("an operator broke the protocol");
}

#[test]
fn two_first_regions_at_once_agree_on_secret_and_registry() {
    let home = scratch();
    let mut both = [region(home.path(), &["--name", "a"]), region(home.path(), &["--name", "b"])];
    both.iter_mut().for_each(|it| drop(ready(it)));
    let ls = run(&["ls", "--json", "--data-dir", path(home.path())]);
    let mesh: Value = serde_json::from_slice(&ls.stdout).unwrap();
    assert_eq!(mesh["regions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let home = scratch();
    let secret = home.path().join("secret");
    fs::write(&secret, "00112233445566778899aabbccddeeff").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    let (exit, err) =
        failure(&run(&["region", "--data-dir", path(home.path()), "--secret-file", path(&secret)]));
    assert_eq!(exit, 2);
    assert!(err.contains("can be read by other users; `chmod 600` it"), "{err}");
}

#[test]
fn a_secret_that_is_none_is_refused_with_its_file() {
    let home = scratch();
    let secret = home.path().join("secret");
    fs::write(&secret, "drowssap").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let (exit, err) = failure(&run(&["region", "--plain", "--data-dir", path(home.path())]));
    assert_eq!(exit, 2);
    assert!(err.contains(&format!("the secret file {} cannot be used: ", path(&secret))), "{err}");
    assert!(!err.contains("drowssap"), "{err}");
}

#[test]
fn the_secret_is_never_logged() {
    let (home, site) = (scratch(), scratch());
    let mut north = region(home.path(), &["--log", "trace"]);
    let address = ready(&mut north)["address"].as_str().unwrap().to_owned();
    let secret_file = home.path().join("secret");
    let mut arguments = vec!["cluster", "--data-dir", path(site.path()), "--region", &address];
    arguments.extend([
        "--secret-file",
        path(&secret_file),
        "--log",
        "trace",
        "--log-format",
        "json",
    ]);
    let mut rack = Running::start(ampmesh(&arguments));
    rack.line_with("connected to a region");
    let secret = fs::read_to_string(&secret_file).unwrap();
    for process in [&mut rack, &mut north] {
        process.signal(Signal::TERM);
        process.ended();
        assert!(!process.rest().contains(secret.trim()));
    }
}
