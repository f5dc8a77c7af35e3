//! How much memory this process has.

use std::fs::File;
use std::io;
use std::sync::OnceLock;

/// Stays open, so that it can also be read when there are no file descriptors left. There is one,
/// however many regions and clusters a process has.
static STATM: OnceLock<File> = OnceLock::new();

/// The resident set of this process.
#[derive(Debug)]
pub(super) struct Resident {
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nothing is read elsewhere"))]
    statm: &'static File,
}

impl Resident {
    /// # Errors
    /// The operating system's; always elsewhere than on Linux.
    pub(super) fn open() -> io::Result<Self> {
        if let Some(statm) = STATM.get() {
            return Ok(Self { statm });
        }
        let opened = File::open("/proc/self/statm")?;
        Ok(Self { statm: STATM.get_or_init(|| opened) })
    }

    /// In bytes.
    ///
    /// # Errors
    /// The operating system's, or a file of another form.
    #[cfg(target_os = "linux")]
    pub(super) fn bytes(&self) -> io::Result<u64> {
        use std::os::unix::fs::FileExt as _;
        /// Seven numbers of up to twenty digits, and what is between them.
        const STATM_BYTES_MAX: usize = 7 * 21;
        let mut text = [0; STATM_BYTES_MAX];
        let length = self.statm.read_at(&mut text, 0)?;
        let pages =
            pages(text.get(..length).unwrap_or_default()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(pages.saturating_mul(u64::try_from(rustix::param::page_size()).unwrap_or(u64::MAX)))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn bytes(&self) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The second number: pages that are resident.
#[cfg(target_os = "linux")]
fn pages(statm: &[u8]) -> Option<u64> {
    std::str::from_utf8(statm).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_second_number_is_that_of_the_resident_pages() {
        assert_eq!(pages(b"80942 27000 1496 6 0 25504 0\n"), Some(27000));
        assert_eq!(pages(b"80942"), None);
    }

    #[test]
    fn all_of_a_process_read_the_same_file() {
        let [one, other] = [Resident::open().unwrap(), Resident::open().unwrap()];
        assert!(std::ptr::eq(one.statm, other.statm));
    }

    #[test]
    fn memory_that_is_filled_is_seen() {
        const BYTES: usize = 64 * 1024 * 1024;
        let resident = Resident::open().unwrap();
        let before = resident.bytes().unwrap();
        let filled = vec![1_u8; BYTES];
        let grown = resident.bytes().unwrap().saturating_sub(before);
        assert!(grown > u64::try_from(BYTES / 2).unwrap(), "grew by {grown}");
        assert_eq!(std::hint::black_box(&filled).len(), BYTES);
    }
}
