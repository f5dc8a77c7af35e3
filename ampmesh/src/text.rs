//! Values as people read them.

use std::fmt::Write as _;
use std::time::Duration;

/// Text from elsewhere with everything escaped that a terminal might obey.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() || is_bidi_control(letter) {
            // Writing to a `String` does not fail.
            let _ = write!(shown, "{}", letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Characters that turn the direction of text, and with it the meaning of a line.
fn is_bidi_control(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `0.42 ms`, `13 ms`, `1.20 s`.
pub(crate) fn round_trip(time: Duration) -> String {
    let ms = milliseconds(time);
    if ms < 10.0 {
        format!("{ms:.2} ms")
    } else if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.2} s", time.as_secs_f64())
    }
}

/// `45 s`, `12 min`, `3 h 20 min`, `9 d 4 h`.
pub(crate) fn uptime(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if minutes == 0 {
        format!("{seconds} s")
    } else if hours == 0 {
        format!("{minutes} min")
    } else if days == 0 {
        format!("{hours} h {} min", minutes % 60)
    } else {
        format!("{days} d {} h", hours % 24)
    }
}

/// How long something is waited for: `300 ms`, `1 s`, `1.5 s`.
pub(crate) fn span(time: Duration) -> String {
    let ms = time.as_millis();
    if ms < 1000 { format!("{ms} ms") } else { format!("{} s", time.as_secs_f64()) }
}

/// Milliseconds with their fraction, rounded to a thousandth: what JSON outputs carry.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

/// `16 MiB`, `64 KiB`, `100000 B`: in the largest unit that leaves no rest.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let fitting = UNITS.into_iter().find(|(size, _)| number > 0 && number.is_multiple_of(*size));
    let (size, unit) = fitting.unwrap_or((1, "B"));
    format!("{} {unit}", number / size)
}

/// `1 region`, `2 regions`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(round_trip(Duration::from_micros(417)), "0.42 ms");
        assert_eq!(round_trip(Duration::from_millis(13)), "13 ms");
        assert_eq!(round_trip(Duration::from_millis(1200)), "1.20 s");
        assert_eq!(span(Duration::from_millis(300)), "300 ms");
        assert_eq!(span(Duration::from_millis(1500)), "1.5 s");
        assert_eq!(span(Duration::from_secs(1)), "1 s");
        assert_eq!(uptime(Duration::from_secs(45)), "45 s");
        assert_eq!(uptime(Duration::from_secs(12_000)), "3 h 20 min");
        assert_eq!(uptime(Duration::from_secs(9 * 86_400 + 4 * 3600)), "9 d 4 h");
        assert!((milliseconds(Duration::from_nanos(417_499)) - 0.417).abs() < f64::EPSILON);
    }

    #[test]
    fn bytes_are_exact() {
        let shown = [0, 1000, 64 << 10, 16 << 20, (1 << 20) + 1].map(bytes);
        assert_eq!(shown, ["0 B", "1000 B", "64 KiB", "16 MiB", "1048577 B"]);
    }

    #[test]
    fn what_a_terminal_might_obey_is_escaped() {
        assert_eq!(harmless("a\u{1b}[31mb\n\u{202e}é"), "a\\u{1b}[31mb\\n\\u{202e}é");
    }
}
