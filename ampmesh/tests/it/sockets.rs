//! Operators' sockets: who has a place, and who is meant by a name.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;

use crate::by_hand::{path, ready, region, scratch};
use crate::support::{Dev, Running, ampmesh, failure, run};

/// How many operators a region process serves at once.
const CONNECTIONS_MAX: usize = 64;

fn in_dir(data_dir: &Path, arguments: &[&str]) -> Output {
    run(&[arguments, &["--data-dir", path(data_dir)]].concat())
}

#[test]
fn operators_that_ask_nothing_keep_nobody_out_and_end_no_call() {
    let mut dev = Dev::start(&["--regions", "1", "--clusters", "1", "--log", "ampmesh=debug"]);
    let data_dir = dev.data_dir.to_str().unwrap();
    let age = ["call", "cluster-1", "AgeCheez", "name=Gouda", "seconds=3", "--data-dir", data_dir];
    let mut call = Running::start(ampmesh(&age));
    dev.process.line_with("a cheez is left to ripen");
    let socket = dev.data_dir.join("operator/region-1.sock");
    let silent: Vec<UnixStream> =
        (0..2 * CONNECTIONS_MAX).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let regions = dev.json(&["ls"])["regions"].clone();
    assert_eq!(regions[0]["answer"], "yes", "{regions}");
    assert!(dev.run(&["ping", "cluster-1", "-c", "1"]).status.success());
    call.line_with("rating: ");
    assert_eq!(call.ended().code(), Some(0));
    drop(silent);
}

#[test]
fn a_name_means_the_region_process_that_has_it_now() {
    let home = scratch();
    let mut north = region(home.path(), &["--name", "north"]);
    let before = ready(&mut north)["id"].clone();
    let mut south = region(home.path(), &["--name", "south"]);
    ready(&mut south);
    north.signal(Signal::KILL);
    north.ended();
    let mut again = region(home.path(), &["--name", "north"]);
    let now = ready(&mut again)["id"].clone();
    assert_ne!(before, now);
    let rate = ["call", "north", "RateCheez", "name=Brie", "rating=7", "--json"];
    let answer = in_dir(home.path(), &rate);
    assert!(answer.status.success(), "{answer:?}");
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["target"]["id"], now);
    let (exit, err) = failure(&in_dir(home.path(), &["ping", before.as_str().unwrap(), "-c", "1"]));
    assert_eq!(exit, 4, "who is meant by its identity is no other: {err}");
}
