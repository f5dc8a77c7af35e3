use std::time::Instant;

use amp_proto::Arguments;

#[derive(Arguments)]
struct Tasting {
    cheez: String,
    begun: Instant,
    ended: Option<Instant>,
    bites: Vec<Instant>,
}

fn main() {}
