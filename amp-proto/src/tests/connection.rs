//! Asks and answers between two connections.

use alloc::borrow::ToOwned as _;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::task::Wake;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;

use bytes::BytesMut;

use super::commands::{Say, Sum, Total};
use super::pair::{End, Pair};
use crate::{
    Arguments as _, AskEvent, AskRefused, AskStopped, CallError, Exchange, Inbound, Limits, Lost,
    Moment, PeerMisbehaved, response_of,
};

const TIMEOUT: Duration = Duration::from_secs(30);

fn answer(pair: &mut Pair, end: End, ask: &AskEvent) {
    let Sum { a, b } = Sum::decode(&ask.received.fields()).unwrap();
    pair.end(end).answer(ask.tag.as_deref(), &Total { total: a + b }).unwrap();
}

#[test]
fn an_ask_and_its_answer_are_twisteds_bytes() {
    let mut pair = Pair::new();
    pair.ask(End::Left, &Sum { a: 13, b: 81 });
    let wire = pair.end(End::Left).poll_transmit().unwrap();
    assert_eq!(wire, b"\0\x04_ask\0\x011\0\x08_command\0\x03Sum\0\x01a\0\x0213\0\x01b\0\x0281\0\0");
    let ask = pair.deliver(End::Right, &wire).unwrap().remove(0);
    answer(&mut pair, End::Right, &ask);
    let wire = pair.end(End::Right).poll_transmit().unwrap();
    assert_eq!(wire, b"\0\x07_answer\0\x011\0\x05total\0\x0294\0\0");
}

#[test]
fn answers_find_their_asks_in_any_order_in_both_directions_and_in_any_fragments() {
    for seed in 1..200 {
        let mut pair = Pair::with(Limits::default(), seed);
        let mut asked = Vec::new();
        for number in 0..40 {
            let end = if pair.random_below(2) == 0 { End::Left } else { End::Right };
            asked.push((end, pair.ask(end, &Sum { a: number, b: 1 }), number + 1));
        }
        for end in [End::Left, End::Right] {
            let mut asks = pair.carry_in_fragments(end).unwrap();
            while !asks.is_empty() {
                let ask = asks.swap_remove(pair.random_below(asks.len()));
                answer(&mut pair, end.other(), &ask);
            }
        }
        assert!(pair.carry_in_fragments(End::Left).unwrap().is_empty());
        assert!(pair.carry_in_fragments(End::Right).unwrap().is_empty());
        for (end, id, expected) in asked {
            let outcome = pair.outcome(end, id).unwrap();
            let total = response_of::<Sum>(outcome, TIMEOUT).unwrap();
            assert_eq!(total, Total { total: expected }, "seed {seed}");
        }
    }
}

#[test]
fn tags_count_in_hexadecimal_and_skip_those_in_flight() {
    let mut pair = Pair::new();
    let mut tags = Vec::new();
    let slow = pair.ask(End::Left, &Sum { a: 0, b: 0 });
    let slow_ask = pair.carry(End::Left).unwrap().remove(0);
    for _ in 0..300 {
        let id = pair.ask(End::Left, &Sum { a: 1, b: 1 });
        let ask = pair.carry(End::Left).unwrap().remove(0);
        tags.push(String::from_utf8(ask.tag.clone().unwrap().to_vec()).unwrap());
        answer(&mut pair, End::Right, &ask);
        pair.carry(End::Right).unwrap();
        assert!(pair.outcome(End::Left, id).unwrap().is_ok());
    }
    assert_eq!(&tags[..10], ["2", "3", "4", "6", "7", "8", "a", "b", "c", "e"]);
    assert!(tags.iter().all(|tag| tag != "1"), "the first ask is still in flight");
    answer(&mut pair, End::Right, &slow_ask);
    pair.carry(End::Right).unwrap();
    assert!(pair.outcome(End::Left, slow).unwrap().is_ok());
}

#[test]
fn a_deadline_ends_an_ask_and_its_late_answer_does_no_harm() {
    let mut pair = Pair::new();
    let id = pair.ask(End::Left, &Sum { a: 1, b: 2 });
    let ask = pair.carry(End::Left).unwrap().remove(0);
    assert_eq!(pair.end(End::Left).poll_timeout(), Some(pair.now.after(TIMEOUT)));

    pair.pass(TIMEOUT - Duration::from_millis(1));
    assert_eq!(pair.outcome(End::Left, id), None);
    pair.pass(Duration::from_millis(1));
    assert_eq!(pair.outcome(End::Left, id), Some(Err(AskStopped::TimedOut { sent: true })));

    answer(&mut pair, End::Right, &ask);
    assert_eq!(pair.carry(End::Right), Ok(Vec::new()));
    answer(&mut pair, End::Right, &ask);
    let twice = pair.carry(End::Right);
    assert_eq!(twice, Err(PeerMisbehaved::UnknownTag { tag: "\"1\"".to_owned() }));
}

#[test]
fn an_answer_that_comes_before_its_time_out_is_noticed_does_no_harm_either() {
    let mut pair = Pair::new();
    let id = pair.ask(End::Left, &Sum { a: 1, b: 2 });
    let ask = pair.carry(End::Left).unwrap().remove(0);
    pair.pass(TIMEOUT);
    answer(&mut pair, End::Right, &ask);
    assert_eq!(pair.carry(End::Right), Ok(Vec::new()));
    assert_eq!(pair.outcome(End::Left, id), Some(Err(AskStopped::TimedOut { sent: true })));
}

#[test]
fn asks_that_timed_out_are_not_remembered_for_ever() {
    let limits = Limits { asks_forgotten_max: 4, ..Limits::default() };
    let mut pair = Pair::with(limits, 1);
    let ids: Vec<_> = (0..10).map(|a| pair.ask(End::Left, &Sum { a, b: a })).collect();
    let first = pair.carry(End::Left).unwrap().remove(0);
    pair.pass(TIMEOUT);
    for id in ids {
        assert!(matches!(pair.outcome(End::Left, id), Some(Err(AskStopped::TimedOut { .. }))));
    }
    // Nobody knows any more whether this was answered before, so nobody minds.
    for _ in 0..2 {
        answer(&mut pair, End::Right, &first);
        assert_eq!(pair.carry(End::Right), Ok(Vec::new()));
    }
}

#[test]
fn a_ping_takes_no_place_and_needs_none() {
    let limits = Limits { asks_in_flight_max: 1, ..Limits::default() };
    let mut pair = Pair::with(limits, 1);
    let ping = pair.end(End::Left).ping(&Sum { a: 0, b: 0 }, pair_deadline()).unwrap();
    let call = pair.ask(End::Left, &Sum { a: 1, b: 1 });
    for ask in pair.carry(End::Left).unwrap() {
        answer(&mut pair, End::Right, &ask);
    }
    pair.carry(End::Right).unwrap();
    assert!(pair.outcome(End::Left, ping).unwrap().is_ok());
    assert!(pair.outcome(End::Left, call).unwrap().is_ok());

    pair.ask(End::Left, &Sum { a: 2, b: 2 });
    pair.end(End::Left).ping(&Sum { a: 0, b: 0 }, pair_deadline()).unwrap();
    let second = pair.end(End::Left).ask(&Sum { a: 3, b: 3 }, pair_deadline());
    assert_eq!(second, Err(AskRefused::TooManyInFlight { max: 1 }));
}

#[test]
fn losing_the_connection_ends_every_ask_and_says_which_were_sent() {
    let mut pair = Pair::new();
    let sent = pair.ask(End::Left, &Sum { a: 1, b: 2 });
    pair.carry(End::Left).unwrap();
    let unsent = pair.ask(End::Left, &Sum { a: 3, b: 4 });
    let lost = Lost::ClosedByPeer;
    pair.lose(&lost);
    let outcome = |sent| Some(Err(AskStopped::Lost { lost: lost.clone(), sent }));
    assert_eq!(pair.outcome(End::Left, sent), outcome(true));
    assert_eq!(pair.outcome(End::Left, unsent), outcome(false));

    let again = pair.end(End::Left).ask(&Sum { a: 5, b: 6 }, pair_deadline());
    assert_eq!(again, Err(AskRefused::Lost(lost)));
    assert_eq!(pair.end(End::Left).poll_transmit(), None);
}

fn pair_deadline() -> Moment {
    Moment::START.after(TIMEOUT)
}

#[test]
fn no_more_asks_are_in_flight_than_the_limits_allow() {
    let limits = Limits { asks_in_flight_max: 3, ..Limits::default() };
    let mut pair = Pair::with(limits, 1);
    let first = pair.ask(End::Left, &Sum { a: 1, b: 1 });
    pair.ask(End::Left, &Sum { a: 2, b: 2 });
    pair.ask(End::Left, &Sum { a: 3, b: 3 });
    let fourth = pair.end(End::Left).ask(&Sum { a: 4, b: 4 }, pair_deadline());
    assert_eq!(fourth, Err(AskRefused::TooManyInFlight { max: 3 }));

    let ask = pair.carry(End::Left).unwrap().remove(0);
    answer(&mut pair, End::Right, &ask);
    pair.carry(End::Right).unwrap();
    assert!(pair.outcome(End::Left, first).unwrap().is_ok());
    pair.ask(End::Left, &Sum { a: 4, b: 4 });
}

#[test]
fn answers_to_forgotten_asks_are_dropped_and_answers_to_nothing_are_not() {
    let (mut here, exchange_limits) = (Pair::new(), Limits::default());
    let id = here.ask(End::Left, &Sum { a: 1, b: 1 });
    let ask = here.carry(End::Left).unwrap().remove(0);
    let left =
        core::mem::replace(here.end(End::Left), crate::Connection::new(Arc::new(exchange_limits)));
    let (mut inbound, mut exchange) = left.into_parts();
    exchange.forget(id);
    assert_eq!(exchange.in_flight(), 0);

    answer(&mut here, End::Right, &ask);
    let wire = here.end(End::Right).poll_transmit().unwrap();
    for (time, expected) in [(1, true), (2, false)] {
        inbound.room().extend_from_slice(&wire);
        let reply = crate::Incoming::of(inbound.next_box().unwrap().unwrap()).unwrap();
        assert_eq!(exchange.handle_reply(&reply).is_ok(), expected, "answer number {time}");
    }
}

#[test]
fn an_answer_to_what_was_never_asked_ends_the_connection() {
    for tag in ["1", "01", "A", "", "ffffffffffffffffff", "g"] {
        let mut pair = Pair::new();
        pair.end(End::Right).answer(Some(tag.as_bytes()), &Total { total: 1 }).unwrap();
        let id = if tag == "1" { None } else { Some(pair.ask(End::Left, &Sum { a: 1, b: 1 })) };
        let carried = pair.carry(End::Right);
        assert!(matches!(carried, Err(PeerMisbehaved::UnknownTag { .. })), "{tag:?}: {carried:?}");
        if let Some(id) = id {
            let outcome = pair.outcome(End::Left, id);
            assert!(matches!(outcome, Some(Err(AskStopped::Lost { .. }))), "{outcome:?}");
        }
    }
}

#[test]
fn an_error_ends_its_ask_with_its_code_and_description() {
    let mut pair = Pair::new();
    let id = pair.ask(End::Left, &Sum { a: 1, b: 1 });
    let ask = pair.carry(End::Left).unwrap().remove(0);
    pair.end(End::Right).refuse(ask.tag.as_deref(), "UNHANDLED", "Unhandled Command: Sum");
    pair.carry(End::Right).unwrap();
    let outcome = pair.outcome(End::Left, id).unwrap();
    let description = "Unhandled Command: Sum".to_owned();
    let expected = CallError::Unhandled { description };
    assert_eq!(response_of::<Sum>(outcome, TIMEOUT), Err(expected));
}

#[test]
fn an_error_without_a_code_still_ends_its_ask() {
    let mut pair = Pair::new();
    let id = pair.ask(End::Left, &Sum { a: 1, b: 1 });
    pair.deliver(End::Left, b"\0\x06_error\0\x011\0\0").unwrap();
    let outcome = pair.outcome(End::Left, id).unwrap();
    let expected = AskStopped::Error { code: "UNKNOWN".to_owned(), description: String::new() };
    assert_eq!(outcome, Err(expected));
}

#[test]
fn a_command_without_a_tag_is_not_answered() {
    let mut pair = Pair::new();
    let asks = pair.deliver(End::Right, b"\0\x08_command\0\x03Sum\0\x01a\0\x011\0\x01b\0\x011\0\0");
    let ask = asks.unwrap().remove(0);
    assert_eq!(ask.tag, None);
    answer(&mut pair, End::Right, &ask);
    pair.end(End::Right).refuse(ask.tag.as_deref(), "UNKNOWN", "nobody hears this");
    assert_eq!(pair.end(End::Right).poll_transmit(), None);
}

#[test]
fn a_command_that_does_not_fit_is_refused_and_nothing_of_it_is_sent() {
    let mut pair = Pair::with(Limits { box_bytes_max: 64, ..Limits::default() }, 1);
    let long = Say { text: "x".repeat(70_000) };
    let refused = pair.end(End::Left).ask(&long, pair_deadline());
    assert!(matches!(refused, Err(AskRefused::Encode(_))), "{refused:?}");
    let refused = pair.end(End::Left).ask(&Say { text: "x".repeat(60) }, pair_deadline());
    assert!(matches!(refused, Err(AskRefused::Encode(_))), "{refused:?}");
    assert_eq!(pair.end(End::Left).poll_transmit(), None);
    pair.ask(End::Left, &Say { text: "short".to_owned() });
    assert_eq!(pair.carry(End::Left).unwrap().len(), 1);
}

#[test]
fn whoever_waits_for_an_outcome_is_woken_by_it_and_by_nothing_else() {
    #[derive(Default)]
    struct Counter(AtomicUsize);
    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let counter = Arc::new(Counter::default());
    let waker = Arc::clone(&counter).into();
    let mut context = Context::from_waker(&waker);

    let mut pair = Pair::new();
    let watched = pair.ask(End::Left, &Sum { a: 1, b: 1 });
    pair.ask(End::Left, &Sum { a: 2, b: 2 });
    assert_eq!(pair.end(End::Left).poll_ask(watched, &mut context), Poll::Pending);
    let asks = pair.carry(End::Left).unwrap();
    answer(&mut pair, End::Right, &asks[1]);
    pair.carry(End::Right).unwrap();
    assert_eq!(counter.0.load(Ordering::Relaxed), 0);
    answer(&mut pair, End::Right, &asks[0]);
    pair.carry(End::Right).unwrap();
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);
}

#[test]
fn what_is_not_amp_is_told_from_its_first_bytes() {
    for (bytes, words) in [
        (&b"GET / HTTP/1.1\r\n"[..], "HTTP"),
        (b"\x16\x03\x01\x02\0\x01\0", "TLS"),
        (b"SSH-2.0-OpenSSH", "SSH"),
    ] {
        let mut pair = Pair::new();
        let misbehaved = pair.deliver(End::Left, bytes).unwrap_err();
        assert!(misbehaved.to_string().contains(words), "{misbehaved}");
    }
}

#[test]
fn a_box_without_a_meaning_ends_the_connection() {
    for (bytes, expected) in [
        (&b"\0\0"[..], PeerMisbehaved::EmptyBox),
        (b"\0\x01k\0\x01v\0\0", PeerMisbehaved::NoReservedKey),
        (b"\0\x04_ask\0\x011\0\0", PeerMisbehaved::NoReservedKey),
    ] {
        assert_eq!(Pair::new().deliver(End::Left, bytes), Err(expected));
    }
}

#[test]
fn a_long_idle_connection_holds_no_table_and_no_buffer() {
    let mut pair = Pair::new();
    let ids: Vec<_> = (0..500).map(|n| pair.ask(End::Left, &Sum { a: n, b: n })).collect();
    let asks = pair.carry(End::Left).unwrap();
    asks.iter().for_each(|ask| answer(&mut pair, End::Right, ask));
    pair.carry(End::Right).unwrap();
    for id in ids {
        assert!(pair.outcome(End::Left, id).unwrap().is_ok());
    }
    let limits = Arc::new(Limits::default());
    let left = core::mem::replace(pair.end(End::Left), crate::Connection::new(limits));
    let (mut inbound, exchange) = left.into_parts();
    let buffer = inbound.rest();
    assert!(inbound.is_at_rest() && buffer.is_empty());
    assert_eq!(inbound.buffered_bytes(), 0);
    assert_eq!((exchange.in_flight(), exchange.outbound_bytes()), (0, 0));
}

#[test]
fn an_ask_that_timed_out_unsent_counts_as_sent_for_its_bytes_still_go_out() {
    let mut pair = Pair::new();
    let id = pair.ask(End::Left, &Sum { a: 1, b: 2 });
    pair.pass(TIMEOUT);
    let outcome = pair.outcome(End::Left, id).unwrap();
    let failed = response_of::<Sum>(outcome, TIMEOUT).unwrap_err();
    assert!(failed.maybe_done() && !failed.is_retryable(), "{failed:?}");
    assert_eq!(pair.carry(End::Left).unwrap().len(), 1, "the peer is asked all the same");
}

#[test]
fn a_peer_that_only_stopped_sending_may_still_do_what_waits_to_be_sent() {
    let (_inbound, mut exchange) = crate::Connection::new(Arc::new(Limits::default())).into_parts();
    let id = exchange.ask(&Sum { a: 1, b: 2 }, pair_deadline()).unwrap();
    exchange.handle_peer_done(Lost::ClosedByPeer);
    let mut context = Context::from_waker(core::task::Waker::noop());
    let outcome = exchange.poll_ask(id, &mut context);
    let lost = Err(AskStopped::Lost { lost: Lost::ClosedByPeer, sent: true });
    assert_eq!(outcome, Poll::Ready(lost));
    assert!(exchange.outbound_bytes() > 0);
}

#[test]
fn a_refusal_that_does_not_fit_is_said_shortly() {
    let mut pair = Pair::with(Limits { box_bytes_max: 120, ..Limits::default() }, 1);
    let id = pair.ask(End::Left, &Sum { a: 1, b: 1 });
    let ask = pair.carry(End::Left).unwrap().remove(0);
    pair.end(End::Right).refuse(ask.tag.as_deref(), "NO_SUCH_CHEEZ", &"x".repeat(200));
    pair.carry(End::Right).unwrap();
    let expected = AskStopped::Error { code: "UNKNOWN".to_owned(), description: String::new() };
    assert_eq!(pair.outcome(End::Left, id), Some(Err(expected)));
}

#[test]
fn a_buffer_is_lent_only_to_a_connection_without_one_and_given_back_only_empty() {
    let mut inbound = Inbound::new(Arc::new(Limits::default()));
    inbound.lend(BytesMut::with_capacity(8 * 1024));
    let mine = inbound.room().as_ptr();
    inbound.room().extend_from_slice(b"\0\x04_ask\0\x01");
    assert!(inbound.next_box().unwrap().is_none());
    assert_eq!(inbound.rest().capacity(), 0, "half a box is in it");
    inbound.lend(BytesMut::with_capacity(8 * 1024));
    assert_eq!((inbound.room().as_ptr(), inbound.buffered_bytes()), (mine, 8));
    inbound.room().extend_from_slice(b"1\0\x08_command\0\x03Sum\0\0");
    assert!(inbound.next_box().unwrap().is_some());
    let buffer = inbound.rest();
    assert!(buffer.capacity() > 0 && buffer.is_empty() && inbound.is_at_rest());
}

#[test]
fn what_is_longer_than_a_piece_by_its_keys_only_goes_as_it_is() {
    let said = |bytes: usize| {
        let mut exchange = Exchange::new(Arc::new(Limits::default()));
        exchange.set_large(1024 * 1024, 1024 * 1024);
        let text = "x".repeat(bytes);
        exchange.ask(&Say { text }, Moment::START.after(TIMEOUT)).unwrap();
        let mut out = Vec::new();
        exchange.swap_outbound(&mut out);
        let is_in_pieces = out.windows(4).any(|bytes| bytes == b"Part");
        (is_in_pieces, exchange.is_empty())
    };
    assert_eq!(said(Exchange::PART_BYTES), (false, true));
    let (is_in_pieces, _) = said(Exchange::PART_BYTES + 128);
    assert!(is_in_pieces);
}
