//! R22: nothing gets through, one way or both, between regions and clusters, and between a region
//! process and the database.

use std::time::Duration;

use amp_proto::RoleName::{Cluster, Region};
use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::minutes;
use crate::database::{FRONT, Server};
use crate::network::Ways;
use crate::row::{Figures, Form, Row, Run};
use crate::stage::{Plan, Stage};

const WHOLE_WITHIN: Duration = Duration::from_secs(30);
/// By when connections have to be back, and the registry be right, after the network is whole.
const BACK_MAX: Duration = Duration::from_secs(5);
/// How long is waited for what takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether a row is still there.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) struct Partition;

#[async_trait]
impl Row for Partition {
    fn number(&self) -> &'static str {
        "R22"
    }

    fn property(&self) -> &'static str {
        "partitions: one way and both, region–cluster and region–database"
    }

    fn target(&self, form: Form) -> &'static str {
        match form {
            Form::Short => "1 × 20 s each: links back ≤ 5 s, 0 writes to another's rows",
            Form::Long => "5 × 60 s each: links back ≤ 5 s, 0 writes to another's rows",
        }
    }

    fn time_limit(&self, form: Form) -> Duration {
        match form {
            Form::Short => minutes(6),
            Form::Long => minutes(40),
        }
    }

    async fn run(&self, run: Run) -> anyhow::Result<Figures> {
        let (rounds, lasts) = match run.form {
            Form::Short => (1, Duration::from_secs(20)),
            Form::Long => (5, minutes(1)),
        };
        let server = Server::start().await?;
        let mut stage = Stage::new(Plan {
            regions: 3,
            clusters: 3,
            proxied: 1,
            keys: true,
            postgres: Some(server.url_file()),
            load: "storm",
            callers: 8,
            pause: Duration::from_millis(40),
            watch: true,
        })
        .await?;
        stage.whole(WHOLE_WITHIN).await?;
        server.watch_writes().await?;
        stage.load().await?;
        let mut figures = Figures::default();
        figures.say(format!("{rounds} × {} s each", lasts.as_secs()));
        let (mut links, mut rows) = (Duration::ZERO, Duration::ZERO);
        let mut lost = 0;
        for _ in 0..rounds {
            links = links.max(between_processes(&mut stage, lasts).await?);
            let (took, dropped) = from_the_database(&mut stage, &server, lasts).await?;
            rows = rows.max(took);
            lost += dropped;
        }
        figures.check(links <= BACK_MAX, format!("links back after {} ms", links.as_millis()));
        let text = format!("cut from the database: {lost} links lost");
        figures.check(lost == 0, text);
        figures.check(rows <= BACK_MAX, format!("registered after {} ms", rows.as_millis()));
        succeeded(&mut stage, &server, lasts, &mut figures).await.context("a successor")?;
        let verdict = stage.judge().await?;
        verdict.tell(&mut figures);
        Ok(figures)
    }
}

/// Each cluster is cut from one region, in a way of its own. Gives how long it takes until they are
/// connected again.
async fn between_processes(stage: &mut Stage, lasts: Duration) -> anyhow::Result<Duration> {
    let mut cuts = Vec::new();
    for (index, ways) in [Ways::Both, Ways::There, Ways::Back].into_iter().enumerate() {
        let std::net::IpAddr::V4(to) = stage.node(Region, index)?.front() else { continue };
        cuts.push((stage.address(Cluster, index)?, to, ways));
    }
    for (from, to, ways) in &cuts {
        stage.network.cut(*from, *to, *ways).await?;
    }
    sleep(lasts).await;
    for index in 0..cuts.len() {
        let links = stage.links(index).await?;
        ensure!(links < 3, "cluster {index} has {links} links through a cut");
    }
    for (from, to, ways) in &cuts {
        stage.network.heal(*from, *to, *ways).await?;
    }
    stage.whole(PATIENCE).await
}

/// A region process is cut from the database. Gives how long it takes until the registry has it
/// again, and how many connections were lost meanwhile.
async fn from_the_database(
    stage: &mut Stage,
    server: &Server,
    lasts: Duration,
) -> anyhow::Result<(Duration, usize)> {
    for node in stage.nodes() {
        node.process()?.forget().await?;
    }
    let (address, ident) = (stage.address(Region, 1)?, stage.ident(Region, 1));
    stage.network.cut(address, FRONT, Ways::Both).await?;
    sleep(lasts).await;
    ensure!(!server.knows(&ident).await?, "it is announced through a cut");
    stage.network.heal(address, FRONT, Ways::Both).await?;
    let took = known(server, &ident).await?;
    let mut lost = 0;
    for node in stage.nodes() {
        lost += node.process()?.said_so_far("lost ").await?;
    }
    Ok((took, lost))
}

/// Waits until the registry has a region process.
async fn known(server: &Server, ident: &str) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    while !server.knows(ident).await? {
        ensure!(begun.elapsed() < PATIENCE, "the registry does not know {ident}");
        sleep(LOOK_EVERY).await;
    }
    Ok(begun.elapsed())
}

/// A region process is cut from everything, and another one takes its address. When the first comes
/// back, it must not touch what belongs to its successor.
async fn succeeded(
    stage: &mut Stage,
    server: &Server,
    lasts: Duration,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let (address, old) = (stage.address(Region, 0)?, stage.ident(Region, 0));
    let router = stage.node(Region, 0)?.place.router();
    stage.network.cut(address, FRONT, Ways::Both).await?;
    stage.network.cut(address, router, Ways::Both).await?;
    let new = stage.start_successor(0).await?;
    known(server, &new).await.context("the successor")?;
    let took = stage.whole(PATIENCE).await.context("with the successor")?;
    figures.say(format!("successor connected after {} ms", took.as_millis()));
    sleep(lasts).await;
    ensure!(!server.knows(&old).await?, "the old one is announced through a cut");
    stage.network.heal(address, router, Ways::Both).await?;
    stage.network.heal(address, FRONT, Ways::Both).await?;
    let back = known(server, &old).await.context("the old one")?;
    figures.say(format!("its predecessor back after {} ms", back.as_millis()));
    // It announces itself every second, and writes its connections down every ten.
    let (begun, mut missing) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(12) {
        missing += u32::from(!server.knows(&new).await?);
        sleep(LOOK_EVERY).await;
    }
    let (others, own) = server.writes_to(&new).await?;
    figures.check(missing == 0, format!("successor missing in {missing} looks"));
    figures.check(others == 0, format!("{others} writes to its rows by others"));
    figures.check(own > 0, format!("{own} of its own"));
    let links = server.links_of(&new).await?;
    figures.check(links == 3, format!("{links} of its links written down"));
    // What is counted has to be able to be something else than none.
    server.trespass(&new).await?;
    let (counted, _) = server.writes_to(&new).await?;
    ensure!(counted == others + 1, "a write to another's row is not counted");
    Ok(())
}
