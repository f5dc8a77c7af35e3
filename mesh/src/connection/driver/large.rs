//! Large asks and answers, put together from the pieces in which they come.

use amp_proto::{Assembled, Exchange, Fields, Incoming, Lost, PeerMisbehaved, Scanned, Scanner};
use bytes::Bytes;

use super::Driver;
use crate::connection::running::refuse_shed;

impl<S> Driver<S> {
    /// Does what is to be done now that a box that belongs to a large one has come.
    pub(super) fn take_assembled(&mut self, assembled: Assembled) -> Result<(), Lost> {
        let Assembled { whole, is_shed, owed, given } = assembled;
        if owed.is_some() || given.is_some() {
            let mut exchange = self.link.exchange();
            given.into_iter().for_each(|bytes| exchange.handle_part_credit(bytes));
            owed.into_iter().for_each(|bytes| exchange.give_part_credit(bytes));
        }
        whole.map_or(Ok(()), |whole| self.take_large(&whole, is_shed))
    }

    /// Lets go of what has come of large asks. A connection that is silent does so as well: it is
    /// asked for a sign of life now and then.
    pub(super) fn shed_if_memory_is_short(&mut self) {
        if self.running.is_short_of_memory() {
            self.assembly.shed();
        }
    }

    /// Deals with a large ask or answer.
    fn take_large(&mut self, whole: &Bytes, is_shed: bool) -> Result<(), Lost> {
        let limits = Exchange::large_limits(self.link.limits());
        let mut scanner = Scanner::default();
        let scanned = scanner.scan(whole, &limits).map_err(Lost::PeerMisbehaved)?;
        if scanned != (Scanned::Whole { bytes: whole.len() }) {
            return Err(Lost::PeerMisbehaved(PeerMisbehaved::NotOneBox));
        }
        let fields = Fields::new(whole, scanner.spans(), &limits);
        match Incoming::of(fields).map_err(Lost::PeerMisbehaved)? {
            Incoming::Ask(ask) if is_shed => refuse_shed(&self.link, &ask),
            Incoming::Ask(ask) if self.full => self.running.refuse_overloaded(&self.link, &ask),
            Incoming::Ask(ask) => self.running.begin_large(&self.link, &ask),
            reply => {
                let settled = self.link.exchange().handle_reply(&reply);
                settled.map_err(Lost::PeerMisbehaved)?;
            }
        }
        Ok(())
    }
}
