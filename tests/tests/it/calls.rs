//! One call, and many: answers, errors, limits, time.

use std::pin::pin;
use std::time::Duration;

use amp_proto::{Arguments, CallError, Cluster, Command, EncodeError, Limits, Lost};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{FutureExt as _, StreamExt as _};
use mesh::{Client, gather, gather_with};
use mesh_harness::{Mesh, MeshBuilder, TestResult};
use tokio::time::Instant;

use crate::desk::{
    AskBack, Asker, Desk, Echo, Echoed, Fail, FailError, Grow, Hold, How, Ignored, Sum, Tell,
    TellInVain, Total, Wait, WhoAsks,
};

/// A mesh in which everybody answers everything.
fn desks() -> MeshBuilder {
    Mesh::builder().region_responders(|_| Desk::default()).cluster_responders(|_| Desk::default())
}

/// One region process, one cluster, and the client from the one to the other.
async fn pair() -> TestResult<(Mesh, Client<Cluster>)> {
    pair_of(desks()).await
}

async fn pair_of(builder: MeshBuilder) -> TestResult<(Mesh, Client<Cluster>)> {
    let mesh = builder.start().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    Ok((mesh, client))
}

/// The same connection still answers.
async fn assert_lives(client: &Client<Cluster>) {
    assert_eq!(client.call(Sum { a: 30, b: 12 }).await, Ok(Total { total: 42 }));
}

#[tokio::test(start_paused = true)]
async fn both_sides_ask_and_both_answer() -> TestResult {
    let mesh = desks().start().await?;
    let (region, cluster) = (mesh.region(0), mesh.cluster(0));
    let asked_by_region = region.get_client_for(cluster.uuid()).await?.call(WhoAsks).await?;
    let role = Some("region".to_owned());
    assert_eq!(asked_by_region, Asker { ident: Some(region.id().to_string()), role });
    let asked_by_cluster = cluster.get_client().await?.call(WhoAsks).await?;
    let role = Some("cluster".to_owned());
    assert_eq!(asked_by_cluster, Asker { ident: Some(cluster.uuid().to_string()), role });
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn everybody_can_be_asked_at_once() -> TestResult {
    let mesh = desks().clusters(7).start().await?;
    let answers = gather(mesh.region(0).get_all_clients(), Sum { a: 1, b: 2 });
    let mut who: Vec<String> = answers
        .map(|(client, answer)| {
            assert_eq!(answer, Ok(Total { total: 3 }));
            client.name()
        })
        .collect()
        .await;
    who.sort();
    assert_eq!(who, (0..7).map(|index| format!("cluster-{index}")).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn no_more_are_asked_at_once_than_was_said_and_impatience_loses_no_answer() -> TestResult {
    let mesh = desks().clusters(5).start().await?;
    let begun = Instant::now();
    let clients = mesh.region(0).get_all_clients();
    let mut answers = gather_with(2, clients, Wait { ms: 1000 });
    let mut arrived = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_millis(300), answers.next()).await {
            Ok(Some((client, answer))) => {
                assert_eq!(answer, Ok(()));
                arrived.push(client.ident());
            }
            Ok(None) => break,
            Err(_) => {}
        }
    }
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived.len(), 5);
    // Two, two, one.
    assert_eq!(begun.elapsed().as_secs(), 3);
    Ok(())
}

#[tokio::test]
async fn calls_cross_real_sockets_as_well() -> TestResult {
    let mesh = desks().regions(2).clusters(2).over_tcp().start().await?;
    for region in mesh.regions() {
        for cluster in mesh.clusters() {
            let client = region.get_client_for(cluster.uuid()).await?;
            let bytes = Bytes::from(vec![7; 65_535]);
            let echoed = client.call(Echo { bytes: bytes.clone(), note: None }).await?;
            assert_eq!(echoed, Echoed { bytes, note: None });
            assert_eq!(client.call(AskBack { a: 1, b: 1 }).await?, Total { total: 2 });
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_declared_error_arrives_as_itself_and_the_connection_lives() -> TestResult {
    let (_mesh, client) = pair().await?;
    let failed = client.call(Fail { how: How::Declared }).await;
    assert_eq!(failed, Err(CallError::Declared(FailError::NoSuchThing("a snark".to_owned()))));
    assert_lives(&client).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_fatal_error_arrives_as_itself_and_ends_the_connection() -> TestResult {
    let (mesh, client) = pair().await?;
    let failed = client.call(Fail { how: How::Fatal }).await;
    assert_eq!(failed, Err(CallError::Declared(FailError::TheEnd)));
    assert_eq!(client.closed().await, Lost::ClosedByPeer);
    mesh.settled().await?;
    assert_lives(&mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_not_declared_stays_where_it_happened() -> TestResult {
    let logs = mesh_harness::Logs::capture();
    let (_mesh, client) = pair().await?;
    let Err(CallError::Undeclared { code, description }) =
        client.call(Fail { how: How::Undeclared }).await
    else {
        panic!("it fails in a way that is not declared");
    };
    assert_eq!(code, "UNKNOWN");
    assert!(!description.contains("cupboard"), "{description}");
    // The caller's words lead to the line in the log of the other side.
    let reference = description.split(['[', ']']).nth(1).unwrap();
    assert!(reference.contains("cmd=Fail"), "{reference}");
    let lines = logs.lines_with(reference);
    assert!(lines.iter().any(|line| line.contains("the cupboard is bare")), "{lines:?}");
    assert_lives(&client).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_third_party_is_passed_on() -> TestResult {
    let (_mesh, client) = pair().await?;
    let failed = client.call(Fail { how: How::PassedOn }).await;
    let (code, description) = ("FROM_AFAR".to_owned(), "somebody else failed".to_owned());
    assert_eq!(failed, Err(CallError::Undeclared { code, description }));
    assert_lives(&client).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_responder_that_panics_hurts_nobody_else() -> TestResult {
    let (_mesh, client) = pair().await?;
    let waiting = client.call(Wait { ms: 1000 });
    let panicking = async {
        for how in [How::Panic, How::PanicLater] {
            let failed = client.call(Fail { how }).await;
            assert!(matches!(failed, Err(CallError::Undeclared { .. })), "{failed:?}");
        }
    };
    let (waited, ()) = tokio::join!(waiting, panicking);
    assert_eq!(waited, Ok(()));
    assert_lives(&client).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_optional_argument_is_there_or_empty_or_absent() -> TestResult {
    let (_mesh, client) = pair().await?;
    for note in [None, Some(String::new()), Some("snow \u{2603}".to_owned())] {
        let echoed = client.call(Echo { bytes: Bytes::new(), note: note.clone() }).await?;
        assert_eq!(echoed, Echoed { bytes: Bytes::new(), note });
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_value_of_any_length_within_the_limit_passes() -> TestResult {
    let (_mesh, client) = pair().await?;
    for length in [0, 1, 255, 256, 65_534, 65_535, 65_536, 200_000, 16_000_000] {
        let bytes = Bytes::from(vec![b'x'; length]);
        let echoed = client.call(Echo { bytes: bytes.clone(), note: None }).await?;
        assert_eq!(echoed.bytes, bytes);
    }
    let bytes = Bytes::from(vec![b'x'; 17_000_000]);
    let refused = client.call(Echo { bytes, note: None }).await;
    let too_large = matches!(refused, Err(CallError::Encode(EncodeError::BoxTooLarge { .. })));
    assert!(too_large, "17 MB were not refused");
    assert_lives(&client).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_box_over_the_limit_is_refused_before_it_is_sent() -> TestResult {
    let limits = Limits { box_bytes_max: 2000, large_bytes_max: 2000, ..Limits::default() };
    let (_mesh, client) = pair_of(desks().limits(limits)).await?;
    let refused = client.call(Echo { bytes: vec![0; 3000].into(), note: None }).await;
    let Err(CallError::Encode(EncodeError::BoxTooLarge { bytes, max: 2000 })) = refused else {
        panic!("{refused:?}");
    };
    assert!(bytes > 3000);
    assert_lives(&client).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_fits_no_box_fails_its_caller_and_nobody_else() -> TestResult {
    let box_bytes_max = 50_000;
    let limits = Limits { large_bytes_max: 100_000, box_bytes_max, ..Limits::default() };
    let (_mesh, client) = pair_of(desks().limits(limits)).await?;
    let (grown, summed, waited) = tokio::join!(
        client.call(Grow { bytes: 100_000 }),
        client.call(Sum { a: 1, b: 1 }),
        client.call(Wait { ms: 100 }),
    );
    assert!(
        matches!(&grown, Err(CallError::Undeclared { code, .. }) if code == "UNKNOWN"),
        "{grown:?}"
    );
    assert_eq!((summed, waited), (Ok(Total { total: 2 }), Ok(())));
    assert_eq!(client.call(Grow { bytes: 99_000 }).await?.bytes.len(), 99_000);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn answers_overtake_each_other() -> TestResult {
    let (_mesh, client) = pair().await?;
    let started = Instant::now();
    let calls = [500, 100, 300, 0, 200].map(|ms| {
        let client = &client;
        async move {
            client.call(Wait { ms }).await.unwrap();
            assert_eq!(started.elapsed().as_millis(), u128::from(ms));
            ms
        }
    });
    let calls: futures_util::stream::FuturesUnordered<_> = calls.into_iter().collect();
    assert_eq!(calls.collect::<Vec<_>>().await, [0, 100, 200, 300, 500]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_calls_get_each_its_own_answer() -> TestResult {
    let (_mesh, client) = pair().await?;
    let calls = (0..10_000_i64).map(|a| {
        let client = &client;
        async move { client.call(Sum { a, b: a }).await == Ok(Total { total: a * 2 }) }
    });
    assert!(join_all(calls).await.into_iter().all(|right| right));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_is_forgotten_here_and_stopped_there() -> TestResult {
    let desk = Desk::default();
    let there = desk.clone();
    let limits = Limits { asks_in_flight_max: 2, ..Limits::default() };
    let builder = Mesh::builder().cluster_responders(move |_| there.clone()).limits(limits);
    let (_mesh, client) = pair_of(builder).await?;
    for round in 1..=5 {
        let mut call = Box::pin(client.call(Hold));
        tokio::select! {
            biased;
            outcome = &mut call => panic!("nobody released it: {outcome:?}"),
            () = desk.held(round) => {}
        }
        drop(call);
        // Its place is free again, on both sides.
        assert_lives(&client).await;
    }
    desk.release();
    assert_lives(&client).await;
    assert_eq!(desk.released(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_time_limit_and_a_late_answer_does_no_harm() -> TestResult {
    let (_mesh, client) = pair().await?;
    let hasty = client.clone().within(Duration::from_millis(1500));
    let started = Instant::now();
    let after = Duration::from_millis(1500);
    let late = hasty.call(Wait { ms: 2000 }).await;
    assert_eq!(late, Err(CallError::TimedOut { after, maybe_done: true }));
    assert_eq!(started.elapsed(), after);
    assert_eq!(client.call(Wait { ms: 1000 }).await, Ok(()));
    assert_lives(&client).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_limit_of_its_own_has_thirty_seconds() -> TestResult {
    let (_mesh, client) = pair().await?;
    assert_eq!(client.call(Wait { ms: 29_990 }).await, Ok(()));
    let started = Instant::now();
    let late = client.call(Wait { ms: 31_000 }).await;
    assert!(matches!(late, Err(CallError::TimedOut { maybe_done: true, .. })), "{late:?}");
    assert_eq!(started.elapsed(), Limits::default().call_timeout);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_long_call_lives_on_signs_of_life() -> TestResult {
    let (mesh, client) = pair().await?;
    let patient = client.within(Duration::from_secs(7200));
    assert_eq!(patient.call(Wait { ms: 3_600_000 }).await, Ok(()));
    assert_eq!(mesh.transcript().lines.iter().filter(|line| line.text == "connected").count(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_link_whose_places_are_all_taken_on_both_sides_is_alive_all_the_same() -> TestResult {
    let limits = Limits { asks_in_flight_max: 1, ..Limits::default() };
    let (mesh, client) = pair_of(desks().limits(limits)).await?;
    let patient = client.within(Duration::from_secs(120));
    let patient_back = mesh.cluster(0).get_client().await?.within(Duration::from_secs(120));
    let (there, back) =
        tokio::join!(patient.call(Wait { ms: 60_000 }), patient_back.call(Wait { ms: 60_000 }));
    assert_eq!((there, back), (Ok(()), Ok(())));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_life_takes_no_callers_place() -> TestResult {
    let limits = Limits { asks_in_flight_max: 2, ..Limits::default() };
    let (mesh, client) = pair_of(desks().limits(limits)).await?;
    let patient = client.within(Duration::from_secs(120));
    let waiting = patient.call(Wait { ms: 60_000 });
    let calling = async {
        // The link is frozen when it pings, so that the ping stays in flight for a while.
        mesh.link(0, 0).freeze();
        tokio::time::sleep(Duration::from_secs(6)).await;
        let call = patient.call(Sum { a: 1, b: 1 });
        let healing = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            mesh.link(0, 0).heal();
        };
        tokio::join!(call, healing).0
    };
    let (waited, summed) = tokio::join!(waiting, calling);
    assert_eq!((waited, summed), (Ok(()), Ok(Total { total: 2 })));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_command_without_answer_is_carried_out_without_a_word() -> TestResult {
    let desk = Desk::default();
    let there = desk.clone();
    let (mesh, client) =
        pair_of(Mesh::builder().cluster_responders(move |_| there.clone())).await?;
    for index in 0..3 {
        client.notify(Tell { note: format!("note {index}") }).await?;
    }
    assert_eq!(desk.notes(3).await, ["note 0", "note 1", "note 2"]);
    assert_lives(&client).await;
    let said = mesh.transcript().lines.into_iter().filter(|line| line.text.contains("Tell"));
    assert_eq!(said.count(), 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_command_without_answer_that_fails_is_logged_and_the_connection_lives() -> TestResult {
    let logs = mesh_harness::Logs::capture();
    let (_mesh, client) = pair().await?;
    client.notify(TellInVain).await?;
    assert_lives(&client).await;
    assert_eq!(logs.lines_with("NO_SUCH_THING").len(), 1, "{}", logs.text());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_command_that_nobody_answers_is_said_to_be_unhandled() -> TestResult {
    let (_mesh, client) = pair().await?;
    let unhandled = client.call(Ignored).await;
    let Err(CallError::Unhandled { description }) = unhandled else { panic!("{unhandled:?}") };
    assert!(description.contains("Ignored"), "{description}");
    assert_lives(&client).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn further_calls_wait_for_their_turn() -> TestResult {
    let limits = Limits { asks_in_flight_max: 2, ..Limits::default() };
    let (_mesh, client) = pair_of(desks().limits(limits)).await?;
    let started = Instant::now();
    let calls = join_all((0..5).map(|_| client.call(Wait { ms: 1000 }))).await;
    assert!(calls.into_iter().all(|outcome| outcome.is_ok()));
    assert_eq!(started.elapsed(), Duration::from_secs(3));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_had_its_turn_was_certainly_not_carried_out() -> TestResult {
    let limits = Limits { asks_in_flight_max: 1, ..Limits::default() };
    let (_mesh, client) = pair_of(desks().limits(limits)).await?;
    let after = Duration::from_secs(2);
    let hasty = client.clone().within(after);
    let (waited, late) =
        tokio::join!(client.call(Wait { ms: 5000 }), hasty.call(Sum { a: 1, b: 1 }));
    assert_eq!(waited, Ok(()));
    assert_eq!(late, Err(CallError::TimedOut { after, maybe_done: false }));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn no_more_is_asked_at_once_than_the_peer_works_on() -> TestResult {
    let desk = Desk::default();
    let there = desk.clone();
    let limits = Limits { responders_running_max: 3, ..Limits::default() };
    let builder = Mesh::builder().cluster_responders(move |_| there.clone()).limits(limits);
    let (_mesh, client) = pair_of(builder).await?;
    let mut held = pin!(join_all((0..3).map(|_| client.call(Hold))));
    assert!(held.as_mut().now_or_never().is_none());
    desk.held(3).await;
    let after = Duration::from_secs(1);
    let late = client.clone().within(after).call(Hold).await;
    assert_eq!(late, Err(CallError::TimedOut { after, maybe_done: false }));
    desk.release();
    assert!(held.await.into_iter().all(|outcome| outcome.is_ok()));
    assert_lives(&client).await;
    Ok(())
}

/// `Sum`, as a peer of another version declares it.
mod misread {
    use super::{Arguments, Command};

    #[derive(Debug, Command)]
    #[command(name = "Sum", answered_by = Cluster, response = Median)]
    pub(super) struct Mean {
        pub(super) a: i64,
        pub(super) b: i64,
    }

    #[derive(Debug, PartialEq, Arguments)]
    pub(super) struct Median {
        pub(super) median: i64,
    }

    #[derive(Debug, Command)]
    #[command(name = "Sum", answered_by = Cluster)]
    pub(super) struct SumOfWords {
        pub(super) a: String,
    }
}

#[tokio::test(start_paused = true)]
async fn two_versions_of_a_command_fail_the_call_and_not_the_connection() -> TestResult {
    let (_mesh, client) = pair().await?;
    let misread = client.call(misread::Mean { a: 1, b: 2 }).await;
    assert!(
        matches!(misread, Err(CallError::Decode(ref error)) if error.key == "median"),
        "{misread:?}"
    );

    let misfit = client.call(misread::SumOfWords { a: "one".to_owned() }).await;
    let Err(CallError::Undeclared { code, description }) = misfit else { panic!("{misfit:?}") };
    assert_eq!(code, "UNKNOWN");
    assert!(description.contains("`a`"), "{description}");
    assert_lives(&client).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_responder_asks_the_asker_back_through_the_same_connection() -> TestResult {
    let (mesh, client) = pair().await?;
    assert_eq!(client.call(AskBack { a: 20, b: 22 }).await?, Total { total: 42 });
    let region = mesh.cluster(0).get_client().await?;
    assert_eq!(region.call(AskBack { a: 20, b: 23 }).await?, Total { total: 43 });
    Ok(())
}
