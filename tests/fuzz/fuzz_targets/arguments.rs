#![no_main]

use fuzz::targets::Target::Arguments;

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(Arguments.name(), fuzz::seeds::of(Arguments)),
    |bytes: &[u8]| fuzz::targets::arguments(bytes)
);
