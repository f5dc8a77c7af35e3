//! Calls beside which items flow.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use amp_proto::{
    Arguments, CallError, Cluster, Command, CommandError, ItemRefused, ItemSender, Items, Limits,
    Lost, Never, Region, Responders, Role as _, StreamStopped, responders,
};
use mesh::commands::Ident;
use mesh::{CallContext, Client, Common, connect_trusted};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Count up to a number.
#[derive(Debug, Command)]
#[command(answered_by = Cluster, answers = stream Number, response = Total, errors = TooFar)]
struct CountTo {
    last: u32,
    refused_at: Option<u32>,
}

/// Add numbers up.
#[derive(Debug, Command)]
#[command(answered_by = Cluster, takes = stream Number, response = Total, errors = TooFar)]
struct AddUp;

/// Answer each number with its double.
#[derive(Debug, Command)]
#[command(answered_by = Cluster, takes = stream Number, answers = stream Number)]
struct Double;

/// Count as long as anybody listens.
#[derive(Debug, Command)]
#[command(answered_by = Cluster, answers = stream Number)]
struct CountForEver;

#[derive(Debug, Command)]
#[command(answered_by = Cluster)]
struct Knock;

/// Wait until all are let in.
#[derive(Debug, Command)]
#[command(answered_by = Cluster)]
struct Wait;

#[derive(Debug, PartialEq, Arguments)]
struct Number {
    number: u32,
    padding: Option<Vec<u8>>,
}

#[derive(Debug, PartialEq, Arguments)]
struct Total {
    total: u32,
}

#[derive(Debug, PartialEq, CommandError, thiserror::Error)]
enum TooFar {
    #[code("TOO_FAR")]
    #[error("{0}")]
    TooFar(String),
}

fn number(number: u32) -> Number {
    Number { number, padding: None }
}

struct Counter {
    sent: AtomicU32,
    stopped: Notify,
    door: Semaphore,
}

impl Default for Counter {
    fn default() -> Self {
        Self { sent: AtomicU32::new(0), stopped: Notify::new(), door: Semaphore::new(0) }
    }
}

struct TellOnDrop<'a>(&'a Notify);

impl Drop for TellOnDrop<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[responders]
impl Counter {
    #[responder]
    async fn count_to(
        &self,
        it: CountTo,
        mut numbers: ItemSender<Number>,
    ) -> Result<Total, TooFar> {
        for next in 1..=it.last {
            if Some(next) == it.refused_at {
                return Err(TooFar::TooFar(format!("{next} is too far")));
            }
            numbers.send(number(next)).await.unwrap();
        }
        Ok(Total { total: it.last })
    }

    #[responder]
    async fn add_up(&self, _: AddUp, mut numbers: Items<Number>) -> Result<Total, TooFar> {
        let mut total = 0;
        while let Some(Number { number, .. }) = numbers.next().await.unwrap() {
            if number > 1000 {
                return Err(TooFar::TooFar(format!("{number} is too far")));
            }
            total += number;
        }
        Ok(Total { total })
    }

    #[responder]
    async fn double(
        &self,
        _: Double,
        mut numbers: Items<Number>,
        mut doubles: ItemSender<Number>,
    ) -> Result<(), Never> {
        while let Some(Number { number: next, .. }) = numbers.next().await.unwrap() {
            doubles.send(number(next * 2)).await.unwrap();
        }
        Ok(())
    }

    #[responder]
    async fn count_for_ever(
        &self,
        _: CountForEver,
        mut numbers: ItemSender<Number>,
    ) -> Result<(), Never> {
        let _told = TellOnDrop(&self.stopped);
        loop {
            let next = Number { number: 1, padding: Some(vec![0; 1000]) };
            if numbers.send(next).await.is_err() {
                return Ok(());
            }
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[responder]
    async fn knock(&self, _: Knock) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn wait(&self, _: Wait) -> Result<(), Never> {
        self.door.acquire().await.unwrap().forget();
        Ok(())
    }
}

struct Ends {
    cluster: Client<Cluster>,
    counter: Arc<Counter>,
    tasks: JoinSet<Lost>,
}

async fn ends(limits: Limits) -> Ends {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let counter = Arc::new(Counter::default());
    let responders = |role, name: &str| {
        let ident = Ident { ident: name.to_owned(), name: None, version: None };
        let mut responders = Responders::new();
        responders.add(Arc::new(Common::new(role, ident, None))).unwrap();
        responders
    };
    let mut answering = responders(Cluster::NAME, "a-cluster");
    answering.add(Arc::clone(&counter)).unwrap();
    let nobody = Arc::new(responders(Region::NAME, "a-region"));
    let (cluster, driving) = connect_trusted::<Cluster, _>(near, nobody, limits.clone());
    let (region, answering) = connect_trusted::<Region, _>(far, Arc::new(answering), limits);
    let mut tasks = JoinSet::new();
    tasks.spawn(driving);
    tasks.spawn(answering);
    let (here, there) = tokio::join!(cluster.negotiate(), region.negotiate());
    here.and(there).unwrap();
    Ends { cluster, counter, tasks }
}

#[tokio::test(start_paused = true)]
async fn a_command_answers_with_a_stream_and_ends_it_with_its_response() {
    let Ends { cluster, tasks: _tasks, .. } = ends(Limits::default()).await;
    let mut counting = cluster.stream(CountTo { last: 10_000, refused_at: None }).unwrap();
    let mut expected = 1..=10_000;
    while let Some(item) = counting.next().await.unwrap() {
        assert_eq!(Some(item.number), expected.next());
    }
    assert_eq!(expected.next(), None);
    assert_eq!(counting.finish().await, Ok(Total { total: 10_000 }));
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_end_with_a_declared_error_after_its_items() {
    let Ends { cluster, tasks: _tasks, .. } = ends(Limits::default()).await;
    let mut counting = cluster.stream(CountTo { last: 5, refused_at: Some(3) }).unwrap();
    assert_eq!(counting.next().await, Ok(Some(number(1))));
    assert_eq!(counting.next().await, Ok(Some(number(2))));
    let refused = || CallError::Declared(TooFar::TooFar("3 is too far".to_owned()));
    assert_eq!(counting.next().await, Err(refused()));
    assert_eq!(counting.next().await, Err(refused()), "it stays so");
    assert_eq!(counting.finish().await, Err(refused()));
}

#[tokio::test(start_paused = true)]
async fn a_command_takes_a_stream() {
    let Ends { cluster, tasks: _tasks, .. } = ends(Limits::default()).await;
    let mut adding = cluster.stream(AddUp).unwrap();
    for next in 1..=1000 {
        adding.send(number(next)).await.unwrap();
    }
    assert_eq!(adding.finish().await, Ok(Total { total: 500_500 }));
}

#[tokio::test(start_paused = true)]
async fn a_responder_that_refuses_midway_stops_the_sender() {
    let limits = Limits { stream_window_bytes: 1000, ..Limits::default() };
    let Ends { cluster, tasks: _tasks, .. } = ends(limits).await;
    let mut adding = cluster.stream(AddUp).unwrap();
    let mut next = 995;
    let stopped = loop {
        next += 1;
        if let Err(stopped) = adding.send(number(next)).await {
            break stopped;
        }
    };
    // It drops what it takes before it answers; either is told first.
    assert!(
        matches!(stopped, ItemRefused::Stopped(StreamStopped::Unwanted | StreamStopped::CallOver)),
        "{stopped:?}"
    );
    let refused = CallError::Declared(TooFar::TooFar("1001 is too far".to_owned()));
    assert_eq!(adding.finish().await, Err(refused));
}

#[tokio::test(start_paused = true)]
async fn items_flow_both_ways_at_once() {
    let Ends { cluster, tasks: _tasks, .. } = ends(Limits::default()).await;
    let mut doubling = cluster.stream(Double).unwrap();
    let mut sender = doubling.sender();
    let feeding = async move {
        for next in 0..50_000 {
            sender.send(number(next)).await.unwrap();
        }
    };
    let reading = async {
        let mut expected = 0;
        while let Some(Number { number, .. }) = doubling.next().await.unwrap() {
            assert_eq!(number, expected * 2);
            expected += 1;
        }
        assert_eq!(expected, 50_000);
    };
    tokio::join!(feeding, reading);
    assert_eq!(doubling.finish().await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_up_its_own_sender_and_no_call() {
    let limits = Limits { stream_window_bytes: 10_000, ..Limits::default() };
    let Ends { cluster, counter, tasks: _tasks } = ends(limits).await;
    let mut slow = cluster.stream(CountForEver).unwrap();
    // Time stands still until nothing else can be done.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ahead = counter.sent.load(Ordering::Relaxed);
    assert!((9..=11).contains(&ahead), "{ahead} items were sent ahead");
    for _ in 0..100 {
        assert_eq!(cluster.call(Knock).await, Ok(()));
    }
    assert_eq!(counter.sent.load(Ordering::Relaxed), ahead);
    for _ in 0..100 {
        slow.next().await.unwrap().unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = counter.sent.load(Ordering::Relaxed);
    assert!((100..=111).contains(&sent), "{sent} items were sent");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_call_stops_the_sender_at_the_peer() {
    let Ends { cluster, counter, tasks: _tasks } = ends(Limits::default()).await;
    let mut counting = cluster.stream(CountForEver).unwrap();
    counting.next().await.unwrap().unwrap();
    drop(counting);
    counter.stopped.notified().await;
    assert_eq!(cluster.call(Knock).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_time_is_over_is_stopped_at_the_peer_and_gives_its_place_back() {
    let limits = Limits { streams_max: 1, stream_window_bytes: 10_000, ..Limits::default() };
    let Ends { cluster, counter, tasks: _tasks } = ends(limits).await;
    for _ in 0..3 {
        // Nobody reads, so that the sender waits for credit that never comes.
        let context = CallContext::default().until(Instant::now() + Duration::from_secs(2));
        let mut counting = context.run(async { cluster.stream(CountForEver) }).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let late = loop {
            match counting.next().await {
                Ok(item) => assert!(item.is_some()),
                Err(late) => break late,
            }
        };
        assert!(matches!(late, CallError::TimedOut { maybe_done: true, .. }), "{late:?}");
        drop(counting);
        let stopped = tokio::time::timeout(Duration::from_secs(60), counter.stopped.notified());
        assert!(stopped.await.is_ok(), "it goes on for nobody");
    }
}

#[tokio::test(start_paused = true)]
async fn several_senders_of_one_stream_all_go_on_when_there_is_credit() {
    let limits = Limits { stream_window_bytes: 1000, ..Limits::default() };
    let Ends { cluster, tasks: _tasks, .. } = ends(limits).await;
    let mut adding = cluster.stream(AddUp).unwrap();
    let mut sending = JoinSet::new();
    for _ in 0..5 {
        let mut sender = adding.sender();
        sending.spawn(async move {
            for _ in 0..100 {
                sender.send(number(1)).await.unwrap();
            }
            // The first that is dropped would end the stream.
            sender
        });
    }
    for _ in 0..100 {
        adding.send(number(1)).await.unwrap();
    }
    let all = tokio::time::timeout(Duration::from_secs(60), sending.join_all()).await;
    assert_eq!(all.expect("a sender was forgotten").len(), 5);
    assert_eq!(adding.finish().await, Ok(Total { total: 600 }));
}

#[tokio::test(start_paused = true)]
async fn ending_a_stream_wakes_whoever_waits_to_send_on_it() {
    let limits = Limits { stream_window_bytes: 1000, ..Limits::default() };
    let Ends { cluster, tasks: _tasks, .. } = ends(limits).await;
    let mut doubling = cluster.stream(Double).unwrap();
    let mut sender = doubling.sender();
    let mut sending = JoinSet::new();
    sending.spawn(async move {
        loop {
            // Nobody reads the doubles, so there is an end to the credit.
            if let Err(refused) = sender.send(number(1)).await {
                return refused;
            }
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    doubling.end();
    let refused = tokio::time::timeout(Duration::from_secs(60), sending.join_next()).await;
    let refused = refused.expect("it waits for ever").unwrap().unwrap();
    assert_eq!(refused, ItemRefused::Stopped(StreamStopped::Ended));
}

#[tokio::test(start_paused = true)]
async fn streams_take_turns_with_calls_at_what_the_peer_works_on_at_once() {
    let limits = Limits { responders_running_max: 2, ..Limits::default() };
    let Ends { cluster, counter, tasks: _tasks } = ends(limits).await;
    let counting = cluster.stream(CountForEver).unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..3 {
        let cluster = cluster.clone();
        waiting.spawn(async move { cluster.call(Wait).await });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(cluster.stream(CountForEver), Err(CallError::Overloaded)));
    counter.door.add_permits(3);
    assert_eq!(waiting.join_all().await, [Ok(()), Ok(()), Ok(())]);
    let second = cluster.stream(CountForEver).unwrap();
    drop((counting, second));
    for _ in 0..2 {
        counter.stopped.notified().await;
    }
    let mut ended = cluster.stream(CountTo { last: 1, refused_at: None }).unwrap();
    assert_eq!(ended.next().await, Ok(Some(number(1))));
    assert_eq!(ended.next().await, Ok(None));
    // It has its outcome, and keeps nobody from anything.
    let _both = (cluster.stream(CountForEver).unwrap(), cluster.stream(CountForEver).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_ends_both_ends_of_a_stream() {
    let Ends { cluster, counter, tasks } = ends(Limits::default()).await;
    let mut counting = cluster.stream(CountForEver).unwrap();
    let mut adding = cluster.stream(AddUp).unwrap();
    counting.next().await.unwrap().unwrap();
    drop(tasks);
    counter.stopped.notified().await;
    let lost = loop {
        match counting.next().await {
            Ok(item) => assert!(item.is_some()),
            Err(lost) => break lost,
        }
    };
    assert!(matches!(lost, CallError::Lost { maybe_done: true, .. }), "{lost:?}");
    let stopped = adding.send(number(1)).await.unwrap_err();
    assert!(matches!(stopped, ItemRefused::Stopped(StreamStopped::Lost(_))), "{stopped:?}");
    assert!(matches!(cluster.stream(AddUp), Err(CallError::Lost { maybe_done: false, .. })));
}

#[tokio::test(start_paused = true)]
async fn streams_beyond_the_limit_are_refused_and_may_be_tried_again() {
    let limits = Limits { streams_max: 2, ..Limits::default() };
    let Ends { cluster, tasks: _tasks, .. } = ends(limits).await;
    let first = cluster.stream(CountForEver).unwrap();
    let _second = cluster.stream(CountForEver).unwrap();
    assert!(matches!(cluster.stream(CountForEver), Err(CallError::Overloaded)));
    drop(first);
    let mut third = cluster.stream(CountTo { last: 1, refused_at: None }).unwrap();
    assert_eq!(third.next().await, Ok(Some(number(1))));
}

#[tokio::test(start_paused = true)]
async fn a_command_with_a_stream_that_is_called_without_one_says_so() {
    let Ends { cluster, tasks: _tasks, .. } = ends(Limits::default()).await;
    let refused = cluster.call(AddUp).await.unwrap_err();
    let CallError::Undeclared { code, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(code, "STREAM_NEEDED");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_did_not_negotiate_gets_no_stream() {
    let (near, _far) = tokio::io::duplex(1024);
    let nobody = Arc::new(Responders::new());
    let (cluster, driving) = connect_trusted::<Cluster, _>(near, nobody, Limits::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(driving);
    assert!(matches!(cluster.stream(AddUp), Err(CallError::Unhandled { .. })));
}
