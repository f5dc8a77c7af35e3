#![no_main]

use fuzz::targets::Target::Tokens;

libfuzzer_sys::fuzz_target!(
    init: fuzz::write_seeds(Tokens.name(), fuzz::seeds::of(Tokens)),
    |bytes: &[u8]| fuzz::tokens::tokens(bytes)
);
