//! What processes have used: time on a processor, and memory. Read from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The processor time of all threads of all these processes, so far.
///
/// # Errors
/// When `/proc` does not tell: the process is gone, or the kernel keeps no such figures.
pub(crate) fn cpu_of(pids: &[u32]) -> Result<Duration> {
    let mut nanoseconds = 0;
    for pid in pids {
        let tasks = format!("/proc/{pid}/task");
        for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
            let path = task?.path().join("schedstat");
            // A thread that ended meanwhile has used what it did.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let first = text.split(' ').next().unwrap_or_default();
            nanoseconds += first
                .parse::<u64>()
                .with_context(|| format!("{} is not what it should be", path.display()))?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// The bytes of memory that all these processes hold.
///
/// # Errors
/// As [`cpu_of`].
pub(crate) fn memory_of(pids: &[u32]) -> Result<f64> {
    let mut kibibytes = 0.0;
    for pid in pids {
        let path = format!("/proc/{pid}/status");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let line = line.with_context(|| format!("{path} has no VmRSS"))?;
        kibibytes += line.trim().trim_end_matches(" kB").parse::<f64>()?;
    }
    Ok(kibibytes * 1024.0)
}

/// The bytes of memory that the kernel holds for objects of its own, such as sockets, of all
/// processes.
///
/// # Errors
/// When `/proc` does not tell.
pub(crate) fn kernel_memory() -> Result<f64> {
    let text = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:"));
    let line = line.context("/proc/meminfo has no Slab")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

/// Lets this process and its children open as many files as they may.
///
/// # Errors
/// When the limit cannot be set, or is less than `needed`.
pub(crate) fn raise_open_files(needed: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .context("cannot raise the limit of open files")?;
    let may = limit.maximum.unwrap_or(u64::MAX);
    anyhow::ensure!(
        may >= needed,
        "this process may open {may} files, and needs {needed}: raise the hard limit, `ulimit -Hn`"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen_in_the_time_on_a_processor() {
        let pids = [std::process::id()];
        let before = cpu_of(&pids).unwrap();
        let mut number = 1_u64;
        while cpu_of(&pids).unwrap() - before < Duration::from_millis(5) {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
        assert!(memory_of(&pids).unwrap() > 0.0);
        assert!(kernel_memory().unwrap() > 0.0);
    }
}
