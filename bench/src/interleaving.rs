//! How long small calls take on a connection that carries something large as well.
//!
//! One region process and one cluster process, over loopback TCP. A small call is made again and
//! again, one after the other: first alone, then while a value of 64 MiB goes there and back, and
//! while a stream of a million items comes. Prints how long the small calls took, and the ratio to
//! those made alone.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use amp_proto::{Arguments, Cluster, Failure, ItemSender, Limits, Never, responders};
use anyhow::ensure;
use bytes::Bytes;
use cluster::ClusterController;
use mesh::{Client, ClusterId, Listen, Secret};
use region::RegionController;
use tokio::process::Command;

#[derive(Debug, amp_proto::Command)]
#[command(answered_by = Cluster, response = Sum)]
struct Add {
    a: i64,
    b: i64,
}

#[derive(Debug, Arguments)]
struct Sum {
    sum: i64,
}

#[derive(Debug, amp_proto::Command)]
#[command(answered_by = Cluster, response = Mirrored)]
struct Mirror {
    value: Bytes,
}

#[derive(Debug, Arguments)]
struct Mirrored {
    value: Bytes,
}

#[derive(Debug, amp_proto::Command)]
#[command(answered_by = Cluster, answers = stream Number)]
struct Count {
    to: u64,
}

#[derive(Debug, Arguments)]
struct Number {
    number: u64,
}

struct Desk;

#[responders]
impl Desk {
    #[responder]
    async fn add(&self, it: Add) -> Result<Sum, Never> {
        Ok(Sum { sum: it.a + it.b })
    }

    #[responder]
    async fn mirror(&self, it: Mirror) -> Result<Mirrored, Never> {
        Ok(Mirrored { value: it.value })
    }

    #[responder]
    async fn count(&self, it: Count, mut out: ItemSender<Number>) -> Result<(), Failure<Never>> {
        for number in 0..it.to {
            out.send(Number { number }).await.map_err(Failure::undeclared)?;
        }
        Ok(())
    }
}

const VALUE_BYTES: usize = 64 * 1024 * 1024;
const ITEMS: u64 = 1_000_000;
const IDLE_CALLS: usize = 50_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    // Not on the main thread, which the operating system would have take turns with the others.
    match (words.next(), words.next(), words.next()) {
        (Some(region), Some(secret), Some(uuid)) => {
            tokio::spawn(answer(region, Secret::from_hex(&secret)?, uuid.parse()?)).await?
        }
        _ => tokio::spawn(measure()).await?,
    }
}

fn limits() -> Limits {
    Limits { large_bytes_max: VALUE_BYTES + 64 * 1024, ..Limits::default() }
}

/// The cluster's process, until its standard input ends. Its secret is a flag, which everybody can
/// read: it is good for this run only.
async fn answer(region: String, secret: Secret, uuid: ClusterId) -> anyhow::Result<()> {
    let cluster = ClusterController::builder().uuid(uuid).region(region).secret(secret);
    let cluster = cluster.limits(limits()).responders(Desk).start().await?;
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
    cluster.shutdown().await;
    Ok(())
}

async fn measure() -> anyhow::Result<()> {
    let (secret, uuid) = (Secret::generate(), ClusterId::random());
    let region = RegionController::builder().listen(Listen::loopback()).secret(secret.clone());
    let region = region.limits(limits()).start().await?;
    let mut cluster = Command::new(std::env::current_exe()?)
        .args([region.address(), &secret.to_hex(), &uuid.to_string()])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let client = region.get_client_for(uuid).await?;
    small_calls(&client, |made| made < IDLE_CALLS / 5).await?;

    println!("| small calls | made | p50 | p99 | p99 to alone | the other took |");
    println!("|---|---:|---:|---:|---:|---:|");
    let alone = small_calls(&client, |made| made < IDLE_CALLS).await?;
    let p99_alone = alone.percentile(99);
    alone.print("alone", p99_alone, None);

    let value = Bytes::from(vec![7; VALUE_BYTES]);
    let mirroring = client.clone();
    let (beside, took) = beside(&client, async move {
        let mirrored = mirroring.call(Mirror { value: value.clone() }).await?;
        ensure!(mirrored.value == value, "another value came back");
        Ok(())
    })
    .await?;
    beside.print("beside a value of 64 MiB, there and back", p99_alone, Some(took));

    let counting = client.clone();
    let (beside, took) = self::beside(&client, async move {
        let mut numbers = counting.stream(Count { to: ITEMS })?;
        let mut expected = 0;
        while let Some(Number { number }) = numbers.next().await? {
            ensure!(number == expected, "{number} came instead of {expected}");
            expected += 1;
        }
        ensure!(expected == ITEMS, "only {expected} items came");
        Ok(())
    })
    .await?;
    beside.print("beside a stream of 1,000,000 items", p99_alone, Some(took));

    drop(cluster.stdin.take());
    cluster.wait().await?;
    region.shutdown().await;
    Ok(())
}

/// Small calls for as long as `other` takes.
async fn beside(
    client: &Client<Cluster>,
    other: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> anyhow::Result<(Times, Duration)> {
    let is_over = Arc::new(AtomicBool::new(false));
    let (over, started) = (Arc::clone(&is_over), Instant::now());
    let other = tokio::spawn(async move {
        let outcome = other.await;
        over.store(true, Ordering::Relaxed);
        (outcome, started.elapsed())
    });
    let times = small_calls(client, |_| !is_over.load(Ordering::Relaxed)).await?;
    let (outcome, took) = other.await?;
    outcome?;
    Ok((times, took))
}

async fn small_calls(
    client: &Client<Cluster>,
    mut go_on: impl FnMut(usize) -> bool,
) -> anyhow::Result<Times> {
    let mut times = Vec::new();
    while go_on(times.len()) {
        let started = Instant::now();
        let Sum { sum } = client.call(Add { a: 20, b: 22 }).await?;
        times.push(started.elapsed());
        ensure!(sum == 42);
    }
    times.sort_unstable();
    Ok(Times(times))
}

/// How long calls took, sorted.
struct Times(Vec<Duration>);

impl Times {
    fn percentile(&self, percent: usize) -> Duration {
        let at = (self.0.len() * percent / 100).min(self.0.len().saturating_sub(1));
        self.0.get(at).copied().unwrap_or_default()
    }

    fn print(&self, name: &str, p99_alone: Duration, took: Option<Duration>) {
        let (p50, p99) = (self.percentile(50), self.percentile(99));
        let ratio = p99.as_secs_f64() / p99_alone.as_secs_f64();
        let took = took.map_or_else(String::new, |took| format!("{:.2} s", took.as_secs_f64()));
        println!(
            "| {name} | {} | {} µs | {} µs | {ratio:.2} | {took} |",
            self.0.len(),
            p50.as_micros(),
            p99.as_micros(),
        );
    }
}
