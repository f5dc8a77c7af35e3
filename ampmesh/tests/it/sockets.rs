//! Operators' sockets: who has a place, and who is meant by a name.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Output;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::Instant;

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

/// What a connection that does not go on may last.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// How far it gets: it says nothing, or half of an ask.
const UNTIL: [&[u8]; 2] = [b"", b"\0\x04_ask\0\x011\0\x08_comm"];

/// How long it took the region process to close a connection.
fn closed(mut stream: &UnixStream, begun: Instant) -> Duration {
    let mut bytes = [0; 256];
    loop {
        // Time is left for the last of many to be seen.
        stream.set_read_timeout(Some(2 * CLOSED_WITHIN)).unwrap();
        match stream.read(&mut bytes) {
            Ok(0) => return begun.elapsed(),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return begun.elapsed();
            }
            Err(error) => panic!("still open after {:?}: {error}", begun.elapsed()),
        }
    }
}

/// One byte after the other, more slowly than anybody who has something to ask.
fn trickle(mut stream: UnixStream, stop: &mpsc::Receiver<()>) {
    let slow = Duration::from_millis(300);
    for byte in UNTIL[1] {
        let over = stream.write_all(&[*byte]).is_err();
        if over || !matches!(stop.recv_timeout(slow), Err(mpsc::RecvTimeoutError::Timeout)) {
            return;
        }
    }
}

#[test]
fn operators_that_do_not_go_on_are_left_and_keep_nobody_out() {
    let of_each = std::env::var("OPERATORS").map_or(50, |count| count.parse().unwrap());
    let home = scratch();
    let mut region = region(home.path(), &["--name", "north"]);
    ready(&mut region);
    let socket = home.path().join("operator/north.sock");
    let begun = Instant::now();
    let (go, stop) = mpsc::channel();
    let slow = UnixStream::connect(&socket).unwrap();
    let trickling = slow.try_clone().unwrap();
    let trickling = thread::spawn(move || trickle(trickling, &stop));
    let mut others = Vec::new();
    for until in UNTIL {
        for _ in 0..of_each {
            let mut stream = UnixStream::connect(&socket).unwrap();
            // It may have had to make room already.
            let _written = stream.write_all(until);
            others.push(stream);
        }
    }
    let asked = Instant::now();
    assert!(in_dir(home.path(), &["ls"]).status.success());
    let answered = asked.elapsed();
    let last = others.iter().chain([&slow]).map(|stream| closed(stream, begun)).max().unwrap();
    drop(go);
    trickling.join().unwrap();
    let closed = others.len() + 1;
    assert!(last <= CLOSED_WITHIN, "the last was closed after {last:?}");
    println!(
        "R8b {closed} closed, the last after {:.1} s; `ls` beside them took {} ms",
        last.as_secs_f64(),
        answered.as_millis()
    );
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
