//! The name of this machine.

use std::sync::LazyLock;

static HOST_NAME: LazyLock<String> = LazyLock::new(|| {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
});

/// The name of this machine, as it was when first asked for; `localhost` where it has none.
#[must_use]
pub fn host_name() -> &'static str {
    &HOST_NAME
}
