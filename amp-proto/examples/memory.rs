//! How much memory a peer can make a process hold, as the table in the book's reference.
#![expect(clippy::print_stdout, reason = "the table goes to standard output")]

use amp_proto::Limits;

const KIB: usize = 1024;

fn main() {
    let usual = Limits::default();
    let small = Limits {
        box_bytes_max: 64 * KIB,
        large_bytes_max: 1024 * KIB,
        streams_max: 8,
        outbound_bytes_max: 256 * KIB,
        asks_forgotten_max: 256,
        responders_running_max: 64,
        ..Limits::default()
    };
    println!("| what a connection may hold | with the defaults | with small limits |");
    println!("|---|---:|---:|");
    for (usual, small) in usual.memory_shares().iter().zip(small.memory_shares()) {
        println!("| {} | {} | {} |", usual.what, bytes(usual.bytes), bytes(small.bytes));
    }
    let of = |limits: &Limits| {
        [
            ("**a peer that has proved itself, in all**", limits.memory_per_connection_max()),
            ("**a peer that has not**", limits.memory_per_stranger_max()),
            ("**calls that are made once, of all connections**", limits.memory_of_once_max()),
        ]
    };
    for ((what, usual), (_, small)) in of(&usual).into_iter().zip(of(&small)) {
        println!("| {what} | **{}** | **{}** |", bytes(usual), bytes(small));
    }
}

/// In MiB, to a tenth, rounded up.
fn bytes(bytes: usize) -> String {
    let tenths = (bytes * 10).div_ceil(KIB * KIB);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
