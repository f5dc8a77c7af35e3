//! A control group with a limit of memory, for one process of a row. Beyond it the kernel kills.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, sleep};

use crate::processes::Starting;

/// How long the kernel may take to see that nobody is in it any more.
const EMPTY_WITHIN: Duration = Duration::from_secs(5);

/// The group. Its processes have to end before it.
#[derive(Debug)]
pub(crate) struct MemoryGroup {
    folder: PathBuf,
    kind: Kind,
}

/// The kinds of control groups there are, and what their files are called.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Version1,
    Version2,
}

impl MemoryGroup {
    /// A group with a limit, in bytes.
    ///
    /// # Errors
    /// The machine has no control groups for memory, or we may make none.
    pub(crate) fn with_limit(bytes: u64) -> anyhow::Result<Self> {
        let (top, kind) = tree()?;
        if let Kind::Version2 = kind {
            // Only a group that says so gives those in it limits of memory.
            let said = fs::write(top.join("cgroup.subtree_control"), "+memory");
            said.context("no control group of ours can have a limit of memory")?;
        }
        let folder = top.join(format!("chaos-{}-{bytes}", std::process::id()));
        fs::create_dir(&folder).context("no control group can be made")?;
        let group = Self { folder, kind };
        group.write(group.limit_file(), &bytes.to_string())?;
        // Memory of it that is swapped out would not be seen. Where nothing is, there is no file.
        match kind {
            Kind::Version2 => drop(group.write("memory.swap.max", "0")),
            Kind::Version1 => drop(group.write("memory.swappiness", "0")),
        }
        Ok(group)
    }

    const fn limit_file(&self) -> &'static str {
        match self.kind {
            Kind::Version1 => "memory.limit_in_bytes",
            Kind::Version2 => "memory.max",
        }
    }

    /// Has a process begin in the group.
    pub(crate) fn around(&self, starting: Starting) -> Starting {
        let procs = self.folder.join("cgroup.procs");
        let enter = "echo $$ > \"$0\" && exec \"$@\"";
        starting.through(&["sh", "-c", enter, &procs.to_string_lossy()])
    }

    /// How many processes of the group the kernel has killed for want of memory.
    ///
    /// # Errors
    /// The kernel does not say.
    pub(crate) fn killed(&self) -> anyhow::Result<u64> {
        let file = match self.kind {
            Kind::Version1 => "memory.oom_control",
            Kind::Version2 => "memory.events",
        };
        let text = fs::read_to_string(self.folder.join(file))?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(count.context("the kernel does not count whom it kills")?.trim().parse()?)
    }

    /// Removes the group, once its processes are gone.
    ///
    /// # Errors
    /// They are not.
    ///
    /// # Cancellation
    /// It stays.
    pub(crate) async fn remove(self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while let Err(error) = fs::remove_dir(&self.folder) {
            if begun.elapsed() > EMPTY_WITHIN {
                bail!("cannot remove {}: {error}", self.folder.display());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // One that still has processes stays: they end with the row.
        let _removed = fs::remove_dir(&self.folder);
    }
}

/// Where groups for memory can be made.
fn tree() -> anyhow::Result<(PathBuf, Kind)> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mut of_version_2 = None;
    for mount in mounts.lines() {
        let Some((place, kind)) = mount.split_once(" - ") else { continue };
        let Some(at) = place.split(' ').nth(4).map(Path::new) else { continue };
        match kind.split(' ').collect::<Vec<_>>()[..] {
            ["cgroup", _, options] if options.split(',').any(|it| it == "memory") => {
                return Ok((at.to_owned(), Kind::Version1));
            }
            ["cgroup2", ..] => of_version_2 = Some(at.to_owned()),
            _ => {}
        }
    }
    let at = of_version_2.context("this machine has no control groups")?;
    let controllers = fs::read_to_string(at.join("cgroup.controllers"))?;
    if !controllers.split_whitespace().any(|it| it == "memory") {
        bail!("the control groups of this machine know no memory");
    }
    Ok((at, Kind::Version2))
}
