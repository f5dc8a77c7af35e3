//! Identity by key, as operators see it: `invite`, `join`, `keys`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::support::{Running, ampmesh, failure, mode, run};

pub(crate) fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("amp").tempdir().unwrap()
}

pub(crate) fn in_dir(data_dir: &Path, arguments: &[&str]) -> Output {
    run(&[arguments, &["--data-dir", data_dir.to_str().unwrap()]].concat())
}

pub(crate) fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn region(data_dir: &Path, name: &str) -> Running {
    region_at(data_dir, name).0
}

/// A region process, and its address.
pub(crate) fn region_at(data_dir: &Path, name: &str) -> (Running, String) {
    let data_dir = data_dir.to_str().unwrap();
    let usual = ["region", "--listen", "127.0.0.1", "--ports", "0", "--json"];
    let mut region =
        Running::start(ampmesh(&[&usual[..], &["--data-dir", data_dir, "--name", name]].concat()));
    let ready: Value = serde_json::from_str(&region.line_with("\"role\"")).unwrap();
    (region, ready["address"].as_str().unwrap().to_owned())
}

pub(crate) fn cluster(data_dir: &Path) -> Running {
    let data_dir = data_dir.to_str().unwrap();
    let mut cluster =
        Running::start(ampmesh(&["cluster", "--json", "--name", "rack-7", "--data-dir", data_dir]));
    cluster.line_with("connected to a region");
    cluster
}

pub(crate) fn invite(home: &Path) -> String {
    json(&in_dir(home, &["invite", "--json"]))["token"].as_str().unwrap().to_owned()
}

pub(crate) fn join(site: &Path, token: &str) -> Value {
    json(&in_dir(site, &["join", token, "--name", "rack-7", "--json"]))
}

/// The states of the keys of clusters.
fn states(home: &Path) -> Vec<bool> {
    let keys = json(&in_dir(home, &["keys", "ls", "--json"]));
    let keys = keys.as_array().unwrap().iter().filter(|key| key["role"] == "cluster");
    keys.map(|key| key["good"].as_bool().unwrap()).collect()
}

#[test]
fn a_cluster_joins_by_a_token_is_called_and_revoked() {
    let (home, site) = (scratch(), scratch());
    let _north = region(home.path(), "north");
    assert_eq!(mode(&home.path().join("region-north.key")), 0o600);
    assert_eq!(mode(&home.path().join("keys.sqlite")), 0o600);
    assert!(!home.path().join("secret").exists(), "nobody needs one");

    let (exit, err) = failure(&in_dir(site.path(), &["cluster"]));
    assert_eq!(exit, 2, "{err}");
    assert!(err.contains("ampmesh join TOKEN"), "{err}");

    let token = invite(home.path());
    let joined = join(site.path(), &token);
    assert_eq!(mode(&site.path().join("cluster.key")), 0o600);
    let mut rack = cluster(site.path());
    let eat = ["call", "rack-7", "EatCheez", "name=Gouda", "origin=H"];
    let answer = in_dir(home.path(), &eat);
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "rating: 6\n", "{answer:?}");

    let listed = in_dir(home.path(), &["keys", "ls"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("rack-7") && listed.contains(joined["key"].as_str().unwrap()));
    let revoked = json(&in_dir(home.path(), &["keys", "revoke", "rack-7", "--json"]));
    assert_eq!(revoked["revoked"][0], joined["key"]);
    rack.line_with("the region refuses our key: this key was revoked");
    let (exit, _) = failure(&in_dir(home.path(), &eat));
    assert_eq!(exit, 4, "the cluster is gone");
    assert_eq!(states(home.path()), [false]);
}

#[test]
fn a_key_in_full_is_revoked_once_and_one_that_nobody_has_never() {
    let (home, site) = (scratch(), scratch());
    let _north = region(home.path(), "north");
    let joined = join(site.path(), &invite(home.path()));
    let key = joined["key"].as_str().unwrap();
    let revoke = |key: &str| in_dir(home.path(), &["keys", "revoke", key]);
    assert_eq!(String::from_utf8(revoke(key).stdout).unwrap(), format!("revoked {key}\n"));
    let again = String::from_utf8(revoke(key).stdout).unwrap();
    assert_eq!(again, format!("{key} was revoked before\n"));
    let unknown = mesh::KeyPair::generate().public().to_string();
    let (_, err) = failure(&revoke(&unknown));
    assert!(err.contains(&format!("no key is `{unknown}`")), "{err}");
}

#[test]
fn a_region_process_whose_key_was_revoked_is_told_how_it_comes_to_a_new_one() {
    let home = scratch();
    let mut north = region(home.path(), "north");
    let revoked = in_dir(home.path(), &["keys", "revoke", "north"]);
    assert!(revoked.status.success(), "{revoked:?}");
    north.line_with("the key of this process was revoked: it needs another");
    north.signal(Signal::TERM);
    north.ended();
    let again = ["region", "--name", "north", "--listen", "127.0.0.1", "--ports", "0"];
    let (exit, err) = failure(&in_dir(home.path(), &again));
    assert_eq!(exit, 2, "{err}");
    let key = home.path().join("region-north.key");
    let remedy = format!("once {} is removed it makes itself a new key", key.display());
    assert!(err.contains(&remedy), "{err}");
    fs::remove_file(key).unwrap();
    let _north = region(home.path(), "north");
    let keys = json(&in_dir(home.path(), &["keys", "ls", "--json"]));
    let revoked = keys.as_array().unwrap().iter().map(|key| key["revoked"].as_bool().unwrap());
    assert_eq!(revoked.filter(|revoked| *revoked).count(), 1, "{keys}");
}

#[test]
fn a_token_is_good_once_and_a_damaged_one_never() {
    let (home, site, other) = (scratch(), scratch(), scratch());
    let _north = region(home.path(), "north");
    let token = invite(home.path());
    join(site.path(), &token);
    let (exit, err) = failure(&in_dir(other.path(), &["join", &token]));
    assert_eq!(exit, 3, "{err}");
    assert!(err.contains("the invite was used before"), "{err}");
    let (exit, err) = failure(&in_dir(other.path(), &["join", &token[..token.len() - 1]]));
    assert_eq!(exit, 2, "{err}");
    assert!(!err.contains(&token[8..40]), "a secret is not repeated: {err}");
}

#[test]
fn nobody_at_the_address_of_a_token_is_told_so() {
    let (home, site) = (scratch(), scratch());
    let (token, address) = {
        let (_north, address) = region_at(home.path(), "north");
        (invite(home.path()), address)
    };
    // Held without listening: the next who asks for any port might be given this one.
    let held = TcpSocket::new_v4().unwrap();
    held.bind(address.parse().unwrap()).unwrap();
    let output = in_dir(site.path(), &["join", &token, "--json"]);
    let (exit, err) = failure(&output);
    assert_eq!(exit, 5, "{err}");
    assert!(err.contains("cannot connect to 127.0.0.1:"), "{err}");
    let failed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(failed["exit_code"], 5);
}

#[test]
fn a_key_that_others_can_read_is_refused_with_what_to_do() {
    let home = scratch();
    drop(region(home.path(), "north"));
    let key = home.path().join("region-north.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let arguments = ["region", "--name", "north", "--listen", "127.0.0.1", "--ports", "0"];
    let (exit, err) = failure(&in_dir(home.path(), &arguments));
    assert_eq!(exit, 2, "{err}");
    assert!(err.contains("can be read by other users"), "{err}");
    assert!(!err.contains(fs::read_to_string(&key).unwrap().trim()), "{err}");
}

#[test]
fn keys_of_clusters_and_regions_are_followed_by_the_next() {
    let (home, site) = (scratch(), scratch());
    let mut north = region(home.path(), "north");
    join(site.path(), &invite(home.path()));
    let mut rack = cluster(site.path());
    let file = site.path().join("cluster.key");
    let before = fs::read_to_string(&file).unwrap();
    let rotated = json(&in_dir(home.path(), &["keys", "rotate", "rack-7", "--json"]));
    assert_eq!(rotated[0]["error"], Value::Null, "{rotated}");
    rack.line_with("the cluster has a new key");
    assert_ne!(fs::read_to_string(&file).unwrap(), before);
    assert_eq!(mode(&file), 0o600);
    assert_eq!(states(home.path()), [true, true], "both are good for a while");
    rack.line_with("connected to a region");

    let rotated = json(&in_dir(home.path(), &["keys", "rotate", "--overlap", "2s", "--json"]));
    let next = rotated[0]["key"].as_str().unwrap();
    north.line_with("this process shows its next key");
    rack.line_with("connected to a region");
    let regions = fs::read_to_string(site.path().join("regions.json")).unwrap();
    assert!(regions.contains(next), "the cluster has written it down: {regions}");
}

#[test]
fn a_private_key_and_a_token_are_never_logged() {
    let (home, site) = (scratch(), scratch());
    let data_dir = home.path().to_str().unwrap();
    let mut north = Running::start(ampmesh(&[
        "region",
        "--listen",
        "127.0.0.1",
        "--ports",
        "0",
        "--json",
        "--log",
        "trace",
        "--name",
        "north",
        "--data-dir",
        data_dir,
    ]));
    north.line_with("\"role\"");
    let token = invite(home.path());
    let joined = in_dir(site.path(), &["join", &token, "--log", "trace"]);
    assert!(joined.status.success(), "{joined:?}");
    let said = String::from_utf8_lossy(&joined.stderr).into_owned();
    let rack = cluster(site.path());
    drop(rack);
    north.signal(Signal::TERM);
    north.ended();
    let said = said + &north.rest();
    let keys = [home.path().join("region-north.key"), site.path().join("cluster.key")];
    for secret in keys.iter().map(|path| fs::read_to_string(path).unwrap()).chain([token]) {
        assert!(!said.contains(&secret.trim()[10..]), "{said}");
    }
}
