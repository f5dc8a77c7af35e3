//! How processes end.

use rustix::process::Signal;

use crate::support::{Dev, children_of};

#[test]
fn every_process_is_drained_when_the_parent_is_told_to_end() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut dev = Dev::start(&[]);
        let children = children_of(dev.process.pid());
        dev.process.signal(signal);
        assert_eq!(dev.process.ended().code(), Some(0));
        children.iter().for_each(|child| child.wait_for_end());
        let said = dev.process.rest();
        assert!(!said.contains("was killed") && !said.contains("died"), "{said}");
    }
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    let mut dev = Dev::start(&["--regions", "1", "--clusters", "1", "--log", "info"]);
    let children = children_of(dev.process.pid());
    // A process that is stopped does not drain.
    dev.child("cluster-1").stop();
    dev.process.signal(Signal::TERM);
    dev.process.line_with("draining");
    dev.process.signal(Signal::INT);
    assert_eq!(dev.process.ended().code(), Some(128 + 2));
    children.iter().for_each(|child| child.wait_for_end());
}

#[test]
fn a_process_that_does_not_drain_is_killed() {
    let mut dev = Dev::start(&["--regions", "1", "--clusters", "2"]);
    let stopped = dev.child("cluster-1");
    stopped.stop();
    dev.process.signal(Signal::TERM);
    dev.process.line_with("cluster-1 did not end in time and was killed");
    stopped.wait_for_end();
    assert_eq!(dev.process.ended().code(), Some(0));
}
