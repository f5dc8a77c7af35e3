//! R8: connections that begin and do not go on. Whoever begins them would have a machine of their
//! own, and has at least a processor: what is measured is what the region spends on them.

use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use mesh::Secret;
use uuid::Uuid;

use crate::processes::{Process, output};
use crate::processors::Processors;
use crate::row::{Figures, Form, Row, Run};
use crate::rows::minutes;

pub(crate) struct Slowloris;

const WITHIN: Duration = Duration::from_secs(30);
/// How often a good client is measured, without them and beside them, and for how long.
const ROUNDS: usize = 5;
const MEASURE_S: u64 = 6;

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
        let processors = Processors::shared_out()?;
        // What it says of them is much, and not what is looked for.
        let folder = tempfile::tempdir()?;
        let region = Process::of_ours(&["flood", "region", "--secret", &hex])?;
        let region = region.through(&processors.measured());
        let mut region = region.log(&folder.path().join("region.log")).start()?;
        let address = region.line("address", WITHIN).await?;
        let uuid = Uuid::new_v4().to_string();
        let arguments =
            ["flood", "cluster", "--secret", &hex, "--region", &address, "--uuid", &uuid];
        let good = Process::of_ours(&arguments)?.through(&processors.measured());
        let mut good = good.start()?;
        good.line("connected", WITHIN).await?;
        let of_each = Self::of_each(run.form).to_string();
        let arguments =
            ["flood", "slow", "--secret", &hex, "--region", &address, "--of-each", &of_each];
        let attacker = Process::of_ours(&arguments)?.through(&processors.others());
        let mut attacker = attacker.start()?;
        attacker.line("ready", WITHIN).await?;
        let (mut without, mut beside) = (Vec::new(), Vec::new());
        let (mut slowest, mut still_open, mut closed) = (Duration::ZERO, 0, 0);
        for _ in 0..ROUNDS {
            without.push(p99(&mut good).await?);
            attacker.tell("attack").await?;
            beside.push(p99(&mut good).await?);
            let attacked = attacker.line("attacked", WITHIN).await?;
            let [more_closed, more_open, slowest_ms] = numbers(&attacked)?;
            closed += more_closed;
            still_open += more_open;
            slowest = slowest.max(Duration::from_millis(slowest_ms));
        }
        let mut figures = Figures::default();
        figures
            .check(still_open == 0, format!("{closed} closed, {still_open} still open after 10 s"));
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

/// What was closed, what was still open, and the slowest in milliseconds.
fn numbers(attacked: &str) -> anyhow::Result<[u64; 3]> {
    let numbers = attacked.split(' ').map(str::parse);
    let numbers: Vec<u64> = numbers.collect::<Result<_, _>>()?;
    numbers.try_into().map_err(|_| anyhow::anyhow!("no figures in `{attacked}`"))
}

async fn p99(good: &mut Process) -> anyhow::Result<u64> {
    good.tell(&format!("measure {MEASURE_S}")).await?;
    let line = good.line("measured", WITHIN).await?;
    Ok(line.split(' ').nth(1).context("no figure")?.parse()?)
}
