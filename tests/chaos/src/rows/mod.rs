//! The rows, in the order of the table.

mod commands;
mod database;
mod half_open;
mod kills;
mod kit;
mod partition;
mod r23_exhaustion;
mod r23_memory;
mod r24_soak;
mod r7_slow_readers;
mod r8_slowloris;
mod shutdown;

use std::time::Duration;

use crate::row::Row;

/// All of them, in the order of the table.
pub(crate) fn all() -> Vec<Box<dyn Row>> {
    vec![
        Box::new(kit::Kit),
        Box::new(commands::fuzzing()),
        Box::new(commands::wire_equality()),
        Box::new(commands::malformed()),
        Box::new(kills::Kills),
        Box::new(commands::simulation()),
        Box::new(half_open::HalfOpen),
        Box::new(r7_slow_readers::SlowReaders),
        Box::new(r8_slowloris::Slowloris),
        Box::new(commands::operators()),
        Box::new(commands::wrong_keys()),
        Box::new(commands::replays()),
        Box::new(commands::revocation()),
        Box::new(partition::Partition),
        Box::new(database::DatabaseLost),
        Box::new(r23_exhaustion::Exhaustion),
        Box::new(r24_soak::Soak),
        Box::new(shutdown::Shutdown),
        Box::new(commands::kernels()),
    ]
}

/// Minutes, for time limits.
const fn minutes(number: u64) -> Duration {
    Duration::from_secs(number * 60)
}
