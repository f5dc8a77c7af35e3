//! The limits of a connection with their defaults, as the table in the book's reference.
#![expect(clippy::print_stdout, reason = "the table goes to standard output")]

use std::time::Duration;

use amp_proto::Limits;

fn main() {
    // Named one by one, so that a limit that is missing here does not compile.
    let Limits {
        box_bytes_max,
        keys_per_box_max,
        decompressed_bytes_max,
        asks_in_flight_max,
        asks_forgotten_max,
        responders_running_max,
        outbound_bytes_max,
        outbound_stalled_max,
        closing_timeout,
        half_closed_timeout,
        streams_max,
        stream_window_bytes,
        large_bytes_max,
        once_window,
        once_answers_max,
        once_bytes_max,
        call_timeout,
        handshake_timeout,
        handshake_bytes_max,
        handshake_asks_max,
        ping_after,
        dead_after,
    } = Limits::default();
    println!("| limit | default |\n|---|---:|");
    row("box_bytes_max", &bytes(box_bytes_max));
    row("keys_per_box_max", &count(keys_per_box_max));
    row("decompressed_bytes_max", &bytes(decompressed_bytes_max));
    row("asks_in_flight_max", &count(asks_in_flight_max));
    row("asks_forgotten_max", &count(asks_forgotten_max));
    row("responders_running_max", &count(responders_running_max));
    row("outbound_bytes_max", &bytes(outbound_bytes_max));
    row("outbound_stalled_max", &seconds(outbound_stalled_max));
    row("closing_timeout", &seconds(closing_timeout));
    row("half_closed_timeout", &seconds(half_closed_timeout));
    row("streams_max", &count(streams_max));
    row("stream_window_bytes", &bytes(stream_window_bytes));
    row("large_bytes_max", &bytes(large_bytes_max));
    row("once_window", &seconds(once_window));
    row("once_answers_max", &count(once_answers_max));
    row("once_bytes_max", &bytes(once_bytes_max));
    row("call_timeout", &seconds(call_timeout));
    row("handshake_timeout", &seconds(handshake_timeout));
    row("handshake_bytes_max", &bytes(handshake_bytes_max));
    row("handshake_asks_max", &count(handshake_asks_max));
    row("ping_after", &seconds(ping_after));
    row("dead_after", &seconds(dead_after));
}

fn row(name: &str, default: &str) {
    println!("| `{name}` | {default} |");
}

fn bytes(bytes: usize) -> String {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    match bytes {
        bytes if bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        bytes if bytes.is_multiple_of(KIB) => format!("{} KiB", bytes / KIB),
        bytes => format!("{} bytes", count(bytes)),
    }
}

/// With a comma between thousands.
fn count(count: usize) -> String {
    match count / 1000 {
        0 => count.to_string(),
        thousands => format!("{thousands},{:03}", count % 1000),
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
