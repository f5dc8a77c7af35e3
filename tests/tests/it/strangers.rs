//! Who does not belong is turned away: soon, with a clear word in the log, and harming nobody.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{AmpBox, Limits};
use cluster::ClusterController;
use futures_util::StreamExt as _;
use mesh::{Listen, MemoryTransport, Secret, Transport as _};
use mesh_harness::{Logs, Mesh, TestResult};
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::net::TcpSocket;
use tokio::time::Instant;

use crate::desk::{Desk, Sum, Total};
use crate::raw::{RawPeer, box_of, proof_of};

const HANDSHAKE: Duration = Duration::from_millis(400);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(1500);

/// A mesh on real sockets with one good cluster, and what it logs.
struct Fortress {
    mesh: Mesh,
    logs: Logs,
    desk: Desk,
    built: Instant,
}

impl Fortress {
    async fn build() -> TestResult<Self> {
        let logs = Logs::capture();
        let desk = Desk::default();
        let there = desk.clone();
        let mesh = Mesh::builder()
            .region_responders(move |_| there.clone())
            .cluster_responders(|_| Desk::default())
            .limits(Limits { handshake_timeout: HANDSHAKE, ..Limits::default() })
            .over_tcp()
            .start()
            .await?;
        Ok(Self { mesh, logs, desk, built: Instant::now() })
    }

    async fn stranger(&self) -> TestResult<RawPeer> {
        RawPeer::stranger(&self.mesh, 0).await
    }

    /// A stranger from one of many addresses of this machine, each with ports of its own: ten
    /// thousand from a single one would use up what the operating system has.
    async fn stranger_from(&self, number: u64) -> TestResult<RawPeer> {
        let host = u8::try_from(2 + number % 250)?;
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
        let region = self.mesh.region(0).address().parse()?;
        Ok(RawPeer::new(Box::new(socket.connect(region).await?)))
    }

    /// What the log says of the connections that were refused, in the order of refusal.
    fn refusals(&self) -> Vec<String> {
        self.logs.lines_with("a connection was refused")
    }

    /// Waits until the log has told of so many refusals: of the first ones each, of the others
    /// together.
    async fn assert_refused_in_all(&self, count: usize) {
        let told = || {
            let together = self.logs.lines_with("more connections were refused");
            let together = together.iter().filter_map(|line| line.split_once("left_out="));
            let together: usize = together.map(|(_, it)| it.trim().parse::<usize>().unwrap()).sum();
            self.refusals().len() + together
        };
        let all = async {
            while told() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(4), all).await;
        assert!(in_time.is_ok() && told() == count, "{} of {count}", told());
        // Ten lines in a second, and one for the rest.
        let most = 11 * (self.built.elapsed().as_secs() + 2);
        assert!(self.refusals().len() <= usize::try_from(most).unwrap(), "they flood the log");
    }

    /// The stranger's connection ends, in time, with one line that contains `why`.
    async fn assert_refused(&self, stranger: &mut RawPeer, why: &str) -> Vec<AmpBox> {
        let before = self.refusals().len();
        let started = Instant::now();
        let replies = self.while_healthy(stranger.replies_until_closed()).await;
        assert!(started.elapsed() < HANDSHAKE + SLACK, "{:?}", started.elapsed());
        let refusals = self.refusals();
        let new = refusals.get(before..).unwrap();
        assert!(new.len() == 1 && new[0].contains(why), "expected `{why}` in {new:?}");
        self.assert_nothing_leaked(&[]);
        replies
    }

    /// Does something while the good cluster and the region call each other without end.
    async fn while_healthy<T>(&self, something: impl Future<Output = T>) -> T {
        let healthy = async {
            let client = self.mesh.region(0).get_client_for(Mesh::uuid_of(0)).await.unwrap();
            let back = self.mesh.cluster(0).get_client().await.unwrap();
            loop {
                for client in
                    [client.call(Sum { a: 1, b: 1 }).await, back.call(Sum { a: 1, b: 1 }).await]
                {
                    assert_eq!(client, Ok(Total { total: 2 }));
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            done = something => done,
            () = healthy => unreachable!(),
        }
    }

    /// Neither the secret nor a proof of it stands in the log, in any way that bytes are written.
    fn assert_nothing_leaked(&self, proofs: &[Vec<u8>]) {
        let text = self.logs.text();
        let secret = self.mesh.secret().to_hex();
        assert!(!text.contains(&secret) && !text.contains(&secret.to_uppercase()));
        for proof in proofs {
            let hex: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();
            let escaped = proof.escape_ascii().to_string();
            let debug = format!("{proof:?}");
            let debug = debug.trim_matches(['[', ']']);
            for form in [hex.as_str(), &escaped, debug] {
                assert!(!text.contains(form), "{form} stands in the log");
            }
        }
    }
}

#[tokio::test]
async fn a_stranger_with_another_secret_is_told_to_nobody_but_the_log() -> TestResult {
    let fortress = Fortress::build().await?;
    let mut stranger = fortress.stranger().await?;
    let ask = stranger.next().await.unwrap();
    stranger.send(&proof_of(&ask, &Secret::generate())).await?;
    let own = box_of([("_ask", b"1"), ("_command", b"Authenticate"), ("message", &[7; 16])]);
    stranger.send(&own).await?;
    // It gets its answer, and finds out by itself that the secrets differ.
    let replies = fortress.assert_refused(&mut stranger, "does not know the shared secret").await;
    assert_eq!(replies.len(), 1);
    fortress.assert_nothing_leaked(&[replies[0].get("digest").unwrap().to_vec()]);
    Ok(())
}

#[tokio::test]
async fn a_wrong_proof_is_a_wrong_proof_also_from_somebody_who_asks_for_none() -> TestResult {
    let fortress = Fortress::build().await?;
    for proof in [
        box_of([("_answer", b"1"), ("digest", &[0; 32]), ("salt", &[0; 16])]),
        box_of([("_answer", b"1"), ("digest", b""), ("salt", b"")]),
        box_of([("_answer", b"1"), ("digest", &[0; 32])]),
        box_of([("_answer", b"1")]),
    ] {
        let mut stranger = fortress.stranger().await?;
        stranger.send(&proof).await?;
        let why = "does not know the shared secret";
        assert!(fortress.assert_refused(&mut stranger, why).await.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn who_refuses_to_prove_itself_is_refused() -> TestResult {
    let fortress = Fortress::build().await?;
    let mut stranger = fortress.stranger().await?;
    let fields =
        [("_error", &b"1"[..]), ("_error_code", b"NO"), ("_error_description", b"why me?")];
    stranger.send(&box_of(fields)).await?;
    fortress.assert_refused(&mut stranger, "refuses to authenticate: NO: why me?").await;
    Ok(())
}

#[tokio::test]
async fn what_is_not_amp_is_named_in_the_log() -> TestResult {
    let fortress = Fortress::build().await?;
    let client_hello = [&[0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1, 3, 3][..], &[0x42; 160]].concat();
    let cases: [(&[u8], &str); 7] = [
        (b"GET /rpc/ HTTP/1.1\r\nHost: region\r\n\r\n", "looks like an HTTP request"),
        (b"POST / HTTP/1.1\r\n\r\n", "looks like an HTTP request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "looks like an HTTP request"),
        (&client_hello, "looks like a TLS ClientHello"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "looks like an SSH client"),
        (b"\xff\xfe\xfd\xfc", "a key length of 65534"),
        (b"\x01\x00", "a key length of 256"),
    ];
    for (bytes, why) in cases {
        let mut stranger = fortress.stranger().await?;
        stranger.send(bytes).await?;
        let started = Instant::now();
        fortress.assert_refused(&mut stranger, why).await;
        assert!(started.elapsed() < HANDSHAKE, "there is nothing to wait for");
    }
    Ok(())
}

#[tokio::test]
async fn what_breaks_amp_before_the_proof_is_refused_at_once() -> TestResult {
    let fortress = Fortress::build().await?;
    let cases: [(&[u8], &str); 5] = [
        (b"\0\0", "an empty box"),
        (b"\0\x01k\0\x01v\0\0", "neither asks nor answers"),
        (b"\0\x07_answer\0\x019\0\0", "an answer to `\\\"9\\\"`"),
        (b"\0\x06_error\0\x019\0\0", "an answer to `\\\"9\\\"`"),
        (b"\0\x07_answer\0\0\0\0", "an answer to"),
    ];
    for (bytes, why) in cases {
        let mut stranger = fortress.stranger().await?;
        stranger.send(bytes).await?;
        let why = why.replace("\\\"", "\"");
        fortress.assert_refused(&mut stranger, &why).await;
    }
    Ok(())
}

#[tokio::test]
async fn who_is_slow_to_say_anything_is_refused_when_the_time_is_over() -> TestResult {
    let fortress = Fortress::build().await?;
    let why = "the handshake was not over after 400 ms";
    for start in [&b""[..], b"\0", b"\0\x04_ask", b"\0\x04_ask\0\x011\0\x08_command\0\x04Ping"] {
        let mut stranger = fortress.stranger().await?;
        stranger.send(start).await?;
        let started = Instant::now();
        fortress.assert_refused(&mut stranger, why).await;
        assert!(started.elapsed() > HANDSHAKE / 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_stranger_who_goes_away_is_noted_as_gone() -> TestResult {
    let fortress = Fortress::build().await?;
    let mut stranger = fortress.stranger().await?;
    stranger.shut_down().await?;
    fortress.assert_refused(&mut stranger, "the peer closed the connection").await;
    Ok(())
}

fn tell(note: &str) -> Vec<u8> {
    box_of([("_command", b"Tell"), ("note", note.as_bytes())])
}

#[tokio::test]
async fn nothing_that_a_stranger_asks_is_done() -> TestResult {
    let fortress = Fortress::build().await?;
    let mut stranger = fortress.stranger().await?;
    for _ in 0..4 {
        stranger.send(&tell("a stranger was here")).await?;
    }
    let why = "the handshake was not over";
    assert!(fortress.assert_refused(&mut stranger, why).await.is_empty());

    let mut eager = fortress.stranger().await?;
    for _ in 0..5 {
        eager.send(&tell("an eager stranger was here")).await?;
    }
    let why = "more than 4 asks before the handshake was over";
    assert!(fortress.assert_refused(&mut eager, why).await.is_empty());

    let mut loud = fortress.stranger().await?;
    for _ in 0..9 {
        let kilobyte = [b'x'; 1024 - 28];
        loud.send(&box_of([("_command", b"Tell"), ("note", &kilobyte)])).await.ok();
    }
    // Whichever of the two limits it hits first.
    assert!(fortress.assert_refused(&mut loud, "before the handshake was over").await.is_empty());

    let mut wide = fortress.stranger().await?;
    let value = [b'x'; 60_000];
    wide.send(&box_of([("_command", b"Tell"), ("note", &value)])).await.ok();
    let why = "more than 8192 bytes before the handshake was over";
    assert!(fortress.assert_refused(&mut wide, why).await.is_empty());

    assert!(fortress.desk.notes(0).await.is_empty());
    Ok(())
}

#[tokio::test]
async fn early_asks_are_answered_once_the_proof_is_there() -> TestResult {
    let fortress = Fortress::build().await?;
    let mut peer = fortress.stranger().await?;
    for index in 0..4 {
        peer.send(&tell(&format!("early {index}"))).await?;
    }
    peer.prove(fortress.mesh.secret()).await?;
    assert_eq!(fortress.desk.notes(4).await, ["early 0", "early 1", "early 2", "early 3"]);
    Ok(())
}

#[tokio::test]
async fn asks_in_the_same_breath_as_the_proof_are_no_strangers_asks() -> TestResult {
    let fortress = Fortress::build().await?;
    let mut peer = fortress.stranger().await?;
    let ask = peer.next().await.unwrap();
    let mut breath = proof_of(&ask, fortress.mesh.secret());
    for index in 0..20 {
        breath.extend(tell(&format!("note {index}")));
    }
    peer.send(&breath).await?;
    assert_eq!(fortress.desk.notes(20).await.len(), 20);
    Ok(())
}

#[tokio::test]
async fn a_region_does_not_answer_the_challenges_of_regions() -> TestResult {
    let fortress = Fortress::build().await?;
    // Its own challenge, handed back on the same connection, and on another one.
    let mut first = fortress.stranger().await?;
    let mut second = fortress.stranger().await?;
    let challenge = first.next().await.unwrap().get("message").unwrap().clone();
    let ask = box_of([("_ask", b"1"), ("_command", b"Authenticate"), ("message", &challenge)]);
    let why = "a challenge of our own side";
    first.send(&ask).await?;
    assert!(fortress.assert_refused(&mut first, why).await.is_empty());
    second.send(&ask).await?;
    assert!(fortress.assert_refused(&mut second, why).await.is_empty());

    // Somebody who belongs cannot have it answered either.
    let mut insider = fortress.stranger().await?;
    insider.prove(fortress.mesh.secret()).await?;
    assert!(insider.next().await.is_some(), "it is in");
    insider.send(&ask).await?;
    let refused = insider.next_reply().await.unwrap();
    assert_eq!(refused.get("_error_code").unwrap(), "UNKNOWN");
    Ok(())
}

#[tokio::test]
async fn a_proof_is_good_for_one_connection() -> TestResult {
    let fortress = Fortress::build().await?;
    let mut peer = fortress.stranger().await?;
    let ask = peer.next().await.unwrap();
    let proof = proof_of(&ask, fortress.mesh.secret());
    peer.send(&proof).await?;
    assert!(peer.next().await.is_some(), "it is in");
    for _ in 0..100 {
        let mut replayer = fortress.stranger().await?;
        replayer.send(&proof).await?;
        replayer.shut_down().await?;
        while let Some(asked) = replayer.next().await {
            assert_eq!(asked.get("_command").unwrap(), "Authenticate", "nobody asks who it is");
        }
    }
    fortress.assert_refused_in_all(100).await;
    let refusals = fortress.refusals();
    assert!(refusals.iter().all(|line| line.contains("does not know the shared secret")));
    let digest = proof.windows(34).find(|window| window.starts_with(b"\0\x20")).unwrap();
    fortress.assert_nothing_leaked(&[digest[2..].to_vec()]);
    Ok(())
}

#[tokio::test]
async fn a_peer_that_does_not_say_who_it_is_is_no_cluster() -> TestResult {
    let fortress = Fortress::build().await?;
    let mut nameless = fortress.stranger().await?;
    nameless.prove(fortress.mesh.secret()).await?;
    let started = Instant::now();
    fortress.while_healthy(nameless.replies_until_closed()).await;
    assert!(started.elapsed() < HANDSHAKE + SLACK);
    assert_eq!(fortress.logs.lines_with("did not say who it is in time").len(), 1);

    let mut odd = RawPeer::admitted(&fortress.mesh, "rack-controller-7").await?;
    assert!(odd.replies_until_ping().await?.is_empty());
    assert_eq!(fortress.logs.lines_with("it has to register").len(), 1);
    assert_eq!(fortress.mesh.region(0).get_all_clients().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_connection_has_one_identity() -> TestResult {
    let fortress = Fortress::build().await?;
    let (own, other) = (Mesh::uuid_of(7), Mesh::uuid_of(0));
    let mut peer = RawPeer::admitted(&fortress.mesh, &own.to_string()).await?;
    assert!(peer.replies_until_ping().await?.is_empty());
    let other = other.to_string();
    let register = [
        ("_ask", &b"r"[..]),
        ("_command", b"RegisterCluster"),
        ("name", b"impostor"),
        ("uuid", other.as_bytes()),
        ("version", b"1"),
    ];
    peer.send(&box_of(register)).await?;
    let refused = peer.next_reply().await.unwrap();
    assert_eq!(refused.get("_error_code").unwrap(), "NOT_ADMITTED");
    let words = format!("the peer was admitted as {own} before");
    assert_eq!(refused.get("_error_description").unwrap(), words.as_bytes());
    let lines = fortress.logs.lines_with("a cluster was not admitted");
    assert!(lines.len() == 1 && lines[0].contains("WARN") && lines[0].contains(&words));
    let client = fortress.mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    assert_eq!(client.name(), "cluster-0");
    assert!(fortress.logs.lines_with("ERROR").is_empty());
    Ok(())
}

#[tokio::test]
async fn a_cluster_that_registers_without_a_uuid_is_told_so() -> TestResult {
    let fortress = Fortress::build().await?;
    let mut peer = RawPeer::admitted(&fortress.mesh, "rack-controller-7").await?;
    let register = [
        ("_ask", &b"r"[..]),
        ("_command", b"RegisterCluster"),
        ("name", b"rack"),
        ("uuid", b"no uuid"),
        ("version", b"1"),
    ];
    peer.send(&box_of(register)).await?;
    let refused = peer.next_reply().await.unwrap();
    let words = String::from_utf8_lossy(refused.get("_error_description").unwrap()).into_owned();
    assert!(words.contains("argument `uuid`: expected a uuid, found \"no uuid\""), "{words}");
    assert_eq!(fortress.logs.lines_with("the peer asked with a bad argument").len(), 1);
    assert!(fortress.logs.lines_with("ERROR").is_empty());
    Ok(())
}

#[tokio::test]
async fn whoever_is_inside_cannot_fill_the_log_with_its_own_mistakes() -> TestResult {
    let fortress = Fortress::build().await?;
    let mut peer = RawPeer::admitted(&fortress.mesh, &Mesh::uuid_of(7).to_string()).await?;
    let asks = [
        box_of([("_ask", b"1"), ("_command", b"RegisterCluster")]),
        box_of([("_ask", b"2"), ("_command", b"Ping"), ("_once", b"soon")]),
        box_of([("_command", b"RegisterCluster")]),
    ];
    for _ in 0..100 {
        peer.send(&asks.concat()).await?;
        for _ in 0..2 {
            let refused = peer.next_reply().await.unwrap();
            assert_eq!(refused.get("_error_code").unwrap(), "UNKNOWN");
        }
    }
    let lines = fortress.logs.lines_with("the peer asked with a bad argument");
    // The first ten of 300, and those with which their number doubled: 16, 32, 64, 128, 256.
    assert_eq!(lines.len(), 15, "{lines:#?}");
    assert!(fortress.logs.lines_with("ERROR").is_empty());
    Ok(())
}

#[tokio::test]
async fn two_hundred_silent_strangers_disturb_nobody() -> TestResult {
    let fortress = Fortress::build().await?;
    let mut strangers = Vec::new();
    for _ in 0..200 {
        strangers.push(fortress.stranger().await?);
    }
    let all_closed =
        futures_util::future::join_all(strangers.iter_mut().map(RawPeer::replies_until_closed));
    let started = Instant::now();
    fortress.while_healthy(all_closed).await;
    assert!(started.elapsed() < HANDSHAKE + SLACK, "{:?}", started.elapsed());
    fortress.assert_refused_in_all(200).await;
    Ok(())
}

/// Bytes of the kind that a careless or malicious peer sends: noise, or a handshake gone wrong.
fn nonsense(dice: &mut StdRng) -> Vec<u8> {
    let mut bytes = match dice.random_range(0..3) {
        0 => {
            let mut noise = vec![0; dice.random_range(1..300)];
            dice.fill_bytes(&mut noise);
            return noise;
        }
        1 => box_of([("_ask", b"1"), ("_command", b"Authenticate"), ("message", &[7; 16])]),
        _ => box_of([("_answer", b"1"), ("digest", &[1; 32]), ("salt", &[2; 16])]),
    };
    for _ in 0..dice.random_range(1..6) {
        let at = dice.random_range(0..bytes.len());
        match dice.random_range(0..4) {
            0 => bytes[at] = dice.random(),
            1 => bytes.insert(at, dice.random()),
            2 => bytes.truncate(at + 1),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

#[tokio::test]
async fn ten_thousand_streams_of_nonsense_let_nobody_in() -> TestResult {
    const STREAMS: u64 = 10_000;
    let fortress = Fortress::build().await?;
    let streams = futures_util::stream::iter(0..STREAMS).for_each_concurrent(64, |seed| {
        let fortress = &fortress;
        async move {
            let mut dice = StdRng::seed_from_u64(seed);
            let mut stranger = fortress.stranger_from(seed).await.unwrap();
            // It may be thrown out before it has said everything.
            stranger.send(&nonsense(&mut dice)).await.ok();
            stranger.shut_down().await.ok();
            for reply in stranger.replies_until_closed().await {
                let is_proof = reply.get("digest").is_some();
                assert!(is_proof || reply.get("_error").is_some(), "seed {seed}: {reply:?}");
            }
        }
    });
    fortress.while_healthy(streams).await;
    fortress.assert_refused_in_all(usize::try_from(STREAMS)?).await;
    assert!(fortress.logs.lines_with("panicked").is_empty());
    assert_eq!(fortress.mesh.region(0).get_all_clients().len(), 1);
    Ok(())
}

/// A cluster that dials something which is no region of its mesh. Gives when it dialled, in a
/// minute, and what it logged.
async fn dial_for_a_minute<F>(welcome: impl Fn(RawPeer) -> F) -> TestResult<(Vec<Duration>, Logs)>
where
    F: Future<Output = ()>,
{
    let logs = Logs::capture();
    let network = MemoryTransport::new();
    let mut listener = network.listen(&Listen::loopback()).await?;
    let cluster = ClusterController::builder()
        .transport(Arc::new(network))
        .region(listener.address())
        .secret(Secret::from_bytes(*b"the cluster's own secret")?)
        .start()
        .await?;
    let started = Instant::now();
    let mut dialled = Vec::new();
    let welcoming = async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            dialled.push(started.elapsed());
            welcome(RawPeer::new(stream)).await;
        }
    };
    let _over = tokio::time::timeout(Duration::from_secs(60), welcoming).await;
    assert!(cluster.get_all_clients().is_empty());
    cluster.abort().await;
    Ok((dialled, logs))
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_refused_does_not_try_again_soon() -> TestResult {
    let (dialled, logs) = dial_for_a_minute(|mut region| async move {
        let ask = region.next().await.unwrap();
        region.send(&proof_of(&ask, &Secret::generate())).await.unwrap();
        let challenge = [("_ask", &b"1"[..]), ("_command", b"Authenticate"), ("message", &[9; 16])];
        region.send(&box_of(challenge)).await.unwrap();
        region.replies_until_closed().await;
    })
    .await?;
    assert!((2..=12).contains(&dialled.len()), "{dialled:?}");
    assert!(dialled.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(5)));
    let lines = logs.lines_with("a region refused us");
    assert_eq!(lines.len(), 1, "said once");
    assert_eq!(logs.lines_with("again_in_ms").len(), dialled.len());
    assert!(lines[0].contains("does not know the shared secret") && lines[0].contains("ERROR"));
    assert!(!logs.text().contains("the cluster's own secret"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_reaches_something_else_backs_off_and_says_what_it_was() -> TestResult {
    let (dialled, logs) = dial_for_a_minute(|mut web| async move {
        web.send(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        web.replies_until_closed().await;
    })
    .await?;
    // Full jitter up to four seconds: about thirty in a minute.
    assert!((15..=70).contains(&dialled.len()), "{}", dialled.len());
    assert_eq!(logs.lines_with("a key length of").len(), dialled.len(), "{}", logs.text());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_waits_for_a_silent_region_no_longer_than_the_handshake_time() -> TestResult {
    let (dialled, logs) = dial_for_a_minute(|mut region| async move {
        region.replies_until_closed().await;
    })
    .await?;
    assert!((7..=12).contains(&dialled.len()), "{dialled:?}");
    let gaps: BTreeSet<_> = dialled.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (5.0..=9.1).contains(&gap.as_secs_f64())), "{gaps:?}");
    assert!(logs.lines_with("the handshake was not over after 5000 ms").len() >= 6);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_cluster_does_not_answer_the_challenges_of_clusters() -> TestResult {
    let (dialled, logs) = dial_for_a_minute(|mut region| async move {
        // Hands the cluster's own challenge back to it.
        let ask = region.next().await.unwrap();
        let challenge = ask.get("message").unwrap();
        let fields = [("_ask", &b"1"[..]), ("_command", b"Authenticate"), ("message", challenge)];
        region.send(&box_of(fields)).await.unwrap();
        assert!(region.replies_until_closed().await.is_empty());
    })
    .await?;
    assert_eq!(logs.lines_with("a challenge of our own side").len(), dialled.len());
    Ok(())
}
