//! A peer for the files of the mesh that are tried out: it answers what it is asked, in memory.

use amp_proto::{
    Arguments, AskId, Command, Exchange, Inbound, Incoming, Limits, Metadata, Moment,
    PeerMisbehaved,
};

/// Say something.
#[derive(Debug, Command)]
#[command(answered_by = any, response = Said)]
pub struct Say;

/// What was said.
#[derive(Debug, PartialEq, Arguments)]
pub struct Said {}

/// An exchange on which nothing has happened.
pub fn exchange() -> Exchange {
    Exchange::new(Limits::default().into())
}

/// Asks for something. `None` if the connection takes no more asks.
pub fn ask(exchange: &mut Exchange) -> Option<AskId> {
    let deadline = Moment::START.after(std::time::Duration::from_secs(60));
    let name = Say::NAME.as_bytes();
    exchange.ask_encoded(name, &Say, deadline, &Metadata::default()).ok()
}

/// Takes what waits to be sent, as a driver does. Gives the tags that were asked with.
pub fn tags_sent(exchange: &mut Exchange) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    exchange.swap_outbound(&mut out);
    exchange.handle_written(out.len());
    let mut inbound = Inbound::new(Limits::default().into());
    inbound.room().extend_from_slice(&out);
    let mut tags = Vec::new();
    while let Some(fields) = inbound.next_box().expect("what is written is well-formed") {
        if let Some(tag) = fields.get(b"_ask") {
            tags.push(tag.bytes().to_vec());
        }
    }
    tags
}

/// Answers an ask with this tag.
pub fn answer(exchange: &mut Exchange, tag: &[u8]) -> Result<(), PeerMisbehaved> {
    let length = u8::try_from(tag.len()).expect("tags are short");
    let reply = [b"\x00\x07_answer\x00", &[length][..], tag, b"\x00\x00"].concat();
    let mut inbound = Inbound::new(Limits::default().into());
    inbound.room().extend_from_slice(&reply);
    let fields = inbound.next_box()?.expect("it is whole");
    exchange.handle_reply(&Incoming::of(fields)?)
}
