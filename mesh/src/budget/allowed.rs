//! How much memory the operating system allows this process.
//!
//! A process is in a control group, which is in another, and so on; each may have a limit, and the
//! least of them counts. There are two kinds of control groups, and a machine may have both at
//! once: of version 2, with one tree for everything, and of version 1, with a tree for memory.

use std::fs;
use std::path::{Path, PathBuf};

/// Files of limits in a control group of version 2: beyond the first it is slowed down until it
/// stands still, beyond the second processes are killed.
const OF_VERSION_2: [&str; 2] = ["memory.high", "memory.max"];
/// The same in a control group of version 1.
const OF_VERSION_1: [&str; 1] = ["memory.limit_in_bytes"];

/// What this process may have, in bytes. `None` where there is no `/proc`, as on other systems than
/// Linux. `root` is `/`, but in tests.
pub(super) fn bytes(root: &Path) -> Option<u64> {
    let of_machine = of_machine(root)?;
    let groups = groups(root).unwrap_or_default();
    Some(groups.into_iter().filter_map(|group| group.limit()).fold(of_machine, u64::min))
}

/// The memory of the machine.
fn of_machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The control group that this process is in, of one kind.
#[derive(Debug)]
struct Group {
    /// Where the tree of groups begins. What is above it is not to be seen from here.
    top: PathBuf,
    folder: PathBuf,
    files: &'static [&'static str],
}

impl Group {
    /// The least limit of the group and of those that it is in.
    fn limit(&self) -> Option<u64> {
        let folders = self.folder.ancestors().take_while(|folder| folder.starts_with(&self.top));
        folders
            .flat_map(|folder| self.files.iter().filter_map(|file| number(&folder.join(file))))
            .min()
    }
}

/// A limit. `max`, as version 2 writes it, is none; version 1 writes a number larger than any
/// machine.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn groups(root: &Path) -> Option<Vec<Group>> {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo")).ok()?;
    Some(mounts.lines().filter_map(|mount| group(root, &own, mount)).collect())
}

/// The group of this process in the tree that is mounted so, if its groups are about memory.
fn group(root: &Path, own: &str, mount: &str) -> Option<Group> {
    // 31 23 0:28 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
    let (place, kind) = mount.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (mounted, at) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let is_memory = |controllers: &str| controllers.split(',').any(|it| it == "memory");
    // In the list of the groups of this process, the tree of version 2 has no controllers.
    let (files, is_version_2): (&'static [&'static str], bool) = match (kind.next()?, kind.nth(1)?)
    {
        ("cgroup2", _) => (&OF_VERSION_2, true),
        ("cgroup", options) if is_memory(options) => (&OF_VERSION_1, false),
        _ => return None,
    };
    // 4:memory:/system.slice/mesh.service, or 0::/system.slice/mesh.service of version 2.
    let path = own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let is_ours = if is_version_2 { controllers.is_empty() } else { is_memory(controllers) };
        is_ours.then_some(path)
    })?;
    let top = root.join(at.trim_start_matches('/'));
    // In a container the tree may begin at its own group, and the path at the machine's.
    let below = Path::new(path).strip_prefix(mounted).unwrap_or_else(|_| Path::new(""));
    let below = below.strip_prefix("/").unwrap_or(below);
    Some(Group { folder: top.join(below), top, files })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// A machine with 1 GiB, and the files that a test gives it.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let meminfo = [("proc/meminfo", "MemTotal:        1048576 kB\nMemFree: 7 kB\n")];
        for (path, text) in meminfo.iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const VERSION_2: &str = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                             30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_least_limit_of_a_group_and_of_those_around_it_counts() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/system.slice/mesh.service\n"),
            ("proc/self/mountinfo", VERSION_2),
            ("sys/fs/cgroup/system.slice/mesh.service/memory.max", "536870912\n"),
            ("sys/fs/cgroup/system.slice/mesh.service/memory.high", "max\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "268435456\n"),
            ("sys/fs/cgroup/system.slice/memory.high", "134217728\n"),
            ("sys/fs/cgroup/other.slice/memory.max", "1048576\n"),
            ("sys/memory.max", "1048576\n"),
        ]);
        assert_eq!(bytes(root.path()), Some(128 * MIB));
    }

    #[test]
    fn without_a_limit_the_memory_of_the_machine_counts() {
        let root = machine(&[
            ("proc/self/cgroup", "0::/user.slice\n"),
            ("proc/self/mountinfo", VERSION_2),
            ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
        ]);
        assert_eq!(bytes(root.path()), Some(1024 * MIB));
        assert_eq!(bytes(machine(&[]).path()), Some(1024 * MIB));
        assert_eq!(bytes(Path::new("/nowhere")), None);
    }

    #[test]
    fn groups_of_version_1_are_read_beside_those_of_version_2() {
        let root = machine(&[
            ("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/mesh/one\n0::/\n"),
            (
                "proc/self/mountinfo",
                "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                 35 31 0:32 / /sys/fs/cgroup/memory rw shared:7 - cgroup cgroup rw,memory\n\
                 41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            ),
            ("sys/fs/cgroup/memory/mesh/one/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/mesh/memory.limit_in_bytes", "67108864\n"),
        ]);
        assert_eq!(bytes(root.path()), Some(64 * MIB));
    }

    #[test]
    fn in_a_container_the_tree_may_begin_at_its_own_group() {
        let mounted =
            |at: &str| format!("35 31 0:32 {at} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        for (own, at) in [("/docker/abc", "/docker/abc"), ("/", "/"), ("/", "/../..")] {
            let root = machine(&[
                ("proc/self/cgroup", &format!("0::{own}\n")),
                ("proc/self/mountinfo", &mounted(at)),
                ("sys/fs/cgroup/memory.max", "268435456\n"),
            ]);
            assert_eq!(bytes(root.path()), Some(256 * MIB), "{own} at {at}");
        }
    }
}
