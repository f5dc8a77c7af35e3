//! R22b: the registry's database dies under load, and nobody who is connected notices.

use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::minutes;
use crate::database::Server;
use crate::ledger::End;
use crate::row::{Figures, Form, Row, Run};
use crate::stage::{Plan, Stage};

const WHOLE_WITHIN: Duration = Duration::from_secs(30);
/// By when the registry has to be whole again once its database is back.
const BACK_MAX: Duration = Duration::from_secs(5);
/// How long is waited for a registry that takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct DatabaseLost;

#[async_trait]
impl Row for DatabaseLost {
    fn number(&self) -> &'static str {
        "R22b"
    }

    fn property(&self) -> &'static str {
        "the registry's database is killed under load"
    }

    fn target(&self, form: Form) -> &'static str {
        match form {
            Form::Short => "1 × 15 s away: 0 connections lost, 0 calls failed, back ≤ 5 s",
            Form::Long => "20 × 60 s away: 0 connections lost, 0 calls failed, back ≤ 5 s",
        }
    }

    fn time_limit(&self, form: Form) -> Duration {
        match form {
            Form::Short => minutes(5),
            Form::Long => minutes(40),
        }
    }

    async fn run(&self, run: Run) -> anyhow::Result<Figures> {
        let (rounds, away) = match run.form {
            Form::Short => (1, Duration::from_secs(15)),
            Form::Long => (20, minutes(1)),
        };
        let server = Server::start().await?;
        let mut stage = Stage::new(Plan {
            regions: 3,
            clusters: 3,
            proxied: 0,
            keys: true,
            postgres: Some(server.url_file()),
            load: "plain",
            callers: 8,
            pause: Duration::from_millis(20),
            watch: true,
        })
        .await?;
        stage.whole(WHOLE_WITHIN).await?;
        stage.load().await?;
        for node in stage.nodes() {
            node.process()?.forget().await?;
        }
        let mut slowest = Duration::ZERO;
        for _ in 0..rounds {
            server.kill()?;
            sleep(away).await;
            server.start_again().await?;
            slowest = slowest.max(registered(&server, &stage).await?);
        }
        let mut figures = Figures::default();
        figures.say(format!("killed {rounds} times, away for {} s", away.as_secs()));
        let mut lost = 0;
        for node in stage.nodes() {
            lost += node.process()?.said_so_far("lost ").await?;
        }
        figures.check(lost == 0, format!("{lost} connections lost"));
        figures.check(slowest <= BACK_MAX, format!("back after {} ms", slowest.as_millis()));
        let verdict = stage.judge().await?;
        let failed = verdict.calls - verdict.ended(End::Answered);
        figures.check(failed == 0, format!("{failed} calls failed"));
        verdict.tell(&mut figures);
        Ok(figures)
    }
}

/// Waits until the registry has every region process and all their connections, and gives how long
/// that took.
async fn registered(server: &Server, stage: &Stage) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let clusters = i64::try_from(stage.clusters.len())?;
    let all = async {
        for region in &stage.regions {
            while !(server.knows(&region.ident).await?
                && server.links_of(&region.ident).await? == clusters)
            {
                sleep(Duration::from_millis(20)).await;
            }
        }
        anyhow::Ok(begun.elapsed())
    };
    let all = tokio::time::timeout(PATIENCE, all).await;
    all.context("the registry is not whole again")?
}
