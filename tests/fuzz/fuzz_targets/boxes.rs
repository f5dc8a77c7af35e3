#![no_main]

use fuzz::targets::Target::Boxes;

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(Boxes.name(), fuzz::seeds::of(Boxes)),
    |bytes: &[u8]| fuzz::targets::boxes(bytes)
);
