//! What is too large to go in one piece, and what goes with it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use super::commands::{Say, Sum};
use crate::{
    AmpBox, AskId, AskRefused, AskStopped, EncodeError, Exchange, LargeBody, Limits, Lost,
    Metadata, Moment, SenderId,
};

const LARGE_BYTES_MAX: usize = 1024 * 1024;
const DEADLINE: Moment = Moment::START.after(Duration::from_secs(30));

fn exchange() -> Exchange {
    let mut exchange = Exchange::new(Arc::new(Limits::default()));
    exchange.set_large(LARGE_BYTES_MAX, LARGE_BYTES_MAX);
    exchange
}

fn say(bytes: usize) -> Say {
    Say { text: "x".repeat(bytes) }
}

fn ask_large(exchange: &mut Exchange, bytes: usize) -> Result<AskId, AskRefused> {
    let body = LargeBody::encode(&say(bytes), LARGE_BYTES_MAX).unwrap();
    exchange.ask_large(b"Say", body, DEADLINE, &Metadata::default())
}

/// Whether an ask of a lost connection may have been carried out.
fn may_be_done(exchange: &mut Exchange, ask: AskId) -> bool {
    match exchange.poll_ask(ask, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(AskStopped::Lost { sent, .. })) => sent,
        other => panic!("{other:?}"),
    }
}

/// Sends a large ask beside small ones, until nothing is left of it but what goes out with these
/// bytes, which are behind so many of small asks.
fn all_but_the_last(exchange: &mut Exchange) -> (AskId, Vec<u8>, usize) {
    let large = ask_large(exchange, Exchange::PART_BYTES + 50).unwrap();
    let mut out = Vec::new();
    loop {
        exchange.ask(&say(2000), DEADLINE).unwrap();
        let small = exchange.calls_bytes();
        out.clear();
        exchange.swap_outbound(&mut out);
        if exchange.large_bytes() == 0 {
            return (large, out, small);
        }
        exchange.handle_written(out.len());
    }
}

#[test]
fn a_large_ask_whose_last_piece_went_out_behind_small_ones_may_have_been_carried_out() {
    let mut exchange = exchange();
    let (large, out, _) = all_but_the_last(&mut exchange);
    exchange.handle_written(out.len());
    exchange.handle_lost(Lost::ClosedByPeer);
    assert!(may_be_done(&mut exchange, large));
}

#[test]
fn a_large_ask_of_which_the_last_piece_is_missing_was_certainly_not_carried_out() {
    let mut exchange = exchange();
    let (large, _, small) = all_but_the_last(&mut exchange);
    exchange.handle_written(small);
    exchange.handle_lost(Lost::ClosedByPeer);
    assert!(!may_be_done(&mut exchange, large));
}

#[test]
fn what_is_too_large_only_with_what_stands_before_it_is_refused_and_leaves_nothing_behind() {
    let mut exchange = exchange();
    let (mut largest, mut refused) = (0, 0);
    // A key for each part stands around the value, which fits alone up to some length.
    for bytes in LARGE_BYTES_MAX - 250..LARGE_BYTES_MAX {
        let body = LargeBody::encode(&say(bytes), LARGE_BYTES_MAX);
        let Ok(body) = body else { break };
        largest = bytes;
        match exchange.ask_large(b"Say", body, DEADLINE, &Metadata::default()) {
            Ok(ask) => assert!(!exchange.forget(ask)),
            Err(AskRefused::Encode(EncodeError::BoxTooLarge { bytes, max })) => {
                assert!(bytes > max && max == LARGE_BYTES_MAX);
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
        let left = (exchange.in_flight(), exchange.large_bytes(), exchange.outbound_bytes());
        assert_eq!(left, (0, 0, 0));
    }
    assert!((10..100).contains(&refused), "{refused}");
    let body = LargeBody::encode(&say(largest), LARGE_BYTES_MAX).unwrap();
    let refused =
        exchange.answer_large(b"a tag that is rather long: it is the peer's choice", body);
    assert!(matches!(refused, Err(EncodeError::BoxTooLarge { .. })), "{refused:?}");
    assert_eq!((exchange.large_bytes(), exchange.outbound_bytes()), (0, 0));
}

#[test]
fn an_ask_with_a_stream_goes_whole_so_that_no_item_overtakes_it() {
    let mut exchange = exchange();
    exchange.set_peer_window(100_000);
    let metadata = Metadata::default();
    let text = say(Exchange::PART_BYTES + 1000);
    let (_, stream) = exchange.ask_streaming(b"Say", &text, DEADLINE, &metadata).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(
        exchange.poll_send(stream, SenderId::next(), &Sum { a: 1, b: 2 }, &mut context).is_ready()
    );
    let mut out = Vec::new();
    exchange.swap_outbound(&mut out);
    let out = out.into();
    let (ask, bytes) = AmpBox::decode(&out, &Limits::default()).unwrap().unwrap();
    assert!(ask.get(b"_ask").is_some() && ask.get(b"_stream").is_some());
    assert_eq!(ask.get(b"text").map(|text| text.len()), Some(Exchange::PART_BYTES + 1000));
    let (item, _) = AmpBox::decode(&out.slice(bytes..), &Limits::default()).unwrap().unwrap();
    assert_eq!(item.get(b"_command").map(|it| &it[..]), Some(&b"Item"[..]));

    let refused = exchange.ask_streaming(b"Say", &say(70_000), DEADLINE, &metadata);
    let too_long =
        AskRefused::Encode(EncodeError::ValueTooLong { key: String::from("text"), bytes: 70_000 });
    assert_eq!(refused.unwrap_err(), too_long);
}

#[test]
fn a_large_ask_is_given_up_when_the_peer_stops_sending_before_it_was_sent() {
    let mut exchange = exchange();
    let begun = ask_large(&mut exchange, 4 * Exchange::PART_BYTES).unwrap();
    let mut out = Vec::new();
    exchange.swap_outbound(&mut out);
    exchange.handle_written(out.len());
    let waiting = ask_large(&mut exchange, 4 * Exchange::PART_BYTES).unwrap();
    let small = exchange.ask(&say(1), DEADLINE).unwrap();
    exchange.handle_peer_done(Lost::ClosedByPeer);
    assert_eq!(exchange.large_bytes(), 0, "nothing of either goes out any more");
    assert!(!may_be_done(&mut exchange, begun));
    assert!(!may_be_done(&mut exchange, waiting));
    assert!(may_be_done(&mut exchange, small), "it goes out, and the peer may act on it");
}
