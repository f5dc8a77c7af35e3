//! The clock that leases in a file are measured by.
//!
//! All processes of one machine share it, and nobody sets it: a step of the wall clock must not
//! make everyone seem dead, or the dead seem alive. It begins anew when the machine is started, so
//! what it says is written down together with the boot.

use crate::registry::EXPIRY;

/// Which start of the machine this is. Empty where the system does not tell.
pub(super) fn boot() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    boot.trim().to_owned()
}

/// Now, in milliseconds.
pub(super) fn now_ms() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
}

/// Who was not seen since then is gone.
pub(super) fn alive_since_ms() -> i64 {
    let expiry_ms = i64::try_from(EXPIRY.as_millis()).unwrap_or(i64::MAX);
    now_ms().saturating_sub(expiry_ms)
}
