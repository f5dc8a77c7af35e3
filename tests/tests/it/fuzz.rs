//! The fuzz targets of `tests/fuzz` over their seeds and some thousand mutations of them, so that
//! they are tried on every change. A fuzzer goes on from there.
//!
//! `FUZZ_SECONDS=60` goes on for so long with each target, from another beginning each time.

#[path = "../../fuzz/src/config.rs"]
#[allow(unreachable_pub, reason = "they are public where the fuzzer finds them")]
mod config;
#[path = "../../fuzz/src/seeds.rs"]
#[allow(unreachable_pub, reason = "they are public where the fuzzer finds them")]
mod seeds;
#[path = "../../fuzz/src/targets.rs"]
#[allow(unreachable_pub, reason = "they are public where the fuzzer finds them")]
mod targets;
#[path = "../../fuzz/src/tokens.rs"]
#[allow(unreachable_pub, reason = "they are public where the fuzzer finds them")]
mod tokens;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use self::targets::Target;

/// One of the seeds, after a few accidents.
fn mutated(dice: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[dice.random_range(0..seeds.len())].clone();
    for _ in 0..dice.random_range(1..6) {
        let at = dice.random_range(0..=bytes.len());
        let until = dice.random_range(at..=bytes.len().min(at + 40));
        match dice.random_range(0..7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..until)),
            2 => bytes.insert(at, dice.random()),
            3 => {
                let again = bytes[at..until].to_vec();
                bytes.splice(at..at, again);
            }
            4 => {
                // The rest of another, past the byte that says how to read it.
                let other = &seeds[dice.random_range(0..seeds.len())];
                bytes.extend_from_slice(other.get(1..).unwrap_or_default());
            }
            _ if at < bytes.len() => {
                bytes[at] = if dice.random_bool(0.5) {
                    dice.random()
                } else {
                    bytes[at] ^ (1 << dice.random_range(0..8))
                };
            }
            _ => {}
        }
    }
    bytes
}

fn run(target: Target, bytes: &[u8]) {
    let ran = catch_unwind(AssertUnwindSafe(|| target.run(bytes)));
    assert!(ran.is_ok(), "{} with \"{}\"", target.name(), bytes.escape_ascii());
}

#[expect(clippy::print_stdout, reason = "whoever asks for more wants to know how much it was")]
fn fuzz(target: Target, mutations: usize) {
    let seeds = seeds::of(target);
    seeds.iter().for_each(|seed| run(target, seed));
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let Some(seconds) = seconds else {
        let mut dice = StdRng::seed_from_u64(1);
        (0..mutations).for_each(|_| run(target, &mutated(&mut dice, &seeds)));
        return;
    };
    let mut dice = StdRng::seed_from_u64(rand::random());
    let (end, mut count) = (SystemTime::now() + Duration::from_secs(seconds), 0);
    while SystemTime::now() < end {
        run(target, &mutated(&mut dice, &seeds));
        count += 1;
    }
    println!("{}: {} seeds and {count} mutations", target.name(), seeds.len());
}

#[test]
fn boxes_are_the_same_in_however_many_reads_they_come() {
    fuzz(Target::Boxes, 10_000);
}

#[test]
fn whatever_can_be_read_as_an_argument_can_be_written_and_read_again() {
    fuzz(Target::Arguments, 20_000);
}

#[test]
fn any_configuration_is_understood_or_refused_without_a_password() {
    fuzz(Target::Config, 10_000);
}

#[test]
fn any_token_is_read_as_it_was_written_or_refused_and_no_secret_is_shown() {
    fuzz(Target::Tokens, 10_000);
}

#[test]
fn a_connection_to_a_peer_gone_mad_ends_with_all_its_calls() {
    fuzz(Target::Connection, 1_500);
}

#[test]
fn no_stranger_gets_in_by_chance() {
    fuzz(Target::Handshake, 1_500);
}

#[test]
fn every_target_has_seeds() {
    for (target, seeds) in seeds::all() {
        assert!(seeds.len() >= 10, "{target}");
    }
}
