//! Which asks are refused while memory is short.

use std::sync::Arc;

use amp_proto::Responders;

use super::MemoryWatch;

/// Refuses what peers newly ask while memory is short, but for the mesh's own commands: they keep
/// connections alive, or let them go, and hold next to nothing.
#[derive(Debug)]
pub(crate) struct Shedding {
    memory: Arc<MemoryWatch>,
    /// Sorted.
    spared: Box<[&'static str]>,
}

impl Shedding {
    /// Spares what `own` answers.
    pub(crate) fn new(memory: Arc<MemoryWatch>, own: &Responders) -> Self {
        Self { memory, spared: own.schemas().map(|schema| schema.name).collect() }
    }

    /// Whether an ask is refused.
    pub(crate) fn refuses(&self, command: &[u8]) -> bool {
        self.memory.is_short()
            && self.spared.binary_search_by(|name| name.as_bytes().cmp(command)).is_err()
    }

    /// Whether memory is short.
    pub(crate) fn is_short(&self) -> bool {
        self.memory.is_short()
    }

    /// As [`MemoryWatch::took`].
    pub(crate) fn took(&self, bytes: usize) {
        self.memory.took(bytes);
    }
}
