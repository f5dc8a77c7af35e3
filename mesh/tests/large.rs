//! Asks and answers that are larger than a box.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use amp_proto::{
    Arguments, CallError, Cluster, Command, EncodeError, Large, Limits, Lost, Never, Region,
    Responders, Role as _, responders,
};
use bytes::Bytes;
use mesh::commands::Ident;
use mesh::{Client, Common, Features, connect_trusted};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Send an image back as it came.
#[derive(Debug, Command)]
#[command(answered_by = Cluster, response = Image)]
struct Mirror {
    image: Bytes,
}

#[derive(Debug, PartialEq, Arguments)]
struct Image {
    image: Bytes,
}

/// The same for a peer that may know nothing of pieces.
#[derive(Debug, Command)]
#[command(answered_by = Cluster, response = LargeImage)]
struct MirrorLarge {
    image: Large<Bytes>,
}

#[derive(Debug, PartialEq, Arguments)]
struct LargeImage {
    image: Large<Bytes>,
}

/// Send an image back as it came, and nothing more.
#[derive(Debug, Command)]
#[command(answered_by = Cluster, response = Image, afterwards = Close)]
struct MirrorLast {
    image: Bytes,
}

#[derive(Debug, Command)]
#[command(answered_by = Cluster)]
struct Knock;

#[derive(Default)]
struct Mirrors {
    has_mirrored: AtomicBool,
    knocks: AtomicU32,
    mirrored: Notify,
}

#[responders]
impl Mirrors {
    #[responder]
    async fn mirror(&self, it: Mirror) -> Result<Image, Never> {
        self.has_mirrored.store(true, Ordering::Relaxed);
        self.mirrored.notify_one();
        Ok(Image { image: it.image })
    }

    #[responder]
    async fn mirror_last(&self, it: MirrorLast) -> Result<Image, Never> {
        Ok(Image { image: it.image })
    }

    #[responder]
    async fn mirror_large(&self, it: MirrorLarge) -> Result<LargeImage, Never> {
        Ok(LargeImage { image: it.image })
    }

    #[responder]
    async fn knock(&self, _: Knock) -> Result<(), Never> {
        self.knocks.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

struct Ends {
    cluster: Client<Cluster>,
    region: Client<Region>,
    mirrors: Arc<Mirrors>,
    _tasks: JoinSet<Lost>,
}

fn ends(ours: Limits, theirs: Limits) -> Ends {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let responders = |role, name: &str| {
        let ident = Ident { ident: name.to_owned(), name: None, version: None };
        let mut responders = Responders::new();
        responders.add(Arc::new(Common::new(role, ident, None))).unwrap();
        responders
    };
    let mirrors = Arc::new(Mirrors::default());
    let mut answering = responders(Cluster::NAME, "a-cluster");
    answering.add(Arc::clone(&mirrors)).unwrap();
    let nobody = Arc::new(responders(Region::NAME, "a-region"));
    let (cluster, driving) = connect_trusted::<Cluster, _>(near, nobody, ours);
    let (region, answering) = connect_trusted::<Region, _>(far, Arc::new(answering), theirs);
    let mut tasks = JoinSet::new();
    tasks.spawn(driving);
    tasks.spawn(answering);
    Ends { cluster, region, mirrors, _tasks: tasks }
}

async fn negotiated(ours: Limits, theirs: Limits) -> Ends {
    let ends = ends(ours, theirs);
    let (here, there) = tokio::join!(ends.cluster.negotiate(), ends.region.negotiate());
    here.and(there).unwrap();
    ends
}

fn image(bytes: u32) -> Bytes {
    (0..bytes).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn ten_mebibytes_go_there_and_back_while_small_calls_go_on() {
    let ends = negotiated(Limits::default(), Limits::default()).await;
    let image = image(10 * 1024 * 1024);
    let knocks = Arc::new(AtomicU32::new(0));
    let mut others = JoinSet::new();
    let (cluster, counter) = (ends.cluster.clone(), Arc::clone(&knocks));
    others.spawn(async move {
        loop {
            cluster.call(Knock).await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let mirrored = ends.cluster.call(Mirror { image: image.clone() }).await.unwrap();
    assert_eq!(mirrored.image, image);
    let knocks = knocks.load(Ordering::Relaxed);
    // 640 pieces went by.
    assert!(knocks > 100, "only {knocks} small calls came between");
}

#[tokio::test(start_paused = true)]
async fn several_large_calls_at_once_all_come_back_right() {
    let ends = negotiated(Limits::default(), Limits::default()).await;
    let mut calls = JoinSet::new();
    for bytes in [32 * 1024, 70_000, 1_000_000, 2_000_000, 3_000_000, 65_536] {
        let (cluster, image) = (ends.cluster.clone(), image(bytes));
        calls.spawn(async move {
            let mirrored = cluster.call(Mirror { image: image.clone() }).await;
            assert_eq!(mirrored, Ok(Image { image }));
        });
    }
    assert_eq!(calls.join_all().await.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_either_side_takes_is_refused_before_it_is_sent() {
    let box_bytes_max = 100_000;
    let small = Limits { large_bytes_max: 1_000_000, box_bytes_max, ..Limits::default() };
    for (ours, theirs) in [(small.clone(), Limits::default()), (Limits::default(), small)] {
        let ends = negotiated(ours, theirs).await;
        let refused = ends.cluster.call(Mirror { image: image(1_000_000) }).await.unwrap_err();
        let CallError::Encode(EncodeError::BoxTooLarge { bytes, max }) = refused else {
            panic!("{refused:?}")
        };
        assert!(bytes > 1_000_000 && max == 1_000_000);
        let fits = image(990_000);
        let mirrored = ends.cluster.call(Mirror { image: fits.clone() }).await;
        assert_eq!(mirrored, Ok(Image { image: fits }));
    }
}

#[tokio::test(start_paused = true)]
async fn what_fits_a_box_is_sent_however_little_may_go_in_pieces() {
    let little = Limits { large_bytes_max: 1, ..Limits::default() };
    for (ours, theirs) in [(little.clone(), Limits::default()), (Limits::default(), little)] {
        let ends = negotiated(ours, theirs).await;
        assert!(!ends.cluster.link().agreement().unwrap().features.contains(Features::LARGE));
        let image = image(60_000);
        let mirrored = ends.cluster.call(Mirror { image: image.clone() }).await;
        assert_eq!(mirrored, Ok(Image { image }));
    }
}

#[tokio::test(start_paused = true)]
async fn at_every_length_about_the_limit_a_call_ends_alone() {
    let box_bytes_max = 50_000;
    let small = Limits { large_bytes_max: 100_000, box_bytes_max, ..Limits::default() };
    let ends = negotiated(small.clone(), small).await;
    for bytes in 99_700..=100_000 {
        match ends.cluster.call(Mirror { image: image(bytes) }).await {
            Ok(_) | Err(CallError::Encode(EncodeError::BoxTooLarge { .. })) => {}
            // The answer's names are longer than the ask's.
            Err(CallError::Undeclared { code, .. }) if code == "UNKNOWN" => {}
            Err(other) => panic!("{bytes}: {other:?}"),
        }
        assert_eq!(ends.cluster.call(Knock).await, Ok(()), "after {bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_call_that_is_dropped_on_the_way_is_never_carried_out() {
    let ends = negotiated(Limits::default(), Limits::default()).await;
    let large = ends.cluster.call(Mirror { image: image(8 * 1024 * 1024) });
    tokio::select! {
        biased;
        mirrored = large => panic!("{mirrored:?}"),
        knocked = ends.cluster.call(Knock) => knocked.unwrap(),
    }
    // Whatever was on its way has come by now, and the connection is in order.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!ends.mirrors.has_mirrored.load(Ordering::Relaxed));
    for bytes in [1_000_000, 5_000_000] {
        let image = image(bytes);
        let mirrored = ends.cluster.call(Mirror { image: image.clone() }).await;
        assert_eq!(mirrored, Ok(Image { image }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_after_which_the_connection_is_closed_arrives_before() {
    let ends = negotiated(Limits::default(), Limits::default()).await;
    let image = image(1_000_000);
    let mirrored = ends.cluster.call(MirrorLast { image: image.clone() }).await;
    assert_eq!(mirrored, Ok(Image { image }));
    assert_eq!(ends.cluster.closed().await, Lost::ClosedByPeer);
    assert_eq!(ends.region.closed().await, Lost::ClosedHere);
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_goes_out_before_the_end_and_nothing_new_is_begun() {
    let ends = negotiated(Limits::default(), Limits::default()).await;
    let image = image(1_000_000);
    let knocking = async {
        ends.mirrors.mirrored.notified().await;
        ends.region.link().close(Lost::ClosedHere);
        // What is asked from now on is read, for the credit that stands behind it, and not done.
        ends.cluster.call(Knock).await
    };
    let mirroring = ends.cluster.call(Mirror { image: image.clone() });
    let (mirrored, knocked) = tokio::join!(mirroring, knocking);
    assert_eq!(mirrored, Ok(Image { image }));
    assert!(matches!(knocked, Err(CallError::Lost { maybe_done: true, .. })), "{knocked:?}");
    assert_eq!(ends.mirrors.knocks.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn without_an_agreement_only_what_is_declared_large_may_be() {
    let ends = ends(Limits::default(), Limits::default());
    let image = image(300_000);
    let refused = ends.cluster.call(Mirror { image: image.clone() }).await.unwrap_err();
    let too_long = EncodeError::ValueTooLong { key: "image".to_owned(), bytes: 300_000 };
    assert_eq!(refused, CallError::Encode(too_long));
    let mirrored = ends.cluster.call(MirrorLarge { image: Large(image.clone()) }).await;
    assert_eq!(mirrored, Ok(LargeImage { image: Large(image) }));
}

#[tokio::test(start_paused = true)]
async fn a_large_call_waits_no_longer_than_its_time() {
    // Their window lets a little through, and nobody reads on: the far driver never runs.
    let (near, _far) = tokio::io::duplex(1024);
    let nobody = Arc::new(Responders::new());
    let (cluster, driving) = connect_trusted::<Cluster, _>(near, nobody, Limits::default());
    let mut tasks = JoinSet::new();
    tasks.spawn(driving);
    let cluster = cluster.within(Duration::from_secs(2));
    let late = cluster.call(MirrorLarge { image: Large(image(300_000)) }).await.unwrap_err();
    assert!(matches!(late, CallError::TimedOut { maybe_done: true, .. }), "{late:?}");
}
