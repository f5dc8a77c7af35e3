//! R25: every process is started again, one after the other, under load.

use std::time::Duration;

use amp_proto::RoleName;
use anyhow::Context as _;
use async_trait::async_trait;

use super::minutes;
use crate::ledger::End;
use crate::row::{Figures, Form, Row, Run};
use crate::stage::{Plan, Stage};

/// How long a process may take to leave.
const DRAINED_MAX: Duration = Duration::from_secs(10);
/// How long is waited for one that takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
const WHOLE_WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct Shutdown;

#[async_trait]
impl Row for Shutdown {
    fn number(&self) -> &'static str {
        "R25"
    }

    fn property(&self) -> &'static str {
        "rolling restart of every process under load, by SIGTERM"
    }

    fn target(&self, form: Form) -> &'static str {
        match form {
            Form::Short => "1 round: drained ≤ 10 s, 0 failed calls of retrying clients",
            Form::Long => "20 rounds: drained ≤ 10 s, 0 failed calls of retrying clients",
        }
    }

    fn time_limit(&self, form: Form) -> Duration {
        match form {
            Form::Short => minutes(5),
            Form::Long => minutes(60),
        }
    }

    async fn run(&self, run: Run) -> anyhow::Result<Figures> {
        let rounds = match run.form {
            Form::Short => 1,
            Form::Long => 20,
        };
        let mut stage = Stage::new(Plan {
            regions: 3,
            clusters: 3,
            proxied: 0,
            keys: true,
            postgres: None,
            load: "retry",
            callers: 8,
            pause: Duration::from_millis(20),
            watch: false,
        })
        .await?;
        stage.whole(WHOLE_WITHIN).await.context("at the beginning")?;
        stage.load().await?;
        let (mut slowest, mut restarts) = (Duration::ZERO, 0);
        for _ in 0..rounds {
            for index in 0..3 {
                for role in [RoleName::Region, RoleName::Cluster] {
                    let drained = stage.leave(role, index, PATIENCE).await;
                    slowest = slowest.max(drained.with_context(|| format!("{role} {index}"))?);
                    stage.start_again(role, index).await?;
                    stage.whole(WHOLE_WITHIN).await.with_context(|| format!("{role} {index}"))?;
                    restarts += 1;
                }
            }
        }
        let mut figures = Figures::default();
        figures.say(format!("{restarts} restarts, of the same release"));
        let drained = format!("drained within {} ms", slowest.as_millis());
        figures.check(slowest <= DRAINED_MAX, drained);
        let verdict = stage.judge().await?;
        let failed = verdict.calls - verdict.ended(End::Answered);
        figures.check(failed == 0, format!("{failed} failed"));
        verdict.tell(&mut figures);
        Ok(figures)
    }
}
