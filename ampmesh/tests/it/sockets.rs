//! Operators' sockets: who has a place, and who is meant by a name.

use std::os::unix::net::UnixStream;

use crate::support::{Dev, Running, ampmesh};

/// How many operators a region process serves at once.
const CONNECTIONS_MAX: usize = 64;

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
