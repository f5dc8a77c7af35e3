#![no_main]

use fuzz::targets::Target::Connection;

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(Connection.name(), fuzz::seeds::of(Connection)),
    |bytes: &[u8]| fuzz::targets::connection(bytes)
);
