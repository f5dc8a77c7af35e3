//! Which processors there are, shared out between those who are measured and those who only make
//! work for them: the latter would have a machine of their own.

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_getaffinity};

/// The processors that this process may use, in two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Processors {
    measured: String,
    others: String,
}

impl Processors {
    /// All but the last for those who are measured, the last for the others. Where there is only
    /// one they share it.
    ///
    /// # Errors
    /// The operating system does not say, or has none.
    pub(crate) fn shared_out() -> anyhow::Result<Self> {
        let set = sched_getaffinity(None)?;
        Self::of((0..CpuSet::MAX_CPU).filter(|number| set.is_set(*number)))
    }

    fn of(numbers: impl Iterator<Item = usize>) -> anyhow::Result<Self> {
        let mut numbers: Vec<_> = numbers.map(|number| number.to_string()).collect();
        let others = numbers.pop().context("no processor")?;
        let measured = if numbers.is_empty() { others.clone() } else { numbers.join(",") };
        Ok(Self { measured, others })
    }

    /// The words that put a command on those for who is measured.
    pub(crate) fn measured(&self) -> [&str; 3] {
        ["taskset", "-c", &self.measured]
    }

    /// The words that put a command on that for the others.
    pub(crate) fn others(&self) -> [&str; 3] {
        ["taskset", "-c", &self.others]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_processor_is_for_the_others_if_there_are_several() {
        let shared = |numbers: &[usize]| {
            let Processors { measured, others } = Processors::of(numbers.iter().copied()).unwrap();
            (measured, others)
        };
        assert_eq!(shared(&[0, 1]), ("0".to_owned(), "1".to_owned()));
        assert_eq!(shared(&[2, 3, 7]), ("2,3".to_owned(), "7".to_owned()));
        assert_eq!(shared(&[4]), ("4".to_owned(), "4".to_owned()));
        Processors::of(std::iter::empty()).unwrap_err();
    }
}
