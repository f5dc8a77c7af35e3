//! R8: connections that begin and do not go on.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use mesh::Secret;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use crate::floods::raw::{RawPeer, box_of};
use crate::processes::{Process, output};
use crate::row::{Figures, Form, Row, Run};
use crate::rows::minutes;

pub(crate) struct Slowloris;

const WITHIN: Duration = Duration::from_secs(30);
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// How often a good client is measured, without them and beside them, and for how long.
const ROUNDS: usize = 5;
const MEASURE_S: u64 = 6;
/// Within this time the connections begin, one after the other: what many in one instant cost is
/// the cost of accepting them, and not of what they do not do.
const BEGUN_WITHIN: Duration = Duration::from_secs(3);

/// How far a connection gets.
#[derive(Clone, Copy, Debug)]
enum Until {
    Nothing,
    HalfABox,
    HalfAClientHello,
    OneByteASecond,
    HalfAHandshake,
}

const ALL: [Until; 5] = [
    Until::Nothing,
    Until::HalfABox,
    Until::HalfAClientHello,
    Until::OneByteASecond,
    Until::HalfAHandshake,
];

impl Slowloris {
    const fn of_each(form: Form) -> usize {
        match form {
            Form::Short => 50,
            Form::Long => 1000,
        }
    }
}

#[async_trait]
impl Row for Slowloris {
    fn number(&self) -> &'static str {
        "R8"
    }

    fn property(&self) -> &'static str {
        "connections that do not go on are closed"
    }

    fn target(&self, form: Form) -> &'static str {
        match form {
            Form::Short => "50 of each of 5 kinds: all closed ≤ 10 s, a good client's p99 ≤ 2 ×",
            Form::Long => "1,000 of each of 5 kinds: all closed ≤ 10 s, a good client's p99 ≤ 2 ×",
        }
    }

    fn time_limit(&self, _: Form) -> Duration {
        minutes(6)
    }

    async fn run(&self, run: Run) -> anyhow::Result<Figures> {
        output("ip", &["link", "set", "lo", "up"]).await?;
        let secret = Secret::generate();
        let hex = secret.to_hex();
        // What it says of them is much, and not what is looked for.
        let folder = tempfile::tempdir()?;
        let region = Process::of_ours(&["flood", "region", "--secret", &hex])?;
        let mut region = region.log(&folder.path().join("region.log")).start()?;
        let address = region.line("address", WITHIN).await?;
        let uuid = Uuid::new_v4().to_string();
        let arguments =
            ["flood", "cluster", "--secret", &hex, "--region", &address, "--uuid", &uuid];
        let mut good = Process::of_ours(&arguments)?.start()?;
        good.line("connected", WITHIN).await?;
        let of_each = Self::of_each(run.form);
        let (mut without, mut beside) = (Vec::new(), Vec::new());
        let (mut slowest, mut still_open, mut closed) = (Duration::ZERO, 0, 0);
        for _ in 0..ROUNDS {
            without.push(p99(&mut good).await?);
            let mut attack = JoinSet::new();
            let all = u32::try_from(of_each * ALL.len())?;
            for (number, until) in (0..all).zip(ALL.into_iter().cycle()) {
                let begins = Instant::now() + BEGUN_WITHIN * number / all;
                let beginning = begin(address.parse()?, secret.clone(), until);
                attack.spawn(async move {
                    sleep_until(begins).await;
                    beginning.await
                });
            }
            beside.push(p99(&mut good).await?);
            while let Some(ended) = attack.join_next().await {
                match ended?? {
                    Some(after) => {
                        closed += 1;
                        slowest = slowest.max(after);
                    }
                    None => still_open += 1,
                }
            }
        }
        let mut figures = Figures::default();
        figures.check(
            still_open == 0,
            format!("{closed} closed, {still_open} still open after {} s", CLOSED_WITHIN.as_secs()),
        );
        figures.say(format!("the last after {:.1} s", slowest.as_secs_f64()));
        let [without, beside] = [without, beside].map(median);
        figures.check(
            beside <= 2 * without,
            format!("p99 {without} µs without them, {beside} µs beside them"),
        );
        Ok(figures)
    }
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

async fn p99(good: &mut Process) -> anyhow::Result<u64> {
    good.tell(&format!("measure {MEASURE_S}")).await?;
    let line = good.line("measured", WITHIN).await?;
    Ok(line.split(' ').nth(1).context("no figure")?.parse()?)
}

/// Begins, and gives how long it took the region to close the connection, if it did in time.
async fn begin(
    address: SocketAddr,
    secret: Secret,
    until: Until,
) -> anyhow::Result<Option<Duration>> {
    let mut peer = RawPeer::connect(address).await?;
    let begun = Instant::now();
    let over = async {
        // Of more than may prove themselves at once the last are turned away on the spot.
        if go_on(&mut peer, &secret, until).await.is_ok() {
            peer.closed().await;
        }
    };
    let over = timeout(CLOSED_WITHIN, over).await;
    Ok(over.is_ok().then(|| begun.elapsed()))
}

/// Goes as far as that.
///
/// # Errors
/// The region has closed the connection.
async fn go_on(peer: &mut RawPeer, secret: &Secret, until: Until) -> anyhow::Result<()> {
    let ask = box_of(&[("_ask", b"1"), ("_command", b"Authenticate"), ("message", &[7; 500])]);
    let half = |bytes: &[u8]| bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec();
    match until {
        Until::Nothing => {}
        Until::HalfABox => peer.stream.write_all(&half(&ask)).await?,
        Until::HalfAClientHello => {
            // The header of a record of 512 bytes, the header of a ClientHello, and some of it.
            let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
            hello.extend([9; 200]);
            peer.stream.write_all(&hello).await?;
        }
        Until::OneByteASecond => {
            for byte in ask {
                peer.stream.write_all(&[byte]).await?;
                let closed = timeout(Duration::from_secs(1), peer.closed()).await;
                if closed.is_ok() {
                    break;
                }
            }
        }
        Until::HalfAHandshake => {
            let proof = peer.proof(secret).await?;
            peer.stream.write_all(&half(&proof)).await?;
        }
    }
    Ok(())
}
