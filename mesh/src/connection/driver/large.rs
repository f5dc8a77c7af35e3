//! Large asks and answers, put together from the pieces in which they come.

use amp_proto::{Ask, Assembled, Assembly, Exchange, Fields, Incoming, Lost, Scanner};
use bytes::Bytes;

use super::Driver;
use crate::connection::link::Link;

/// Takes a piece, or credit for pieces. Gives the whole box after its last piece.
pub(super) fn take_part(
    assembly: &mut Assembly,
    link: &Link,
    ask: &Ask<'_>,
) -> Result<Option<Bytes>, Lost> {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
    let value = |key: &[u8]| ask.fields.get(key).map(amp_proto::Value::bytes);
    if let Some(credit) = value(b"bytes").filter(|_| ask.command == b"Credit") {
        link.exchange().handle_part_credit(number(credit).unwrap_or_default());
        return Ok(None);
    }
    let Some(message) = ask.metadata.part.and_then(number) else { return Ok(None) };
    if value(b"_given_up").is_some() {
        assembly.handle_given_up(message);
        return Ok(None);
    }
    let is_last = value(b"_last") == Some(b"1");
    let piece = value(b"bytes").unwrap_or_default();
    let assembled = assembly.handle_part(message, piece, is_last);
    let Assembled { whole, credit } = assembled.map_err(Lost::PeerMisbehaved)?;
    if let Some(bytes) = credit {
        link.exchange().give_part_credit(bytes);
    }
    Ok(whole)
}

impl<S> Driver<S> {
    /// Deals with a large ask or answer.
    pub(super) fn take_large(&mut self, whole: &Bytes) -> Result<(), Lost> {
        let limits = Exchange::large_limits(self.link.limits());
        let mut scanner = Scanner::default();
        scanner.scan(whole, &limits).map_err(Lost::PeerMisbehaved)?;
        let fields = Fields::new(whole, scanner.spans(), &limits);
        match Incoming::of(fields).map_err(Lost::PeerMisbehaved)? {
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
