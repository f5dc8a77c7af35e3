//! The rows that are commands of their own: tests, simulations, fuzz targets.

use super::minutes;
use crate::command::{CommandRow, Figure, words};

/// R1: bytes from nowhere.
pub(super) fn fuzzing() -> CommandRow {
    CommandRow {
        number: "R1",
        property: "nothing that a peer sends, or a person writes, makes what reads it fail",
        targets: [
            "a million runs of each target, 0 findings",
            "a hundred million of each codec, ten million connections and handshakes",
        ],
        commands: [words("tests/fuzz/fuzz all"), words("tests/fuzz/fuzz all 100000000")],
        figure: Figure::LastLineWith("R1: "),
        time_limits: [minutes(40), minutes(24 * 60)],
    }
}

/// R2: Twisted's boxes and ours.
pub(super) fn wire_equality() -> CommandRow {
    CommandRow {
        number: "R2",
        property: "Twisted's bytes and ours are the same",
        targets: ["10,000 random boxes each way", "a million random boxes each way"],
        commands: [words("tests/boxes 10000"), words("tests/boxes 1000000")],
        figure: Figure::LastLineWith("R2: "),
        time_limits: [minutes(20), minutes(60)],
    }
}

/// R3: boxes made wrong by rule.
pub(super) fn malformed() -> CommandRow {
    CommandRow {
        number: "R3",
        property: "malformed streams end as they should, and hurt nobody else",
        targets: ["500 of them, and a million asks at once"; 2],
        commands: [words("tests/malformed"), words("tests/malformed")],
        figure: Figure::LastLineWith("malformed streams"),
        time_limits: [minutes(20); 2],
    }
}

/// R5: meshes in virtual time.
pub(super) fn simulation() -> CommandRow {
    CommandRow {
        number: "R5",
        property: "simulated meshes keep every promise in bad weather",
        targets: ["500 seeds, 0 violations", "10,000 seeds of 10 minutes, 0 violations"],
        commands: [words("tests/simulate seeds 500"), words("tests/simulate seeds 10000 600")],
        figure: Figure::LastLineWith("R5: "),
        time_limits: [minutes(30), minutes(24 * 60)],
    }
}

/// R8, for those who reach the operators' socket.
pub(super) fn operators() -> CommandRow {
    CommandRow {
        number: "R8b",
        property: "operators that do not go on are left, and keep nobody out",
        targets: [
            "50 of each of 2 kinds: all closed ≤ 10 s, others are answered",
            "1,000 of each of 2 kinds: all closed ≤ 10 s, others are answered",
        ],
        commands: [words("tests/operators 50"), words("tests/operators 1000")],
        figure: Figure::LastLineWith("R8b "),
        time_limits: [minutes(20); 2],
    }
}

/// R14: whoever should not be believed.
pub(super) fn wrong_keys() -> CommandRow {
    CommandRow::tests(
        "R14",
        "wrong keys and downgrades are refused",
        "all of the matrix, and no byte of an application read",
        "mesh",
        "test(/^matrix::/)",
    )
}

/// R15: recordings, played again and sent back.
pub(super) fn replays() -> CommandRow {
    CommandRow::tests(
        "R15",
        "recorded handshakes are of no use",
        "100 of each kind, 0 accepted",
        "mesh",
        "binary(handshake) + test(/^replays::/)",
    )
}

/// R16: keys that are not good any more.
pub(super) fn revocation() -> CommandRow {
    CommandRow {
        number: "R16",
        property: "a revoked key loses its connections everywhere",
        targets: [
            "10 connections: within 1 s there, 5 s elsewhere",
            "1,000 connections: within 1 s there, 5 s elsewhere",
        ],
        commands: [words("tests/revocation 10"), words("tests/revocation 1000")],
        figure: Figure::LastLineWith("R16 "),
        time_limits: [minutes(20); 2],
    }
}

/// R26: orders of the steps of several threads.
pub(super) fn kernels() -> CommandRow {
    CommandRow {
        number: "R26",
        property: "what threads share stands every order of their steps",
        targets: [
            "loom with three interruptions; 2,000 orders each with shuttle",
            "loom with four; 100,000 orders each",
        ],
        commands: [words("tests/kernels short"), words("tests/kernels long")],
        figure: Figure::LastLineWith("R26: "),
        time_limits: [minutes(20), minutes(600)],
    }
}
