#![no_main]

use fuzz::targets::Target::Config;

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(Config.name(), fuzz::seeds::of(Config)),
    |bytes: &[u8]| fuzz::config::config(bytes)
);
