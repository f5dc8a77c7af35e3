//! The key of a region process is followed by the next, and the process is ended, killed and
//! started again meanwhile: whatever happens, its clusters know it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use postgres_harness::{Postgres, PostgresError};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::keys::{cluster, in_dir, invite, join, json, region, scratch};
use crate::support::{Running, ampmesh, failure, until};

/// What the server of a database does for a test.
fn on_server<T>(work: impl Future<Output = Result<T, PostgresError>>) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(work).unwrap_or_else(|error| panic!("{error}"))
}

/// The keys of region processes that are good.
fn good_keys(home: &Path) -> Vec<String> {
    let keys = json(&in_dir(home, &["keys", "ls", "--json"]));
    let keys = keys.as_array().unwrap().iter();
    let good = keys.filter(|key| key["role"] == "region" && key["good"] == true);
    good.map(|key| key["key"].as_str().unwrap().to_owned()).collect()
}

fn rotate(home: &Path, overlap: &str) -> String {
    let rotated = json(&in_dir(home, &["keys", "rotate", "--overlap", overlap, "--json"]));
    rotated[0]["key"].as_str().unwrap().to_owned()
}

fn end(mut process: Running, how: Signal) {
    process.signal(how);
    process.ended();
}

/// A region process that is up, and its address.
fn north(home: &Path, registry: Option<&str>) -> (Running, String) {
    let mut command = ampmesh(&["region", "--listen", "127.0.0.1", "--ports", "0", "--json"]);
    command.args(["--name", "north", "--data-dir"]).arg(home);
    command.envs(registry.map(|url| ("AMPMESH_REGISTRY", url)));
    let mut region = Running::start(command);
    let ready: Value = serde_json::from_str(&region.line_with("\"role\"")).unwrap();
    (region, ready["address"].as_str().unwrap().to_owned())
}

/// A region process, and a cluster of it that is connected.
struct Joined {
    home: TempDir,
    north: Running,
    site: TempDir,
    rack: Running,
}

impl Joined {
    fn new(registry: Option<&str>) -> Self {
        let (home, site) = (scratch(), scratch());
        let (north, _) = north(home.path(), registry);
        join(site.path(), &invite(home.path()));
        let rack = cluster(site.path());
        Self { home, north, site, rack }
    }

    /// Has the key followed by another, and waits until the old one is of no use.
    fn rotate_in_full(&mut self) -> String {
        let key = rotate(self.home.path(), "1s");
        self.north.line_with("this process shows its next key");
        self.rack.line_with("connected to a region");
        until("the overlap is over", || good_keys(self.home.path()) == [key.clone()]);
        key
    }

    /// Ends the cluster once it has written down that it believes these keys.
    fn end_cluster_that_believes(self, keys: &[String]) -> (TempDir, Running, TempDir) {
        until("the cluster is told", || {
            let kept = fs::read_to_string(self.site.path().join("regions.json")).unwrap();
            keys.iter().all(|key| kept.contains(key))
        });
        end(self.rack, Signal::TERM);
        (self.home, self.north, self.site)
    }
}

/// Starts a cluster again that believes the keys that it believed, and no others.
fn is_known_to(site: &Path, address: &str) {
    let mut command = ampmesh(&["cluster", "--region", address, "--data-dir"]);
    command.arg(site);
    Running::start(command).line_with("connected to a region");
}

#[test]
fn rotations_one_after_the_other_leave_a_process_that_starts_again() {
    let mut mesh = Joined::new(None);
    mesh.rotate_in_full();
    rotate(mesh.home.path(), "24h");
    rotate(mesh.home.path(), "24h");
    // Whether a third is taken or not, the process goes on.
    let _third = in_dir(mesh.home.path(), &["keys", "rotate", "--overlap", "24h"]);
    let good = good_keys(mesh.home.path());
    let (home, before, site) = mesh.end_cluster_that_believes(&good);
    end(before, Signal::TERM);
    let (_north, address) = north(home.path(), None);
    assert_eq!(good_keys(home.path()), good, "it has not come as somebody else");
    is_known_to(site.path(), &address);
}

#[test]
fn a_rotation_that_fails_with_the_database_leaves_a_process_that_starts_again() {
    let server = on_server(Postgres::own());
    let url = on_server(server.database()).url();
    let mut mesh = Joined::new(Some(&url));
    let key = mesh.rotate_in_full();
    on_server(server.stop());
    mesh.north.line_with("the keys cannot be looked up");
    let rotating = in_dir(mesh.home.path(), &["keys", "rotate", "--overlap", "1s"]);
    let (exit, err) = failure(&rotating);
    assert_eq!(exit, 3, "{err}");
    on_server(server.start());
    mesh.north.line_with("the keys can be looked up again");
    let (home, before, site) = mesh.end_cluster_that_believes(std::slice::from_ref(&key));
    end(before, Signal::KILL);
    let (_north, address) = north(home.path(), Some(&url));
    is_known_to(site.path(), &address);
    assert_eq!(good_keys(home.path()), [key]);
}

#[test]
fn a_next_key_that_nobody_heard_of_does_not_take_the_place_of_the_present_one() {
    let mesh = Joined::new(None);
    let good = good_keys(mesh.home.path());
    let (home, before, site) = mesh.end_cluster_that_believes(&good);
    end(before, Signal::KILL);
    // As a process leaves it that is killed before it has had the next key enrolled.
    let stranger = scratch();
    drop(region(stranger.path(), "north"));
    let next = home.path().join("region-north.key.next");
    fs::copy(stranger.path().join("region-north.key"), &next).unwrap();
    let (mut again, address) = north(home.path(), None);
    assert_eq!(good_keys(home.path()), good);
    is_known_to(site.path(), &address);
    // Nor is it in the way of the next.
    let key = rotate(home.path(), "1s");
    assert!(again.line_with("this process shows its next key").contains(&key));
    assert!(!next.exists());
}

#[test]
fn a_key_that_was_enrolled_before_the_process_was_killed_is_gone_on_with() {
    let mesh = Joined::new(None);
    let key = mesh.home.path().join("region-north.key");
    let present = fs::read(&key).unwrap();
    let following = rotate(mesh.home.path(), "24h");
    let (home, before, site) = mesh.end_cluster_that_believes(&[following]);
    end(before, Signal::KILL);
    // As if it had been killed before it put the next key in the place of the present one.
    let next = home.path().join("region-north.key.next");
    fs::rename(&key, &next).unwrap();
    fs::write(&key, present).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let enrolled = fs::read(&next).unwrap();
    let (_north, address) = north(home.path(), None);
    assert!(!next.exists() && fs::read(&key).unwrap() == enrolled);
    is_known_to(site.path(), &address);
}
