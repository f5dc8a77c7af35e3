#![no_main]

use fuzz::config;

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds("config", config::seeds()),
    |bytes: &[u8]| config::config(bytes)
);
