//! What the fuzz targets do, and what they begin with. The tests of the mesh run the same
//! functions. A target calls its own and no other, so that nothing else is linked to it: the fuzzer
//! looks through the counters of all that is there after every run.

pub mod config;
pub mod seeds;
pub mod targets;
pub mod tokens;

use std::fs;
use std::path::Path;

/// Writes what a target begins with to `corpus/`, where the fuzzer looks for it next.
///
/// # Panics
/// When it cannot be written: there is nothing to do then.
pub fn write_seeds(target: &str, seeds: Vec<Vec<u8>>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).unwrap();
    for (number, seed) in seeds.into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), seed).unwrap();
    }
}
