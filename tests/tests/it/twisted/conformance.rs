//! Twisted's own tests of AMP against our connection, and Twisted's boxes against our codec.

use std::process::Stdio;

use amp_proto::{AmpBox, Limits};
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;

use super::python::{command, testbed};

#[tokio::test]
async fn twisteds_own_tests_pass_against_our_connection() {
    let (_testbed, ports) = testbed().await;
    let ports_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ports_file.path(), ports.to_string()).unwrap();
    let output = command("conformance.py").arg(ports_file.path()).output().await.unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{words}{}", String::from_utf8_lossy(&output.stderr));
    assert!(words.contains("28 passed, 0 failed"), "another number of tests ran: {words}");
}

#[tokio::test]
async fn random_boxes_of_twisteds_come_back_byte_for_byte() {
    let count = boxes();
    for (seed, batch) in batches(count) {
        let (batch, seed) = (batch.to_string(), seed.to_string());
        let generated = command("random_boxes.py").args(["generate", &batch, &seed]).output().await;
        let theirs = Bytes::from(generated.unwrap().stdout);
        let (mut ours, mut rest, mut count) = (Vec::new(), theirs.clone(), 0);
        while let Some((amp_box, bytes)) = AmpBox::decode(&rest, &limits()).unwrap() {
            amp_box.encode(&mut ours, &limits()).unwrap();
            rest = rest.slice(bytes..);
            count += 1;
        }
        assert_eq!((count.to_string(), rest.len()), (batch, 0), "seed {seed}");
        assert!(ours == theirs, "the bytes differ, with seed {seed}");
    }
    println!("R2: {count} boxes of Twisted's came back byte for byte");
}

#[tokio::test]
async fn random_boxes_of_ours_come_back_from_twisted_byte_for_byte() {
    let count = boxes();
    for (seed, batch) in batches(count) {
        let ours = random_boxes(seed, batch);
        let mut python = command("random_boxes.py")
            .arg("reserialise")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = python.stdin.take().unwrap();
        let sending = async {
            let sent = stdin.write_all(&ours).await;
            drop(stdin);
            sent
        };
        let (sent, output) = tokio::join!(sending, python.wait_with_output());
        sent.unwrap();
        let output = output.unwrap();
        assert!(output.status.success(), "seed {seed}");
        assert!(output.stdout == ours, "the bytes differ, with seed {seed}");
    }
    println!("R2: {count} boxes of ours came back byte for byte");
}

/// How many boxes there are each way.
fn boxes() -> u64 {
    std::env::var("RANDOM_BOXES").map_or(10_000, |text| text.parse().unwrap())
}

/// So many boxes as batches that fit into memory, each with its seed.
fn batches(count: u64) -> impl Iterator<Item = (u64, u64)> {
    const BATCH: u64 = 10_000;
    (1..=count.div_ceil(BATCH)).map(move |seed| (seed, BATCH.min(count - (seed - 1) * BATCH)))
}

fn random_boxes(seed: u64, count: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let bytes = |random: &mut fastrand::Rng, length: usize| -> Vec<u8> {
        std::iter::repeat_with(|| random.u8(..)).take(length).collect()
    };
    let mut written = Vec::new();
    for _ in 0..count {
        let mut amp_box = AmpBox::new();
        for _ in 0..=random.usize(..20) {
            let key_bytes_max = if random.u8(..) == 0 { 255 } else { 12 };
            let key_bytes = random.usize(1..=key_bytes_max);
            let value_bytes = if random.u16(..2000) == 0 { 65_535 } else { random.usize(..100) };
            let key = bytes(&mut random, key_bytes);
            amp_box.insert(key, bytes(&mut random, value_bytes));
        }
        amp_box.encode(&mut written, &limits()).unwrap();
    }
    written
}

fn limits() -> Limits {
    Limits { box_bytes_max: 8 * 1024 * 1024, ..Limits::default() }
}
