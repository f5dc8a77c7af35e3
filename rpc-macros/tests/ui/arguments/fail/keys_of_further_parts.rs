//! What is longer than one value goes on under further keys, which nobody else may have.

use amp_proto::Arguments;

#[derive(Debug, Arguments)]
struct Cheese {
    name: String,
    #[amp(key = "name.2")]
    second: String,
    #[amp(key = "name.12")]
    twelfth: String,
    #[amp(key = "name.b")]
    other: String,
}

fn main() {}
