//! `ampmesh ping`.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use amp_proto::RoleName;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;

use super::reach;
use crate::cli::PingArgs;
use crate::exit::Exit;
use crate::operator::{Operator, Problem, Target};
use crate::target::{Extent, extent};
use crate::terminal::Terminal;
use crate::text::{harmless, milliseconds, round_trip};

/// Pings one or all.
///
/// # Errors
/// [`OperatorError`](crate::operator::OperatorError), [`TargetError`](crate::target::TargetError),
/// or those of stdout. Pings that fail are counted, not errors.
///
/// # Cancellation
/// Nothing is left behind.
pub(crate) async fn run(
    args: &PingArgs,
    data_dir: &Path,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Exit> {
    let (mut operator, targets) = reach(data_dir, &args.target, args.timeout.0).await?;
    let mut series: Vec<Series> = targets.into_iter().map(Series::new).collect();
    for turn in 0..args.count {
        if turn > 0 {
            tokio::time::sleep(args.interval.0).await;
        }
        // The region process may have been started again. As long as it is not there, pings through
        // the old connection say so.
        if !operator.is_open()
            && let Some(again) = reach_again(data_dir, args, &series).await
        {
            operator = again;
        }
        ping_each(&operator, args, &mut series, terminal).await?;
    }
    if !args.json {
        series.iter().try_for_each(|own| own.write(terminal.out))?;
    }
    let exit = series.iter().filter_map(|own| own.failure).max().unwrap_or(Exit::Ok);
    if args.json {
        match (extent(&args.target), series.first()) {
            (Extent::One, Some(own)) => terminal.json(own)?,
            _ => terminal.json(&series)?,
        }
    }
    Ok(exit)
}

/// Another connection, to the region process of that name if one is pinged: the registry may have
/// its former self still.
async fn reach_again(data_dir: &Path, args: &PingArgs, series: &[Series]) -> Option<Operator> {
    let wait = args.timeout.0;
    match series {
        [Series { target, .. }] if target.role == RoleName::Region => {
            Operator::connect_to(data_dir, &target.name, wait).await.ok()
        }
        _ => reach(data_dir, &args.target, wait).await.ok().map(|(operator, _)| operator),
    }
}

/// Pings all of them at the same time, once, and shows each answer as it comes.
async fn ping_each(
    operator: &Operator,
    args: &PingArgs,
    series: &mut [Series],
    terminal: &mut Terminal<'_>,
) -> io::Result<()> {
    let wait = args.timeout.0;
    let mut pinging: FuturesUnordered<_> = series
        .iter_mut()
        .map(|own| async move {
            let outcome = operator.ping(&own.target, wait).await;
            (own, outcome)
        })
        .collect();
    while let Some((own, outcome)) = pinging.next().await {
        if !args.json {
            let name = harmless(&own.target.name);
            match &outcome {
                Ok(time) => writeln!(terminal.out, "{name}: {}", round_trip(*time))?,
                Err(problem) => {
                    writeln!(terminal.err, "{name}: {}", harmless(&problem.description))?;
                }
            }
        }
        own.count(outcome);
    }
    Ok(())
}

/// The pings of one target, in the shape of `--json`.
#[derive(Serialize)]
struct Series {
    target: Target,
    sent: u32,
    received: usize,
    round_trips_ms: Vec<f64>,
    min_ms: Option<f64>,
    avg_ms: Option<f64>,
    max_ms: Option<f64>,
    #[serde(skip)]
    round_trips: Vec<Duration>,
    #[serde(skip)]
    failure: Option<Exit>,
}

impl Series {
    fn new(target: Target) -> Self {
        Self {
            target,
            sent: 0,
            received: 0,
            round_trips_ms: Vec::new(),
            min_ms: None,
            avg_ms: None,
            max_ms: None,
            round_trips: Vec::new(),
            failure: None,
        }
    }

    fn count(&mut self, outcome: Result<Duration, Problem>) {
        self.sent += 1;
        match outcome {
            Ok(time) => {
                self.round_trips.push(time);
                self.round_trips_ms.push(milliseconds(time));
                self.received = self.round_trips.len();
                self.min_ms = self.round_trips.iter().min().copied().map(milliseconds);
                self.max_ms = self.round_trips.iter().max().copied().map(milliseconds);
                self.avg_ms = average(&self.round_trips).map(milliseconds);
            }
            Err(problem) => {
                self.failure = self.failure.max(Some(Exit::of_problem(problem.kind)));
            }
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { target, sent, received, .. } = self;
        write!(out, "{}: {received} of {sent} answered", harmless(&target.name))?;
        let (least, most) = (self.round_trips.iter().min(), self.round_trips.iter().max());
        if let (Some(least), Some(most), Some(mean)) = (least, most, average(&self.round_trips)) {
            let [least, mean, most] = [*least, mean, *most].map(round_trip);
            write!(out, "; min {least}, avg {mean}, max {most}")?;
        }
        writeln!(out)
    }
}

fn average(times: &[Duration]) -> Option<Duration> {
    let count = u32::try_from(times.len()).ok().filter(|count| *count > 0)?;
    Some(times.iter().sum::<Duration>() / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::ProblemKind;

    #[test]
    fn a_series_sums_up_what_was_answered_and_remembers_what_was_not() {
        let target = Target { role: RoleName::Cluster, name: "rack-7".into(), id: "5f".into() };
        let mut series = Series::new(target);
        series.count(Ok(Duration::from_millis(10)));
        series.count(Err(Problem::before_sending(ProblemKind::TimedOut, "no answer")));
        series.count(Ok(Duration::from_millis(20)));
        let mut out = Vec::new();
        series.write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "rack-7: 2 of 3 answered; min 10 ms, avg 15 ms, max 20 ms\n"
        );
        assert_eq!(series.failure, Some(Exit::NoAnswer));
        let json = serde_json::to_value(&series).unwrap();
        assert_eq!(json["target"]["kind"], "cluster");
        assert_eq!(json["avg_ms"], 15.0);
    }
}
