//! `ampmesh dev`.

use rustix::process::Signal;

use crate::support::{Dev, Running, ampmesh, children_of, mode, run};

#[test]
fn the_demonstration_shows_every_connection_and_right_answers() {
    let output = run(&["dev", "--regions", "2", "--clusters", "3", "--exit"]);
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    assert!(out.contains("2 regions × 3 clusters: 6 connections"), "{out}");
    assert!(out.contains("CLUSTER    UUID"), "{out}");
    let table: Vec<_> = out.lines().filter(|line| line.contains(" ms  ")).collect();
    assert_eq!(table.iter().filter(|line| line.starts_with("cluster-")).count(), 3, "{out}");
    assert!(out.contains("  cluster-1: rating=9 "), "{out}");
    for cluster in 1..=3 {
        assert!(out.contains(&format!("  cluster-{cluster}: rating=7 ")), "{out}");
    }
    assert!(out.contains("refused with NO_SUCH_CHEEZ"), "{out}");
    assert!(out.contains("cluster-3: rating=9 total=9 region=region-"), "{out}");
    assert!(!out.contains("WRONG") && !out.contains('\u{1b}'), "{out}");
    assert_eq!(err, "", "a mesh that is well says nothing");
}

#[test]
fn a_large_mesh_is_up_in_no_time() {
    let output = run(&["dev", "--regions", "4", "--clusters", "20", "--exit"]);
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(out.contains("4 regions × 20 clusters: 80 connections"), "{out}");
}

#[test]
fn its_directory_is_private_and_goes_with_it() {
    let mut dev = Dev::start(&["--regions", "1", "--clusters", "1"]);
    assert_eq!(mode(&dev.data_dir), 0o700);
    assert_eq!(mode(&dev.data_dir.join("secret")), 0o600);
    assert_eq!(mode(&dev.data_dir.join("operator")), 0o700);
    assert_eq!(mode(&dev.data_dir.join("operator/region-1.sock")), 0o600);
    dev.process.signal(Signal::TERM);
    assert_eq!(dev.process.ended().code(), Some(0));
    assert!(!dev.data_dir.exists());
}

#[test]
fn a_killed_cluster_is_told_of_started_again_and_found_again() {
    let mut dev = Dev::start(&["--regions", "1"]);
    let before = dev.json(&["ls"]);
    dev.child("cluster-2").signal(Signal::KILL);
    dev.process.line_with("cluster-2 (pid ");
    dev.process.line_with("cluster-2 is up again");
    // It is up before it is connected. With a whole uuid the region waits for that.
    dev.json(&["ping", before["clusters"][1]["uuid"].as_str().unwrap(), "-c", "1"]);
    let answer = dev.json(&["call", "cluster-2", "EatCheez", "name=Gouda", "origin=Holland"]);
    assert_eq!(answer["response"]["rating"], 6);
    assert_eq!(before["clusters"][1]["uuid"], answer["target"]["id"], "it is the same cluster");
}

#[test]
fn a_cluster_that_leaves_in_good_order_has_not_died() {
    let mut dev = Dev::start(&["--regions", "1", "--clusters", "1"]);
    dev.child("cluster-1").signal(Signal::TERM);
    let told = dev.process.line_with("cluster-1 (pid ");
    assert!(told.ends_with(" ended by itself; starting it again"), "{told}");
    dev.process.line_with("cluster-1 is up again");
}

#[test]
fn a_call_in_flight_says_who_was_lost_when_a_process_is_killed() {
    let arguments = ["--regions", "1", "--clusters", "1", "--log", "ampmesh=debug"];
    let lost = "the connection was lost; the command may have been carried out: ";
    for (victim, told) in [
        ("cluster-1", format!("ampmesh: cluster-1: {lost}")),
        (
            "region-1",
            format!("ampmesh: cluster-1: asked through the region process region-1: {lost}"),
        ),
    ] {
        let mut dev = Dev::start(&arguments);
        let data_dir = dev.data_dir.to_str().unwrap();
        let age = ["call", "cluster-1", "AgeCheez", "name=Gouda", "seconds=60"];
        let mut call = Running::start(ampmesh(&[&age[..], &["--data-dir", data_dir]].concat()));
        dev.process.line_with("a cheez is left to ripen");
        dev.child(victim).signal(Signal::KILL);
        call.line_with(&told);
        assert_eq!(call.ended().code(), Some(5));
        dev.process.line_with(&format!("{victim} is up again"));
        // It may still be at work on the call, and its end would wait for that.
        dev.child("cluster-1").signal(Signal::KILL);
    }
}

#[test]
fn a_killed_region_is_started_again_on_its_port_and_its_clusters_come_back() {
    let mut dev = Dev::start(&["--regions", "1", "--clusters", "2"]);
    let before = dev.json(&["ls"]);
    let address = &before["regions"][0]["addresses"];
    dev.child("region-1").signal(Signal::KILL);
    dev.process.line_with("region-1 (pid ");
    dev.process.line_with("region-1 is up again");
    for cluster in before["clusters"].as_array().unwrap() {
        // With a whole uuid the region waits for its cluster.
        let pinged = dev.json(&["ping", cluster["uuid"].as_str().unwrap(), "-c", "1"]);
        assert_eq!(pinged["received"], 1);
    }
    let regions = dev.json(&["ls"])["regions"].clone();
    let regions = regions.as_array().unwrap();
    assert!(regions.iter().all(|region| region["addresses"] == *address), "{regions:?}");
}

#[test]
fn a_process_that_keeps_dying_is_given_up_and_the_exit_code_says_so() {
    let mut dev = Dev::start(&["--regions", "1", "--clusters", "2"]);
    for _ in 0..5 {
        dev.child("cluster-2").signal(Signal::KILL);
        dev.process.line_with("cluster-2 is up again");
    }
    dev.child("cluster-2").signal(Signal::KILL);
    dev.process.line_with("giving it up");
    assert!(dev.run(&["ping", "cluster-1", "-c", "1"]).status.success(), "the others live on");
    dev.process.signal(Signal::TERM);
    assert_eq!(dev.process.ended().code(), Some(1));
}

#[test]
fn nobody_survives_a_parent_that_was_killed() {
    let mut dev = Dev::start(&[]);
    let children = children_of(dev.process.pid());
    assert_eq!(children.len(), 5);
    dev.process.signal(Signal::KILL);
    dev.process.ended();
    children.iter().for_each(|child| child.wait_for_end());
    // What it left behind is removed by the next one.
    assert!(dev.data_dir.exists());
    assert!(run(&["dev", "--regions", "1", "--clusters", "1", "--exit"]).status.success());
    assert!(!dev.data_dir.exists());
}

#[test]
fn the_users_own_settings_do_not_reach_the_processes() {
    let mut command = ampmesh(&["dev", "--regions", "1", "--clusters", "1", "--exit"]);
    command.env_remove("HOME").env("AMPMESH_NAME", "mine").env("AMPMESH_NO_DEMO", "true");
    let output = command.env("AMPMESH_UUID", "not even one").output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
