//! Counts what is done within a span of time by any number of tasks, and how long it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::figures::Figures;
use crate::usage::cpu_of;

/// How much of the time is spent before it counts, for caches and buffers to become what they are
/// under way.
const WARM_UP: f64 = 0.25;
/// Of how many calls one is timed, where many are in flight. All are where one is.
const TIMED_OF: u32 = 16;
/// So many times are kept by each task.
const TIMES_MAX: usize = 1 << 20;

const WARMING_UP: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// What tells all tasks where the measurement stands.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    phase: Arc<AtomicU8>,
    seconds: f64,
}

/// What one task counted.
#[derive(Debug)]
pub(crate) struct Counted {
    meter: Meter,
    done: u64,
    every: u32,
    until_timed: u32,
    times: Vec<Duration>,
}

impl Meter {
    pub(crate) fn new(seconds: f64) -> Self {
        Self { phase: Arc::new(AtomicU8::new(WARMING_UP)), seconds }
    }

    /// For one task; `alone` if nothing else is in flight.
    pub(crate) fn counter(&self, alone: bool) -> Counted {
        let every = if alone { 1 } else { TIMED_OF };
        Counted { meter: self.clone(), done: 0, every, until_timed: 0, times: Vec::new() }
    }

    /// Lets the tasks run for as long as is measured. They end when they see that it is over.
    ///
    /// # Errors
    /// What a task came to grief with.
    pub(crate) async fn measure(
        self,
        mut tasks: JoinSet<Result<Counted>>,
        server: &[u32],
    ) -> Result<Figures> {
        let own = [std::process::id()];
        let sleep = |seconds| tokio::time::sleep(Duration::from_secs_f64(seconds));
        tokio::select! {
            () = sleep(self.seconds * WARM_UP) => {}
            Some(ended) = tasks.join_next() => { ended??; anyhow::bail!("a task ended early") }
        }
        let cpu_before = (cpu_of(&own)?, cpu_of(server)?);
        self.phase.store(COUNTING, Ordering::Relaxed);
        let started = Instant::now();
        tokio::select! {
            () = sleep(self.seconds) => {}
            Some(ended) = tasks.join_next() => { ended??; anyhow::bail!("a task ended early") }
        }
        self.phase.store(OVER, Ordering::Relaxed);
        let elapsed = started.elapsed();
        let cpu_after = (cpu_of(&own)?, cpu_of(server)?);

        let (mut done, mut times) = (0, Vec::new());
        while let Some(ended) = tasks.join_next().await {
            let counted = ended??;
            done += counted.done;
            times.extend(counted.times);
        }
        anyhow::ensure!(done > 0, "nothing was done within {elapsed:?}");
        times.sort_unstable();
        let each = |cpu: Duration| Some(cpu.as_secs_f64() * 1e6 / count(done));
        Ok(Figures {
            rate: Some(count(done) / elapsed.as_secs_f64()),
            p50_us: percentile(&times, 0.5),
            p99_us: percentile(&times, 0.99),
            p999_us: percentile(&times, 0.999),
            client_cpu_us: each(cpu_after.0 - cpu_before.0),
            server_cpu_us: each(cpu_after.1 - cpu_before.1),
            ..Figures::default()
        })
    }
}

impl Counted {
    pub(crate) fn is_over(&self) -> bool {
        self.meter.phase.load(Ordering::Relaxed) == OVER
    }

    /// To be called before each: when it began, if it is to be timed.
    pub(crate) fn begin(&mut self) -> Option<Instant> {
        if self.until_timed > 0 {
            self.until_timed -= 1;
            return None;
        }
        self.until_timed = self.every - 1;
        Some(Instant::now())
    }

    /// To be called after each.
    pub(crate) fn done(&mut self, began: Option<Instant>) {
        self.done_many(1);
        if let Some(began) = began
            && self.meter.phase.load(Ordering::Relaxed) == COUNTING
            && self.times.len() < TIMES_MAX
        {
            self.times.push(began.elapsed());
        }
    }

    /// So many more are done, which nobody timed.
    pub(crate) fn done_many(&mut self, many: u64) {
        if self.meter.phase.load(Ordering::Relaxed) == COUNTING {
            self.done += many;
        }
    }
}

/// The time that this share of all sorted times does not exceed, in microseconds.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Option<f64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is an index")]
    let at = (count(sorted.len() as u64) * share) as usize;
    let time = sorted.get(at.min(sorted.len().checked_sub(1)?))?;
    Some(time.as_secs_f64() * 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "nothing is counted beyond 2^52")]
pub(crate) fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<_> = (1..=100).map(Duration::from_micros).collect();
        assert_eq!(percentile(&times, 0.5), Some(51.0));
        assert_eq!(percentile(&times, 0.99), Some(100.0));
        assert_eq!(percentile(&times, 1.0), Some(100.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[tokio::test]
    async fn a_task_that_fails_is_no_measurement() {
        let meter = Meter::new(60.0);
        let mut tasks = JoinSet::new();
        tasks.spawn(async { anyhow::bail!("no answer") });
        let measured = meter.measure(tasks, &[]).await;
        assert_eq!(measured.unwrap_err().to_string(), "no answer");
    }

    #[test]
    fn one_of_sixteen_is_timed_where_many_are_in_flight() {
        let mut counted = Meter::new(1.0).counter(false);
        let timed = (0..32).filter(|_| counted.begin().is_some()).count();
        assert_eq!(timed, 2);
    }
}
