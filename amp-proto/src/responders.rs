//! Sets of responders: what finds the one for a command, whoever's it is.
//!
//! The type behind a table is forgotten, so that a controller can hold its own commands and the
//! application's side by side.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::Peer;
use crate::responder::{Reply, ResponderTable};
use crate::schema::CommandSchema;
use crate::wire::Fields;

/// A set of responders whose type is forgotten.
#[derive(Clone)]
pub struct Responders {
    tables: Vec<Arc<dyn Dispatch>>,
    /// Sorted by name.
    index: Vec<Place>,
}

/// Where the responder of one command is.
#[derive(Clone, Copy)]
struct Place {
    /// How the name begins, as a number that sorts as names do: to find a command is a few
    /// comparisons of numbers and one of names.
    beginning: u64,
    name: &'static str,
    table: usize,
    entry: usize,
}

impl Place {
    fn cmp_name(&self, beginning: u64, name: &[u8]) -> Ordering {
        self.beginning.cmp(&beginning).then_with(|| self.name.as_bytes().cmp(name))
    }
}

/// The first eight bytes; where there are fewer, zeros stand for the rest.
fn beginning(name: &[u8]) -> u64 {
    let eight = name.first_chunk().copied().unwrap_or_else(|| {
        let mut eight = [0; 8];
        eight.iter_mut().zip(name).for_each(|(place, byte)| *place = *byte);
        eight
    });
    u64::from_be_bytes(eight)
}

trait Dispatch: Send + Sync {
    fn schema(&self, entry: usize) -> Option<&'static CommandSchema>;
    fn respond(&self, entry: usize, fields: &Fields<'_>, peer: &Peer) -> Option<Reply>;
    fn len(&self) -> usize;
}

struct Bound<S>(Arc<S>);

impl<S: ResponderTable> Dispatch for Bound<S> {
    fn schema(&self, entry: usize) -> Option<&'static CommandSchema> {
        S::TABLE.get(entry).map(|entry| &entry.schema)
    }

    fn respond(&self, entry: usize, fields: &Fields<'_>, peer: &Peer) -> Option<Reply> {
        S::TABLE.get(entry).map(|entry| (entry.respond)(&self.0, fields, peer))
    }

    fn len(&self) -> usize {
        S::TABLE.len()
    }
}

/// Two responders for one command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{command}` has two responders")]
pub struct TwoResponders {
    /// The command's name.
    pub command: &'static str,
}

impl Responders {
    /// No responders at all.
    #[must_use]
    pub fn new() -> Self {
        Self { tables: Vec::new(), index: Vec::new() }
    }

    /// Adds what `responder` answers.
    ///
    /// # Errors
    /// [`TwoResponders`] when one of its commands is answered already.
    pub fn add<S: ResponderTable>(&mut self, responder: Arc<S>) -> Result<(), TwoResponders> {
        let table = Bound(responder);
        for entry in 0..table.len() {
            let Some(schema) = table.schema(entry) else { break };
            let (name, table) = (schema.name, self.tables.len());
            match self.find(name.as_bytes()) {
                Ok(_) => return Err(TwoResponders { command: name }),
                Err(at) => {
                    let beginning = beginning(name.as_bytes());
                    self.index.insert(at, Place { beginning, name, table, entry });
                }
            }
        }
        self.tables.push(Arc::new(table));
        Ok(())
    }

    /// Begins to answer `command`, or `None` when nobody answers it.
    #[must_use]
    pub fn respond(&self, command: &[u8], fields: &Fields<'_>, peer: &Peer) -> Option<Reply> {
        let Place { table, entry, .. } = *self.place_of(command)?;
        self.tables.get(table)?.respond(entry, fields, peer)
    }

    fn place_of(&self, command: &[u8]) -> Option<&Place> {
        let beginning = beginning(command);
        let first = self.index.partition_point(|place| place.beginning < beginning);
        // Hardly ever do two begin alike.
        match self.index.get(first)? {
            place if place.name.as_bytes() == command => Some(place),
            _ => self.index.get(self.find(command).ok()?),
        }
    }

    /// Where a command is in the index, or where it would have to be.
    fn find(&self, command: &[u8]) -> Result<usize, usize> {
        let beginning = beginning(command);
        self.index.binary_search_by(|place| place.cmp_name(beginning, command))
    }

    /// Every command that is answered, by name.
    pub fn schemas(&self) -> impl Iterator<Item = &'static CommandSchema> + '_ {
        let schema = |place: &Place| self.tables.get(place.table)?.schema(place.entry);
        self.index.iter().filter_map(schema)
    }
}

impl Default for Responders {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Responders {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.index.iter().map(|place| place.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{Entry, Refusal};

    /// Names that begin alike, end early, or sort otherwise than their beginnings would.
    const NAMES: [&str; 9] = [
        "Describe",
        "Describe2",
        "Describ",
        "D",
        "Identify",
        "IdentifyA",
        "IdentifyB",
        "Ping",
        "_",
    ];

    struct Desk;

    const fn entry(name: &'static str) -> Entry<Desk> {
        let schema = CommandSchema {
            name,
            doc: "",
            answered_by: &[],
            arguments: &[],
            response: &[],
            takes: None,
            gives: None,
            errors: &[],
            requires_answer: false,
        };
        Entry { schema, respond: |_, _, _| Reply::Ready(Err(Refusal::Overloaded)) }
    }

    impl ResponderTable for Desk {
        const TABLE: &'static [Entry<Self>] = &[
            entry(NAMES[0]),
            entry(NAMES[1]),
            entry(NAMES[2]),
            entry(NAMES[3]),
            entry(NAMES[4]),
            entry(NAMES[5]),
            entry(NAMES[6]),
            entry(NAMES[7]),
            entry(NAMES[8]),
        ];
    }

    #[test]
    fn each_command_is_found_however_its_name_begins_and_no_other_is() {
        let mut responders = Responders::new();
        responders.add(Arc::new(Desk)).unwrap();
        let mut names = vec![];
        for schema in responders.schemas() {
            let at = responders.find(schema.name.as_bytes()).unwrap();
            assert_eq!(responders.index[at].name, schema.name);
            names.push(schema.name);
        }
        assert!(names.is_sorted() && names.len() == NAMES.len(), "{names:?}");
        for unknown in ["", "Describe3", "Describe22", "Identif", "Ping\0", "ping"] {
            assert!(responders.find(unknown.as_bytes()).is_err(), "{unknown}");
        }
        let command = NAMES[0];
        assert_eq!(responders.add(Arc::new(Desk)), Err(TwoResponders { command }));
    }
}
