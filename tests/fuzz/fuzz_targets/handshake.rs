#![no_main]

use fuzz::targets::Target::Handshake;

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(Handshake.name(), fuzz::seeds::of(Handshake)),
    |bytes: &[u8]| fuzz::targets::handshake(bytes)
);
