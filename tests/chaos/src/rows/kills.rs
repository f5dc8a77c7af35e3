//! R4: processes and connections die at random under load, and the books of every call agree.

use std::net::Ipv4Addr;
use std::time::Duration;

use amp_proto::RoleName;
use anyhow::Context as _;
use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use super::minutes;
use crate::network::Ways;
use crate::proxy::Fault;
use crate::row::{Figures, Form, Row, Run};
use crate::stage::{Plan, Stage};

/// How long a mesh may take to be whole when nothing dies any more: who was found dead last is
/// found again after a back-off of 4 s, and the dead are noticed after 15.
const WHOLE_WITHIN: Duration = Duration::from_secs(30);
/// A connection that is held up goes on within this, before anybody believes it dead.
const HELD_MAX_MS: u64 = 3000;

pub(crate) struct Kills;

/// How often each thing has struck.
#[derive(Clone, Copy, Debug, Default)]
struct Struck {
    processes: u64,
    resets: u64,
    ends: u64,
    cuts: u64,
    holds: u64,
}

/// A cut that will be healed, or a hold that will end.
enum Later {
    Heal { from: Ipv4Addr, to: Ipv4Addr, ways: Ways },
    Release { region: usize, connection: u64 },
}

struct Storm {
    stage: Stage,
    rng: fastrand::Rng,
    struck: Struck,
    later: Vec<(Instant, Later)>,
}

#[async_trait]
impl Row for Kills {
    fn number(&self) -> &'static str {
        "R4"
    }

    fn property(&self) -> &'static str {
        "kills under load: SIGKILL, RST, FIN, packets dropped"
    }

    fn target(&self, form: Form) -> &'static str {
        match form {
            Form::Short => "60 s, 100 kills; 0 unresolved, double, mismatched",
            Form::Long => "1 h, 2,000 kills, 10⁶ calls; 0 unresolved, double, mismatched",
        }
    }

    fn time_limit(&self, form: Form) -> Duration {
        match form {
            Form::Short => minutes(6),
            Form::Long => minutes(80),
        }
    }

    async fn run(&self, run: Run) -> anyhow::Result<Figures> {
        let lasts = run.lasts(minutes(1), minutes(60));
        let (every, kills, calls) = match run.form {
            Form::Short => (Duration::from_millis(450), 100, 0),
            Form::Long => (Duration::from_millis(1400), 2000, 1_000_000),
        };
        let plan = Plan {
            regions: 3,
            clusters: 4,
            proxied: 2,
            keys: true,
            postgres: None,
            load: "storm",
            callers: 8,
            pause: Duration::from_millis(60),
            watch: false,
        };
        let mut stage = Stage::new(plan).await?;
        stage.whole(WHOLE_WITHIN).await.context("before anything was killed")?;
        stage.load().await?;
        let rng = fastrand::Rng::with_seed(run.seed);
        let mut storm = Storm { stage, rng, struck: Struck::default(), later: Vec::new() };
        let mut figures = Figures::default();
        let verdict = storm.rage(lasts, every, &mut figures).await;
        let verdict = verdict?;
        let Struck { processes, resets, ends, cuts, holds } = storm.struck;
        let all = processes + resets + ends + cuts;
        let counted = format!("{all} kills in {} s", lasts.as_secs());
        figures.check(run.minutes.is_some() || all >= kills, counted);
        figures.say(format!("{processes} SIGKILL, {resets} RST, {ends} FIN, {cuts} cuts"));
        figures.say(format!("{holds} held up or delayed"));
        verdict.tell(&mut figures);
        figures.say(format!("latest {} ms after its time", verdict.latest.as_millis()));
        if run.minutes.is_none() && verdict.calls < calls {
            figures.missed.push(format!("fewer than {calls} calls"));
        }
        Ok(figures)
    }
}

impl Storm {
    async fn rage(
        &mut self,
        lasts: Duration,
        every: Duration,
        figures: &mut Figures,
    ) -> anyhow::Result<crate::judge::Verdict> {
        let end = Instant::now() + lasts;
        let mut next = Instant::now();
        while next < end {
            next += every;
            sleep_until(next).await;
            self.settle(Instant::now()).await?;
            self.strike().await?;
        }
        self.settle(end + minutes(10)).await?;
        let took = self.stage.whole(WHOLE_WITHIN).await.context("after the last kill")?;
        figures.say(format!("whole again after {} ms", took.as_millis()));
        self.stage.judge().await
    }

    /// Ends what is due to end by then.
    async fn settle(&mut self, by: Instant) -> anyhow::Result<()> {
        let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|it| it.0 <= by);
        self.later = later;
        let due: Vec<(Instant, Later)> = due;
        for (_, due) in due {
            match due {
                Later::Heal { from, to, ways } => self.stage.network.heal(from, to, ways).await?,
                Later::Release { region, connection } => {
                    let proxy = self.stage.regions.get(region).and_then(|it| it.proxy.as_ref());
                    // It may have died meanwhile.
                    let _was = proxy.is_some_and(|it| it.strike(connection, Fault::None));
                }
            }
        }
        Ok(())
    }

    async fn strike(&mut self) -> anyhow::Result<()> {
        match self.rng.u32(0..100) {
            0..15 => self.kill(RoleName::Region).await,
            15..35 => self.kill(RoleName::Cluster).await,
            35..55 => self.hurt(Fault::Reset).await,
            55..65 => self.hurt(Fault::CloseBack).await,
            65..75 => self.hurt(Fault::CloseThere).await,
            75..95 => self.cut().await,
            95..98 => self.hurt(Fault::Hold).await,
            _ => {
                let delay = Duration::from_millis(self.rng.u64(10..200));
                self.hurt(Fault::Delay(delay)).await
            }
        }
    }

    async fn kill(&mut self, role: RoleName) -> anyhow::Result<()> {
        self.struck.processes += 1;
        let Self { stage, rng, .. } = self;
        let index = match role {
            RoleName::Region => rng.usize(0..stage.regions.len()),
            RoleName::Cluster => rng.usize(0..stage.clusters.len()),
        };
        stage.kill(role, index).await?;
        stage.start_again(role, index).await
    }

    /// Does something to a connection through a proxy, or cuts if there is none just now.
    async fn hurt(&mut self, fault: Fault) -> anyhow::Result<()> {
        let proxies =
            self.stage.regions.iter().filter_map(|it| Some((it.index, it.proxy.as_ref()?)));
        let open = proxies.flat_map(|(index, proxy)| {
            proxy.connections().into_iter().map(move |(number, _)| (index, proxy, number))
        });
        let open: Vec<_> = open.collect();
        let Some((region, proxy, connection)) = self.rng.choice(open) else {
            return self.cut().await;
        };
        if !proxy.strike(connection, fault) {
            return Ok(());
        }
        match fault {
            Fault::Reset => self.struck.resets += 1,
            Fault::CloseBack | Fault::CloseThere => self.struck.ends += 1,
            Fault::Hold | Fault::Delay(_) | Fault::None => {
                self.struck.holds += 1;
                let held = Duration::from_millis(self.rng.u64(100..HELD_MAX_MS));
                self.later.push((Instant::now() + held, Later::Release { region, connection }));
            }
        }
        Ok(())
    }

    /// Drops what goes between a cluster and a region, one way or both, mostly for a moment, and
    /// sometimes until both believe the other dead.
    async fn cut(&mut self) -> anyhow::Result<()> {
        let Self { stage, rng, .. } = self;
        let cluster = rng.choice(&stage.clusters).context("no clusters")?;
        let region = rng.choice(&stage.regions).context("no regions")?;
        let std::net::IpAddr::V4(to) = region.front() else { return Ok(()) };
        let from = cluster.place.address();
        let ways = rng.choice([Ways::There, Ways::Back, Ways::Both]).unwrap_or(Ways::Both);
        let is_cut = |later: &Later| matches!(later, Later::Heal { from: f, to: t, .. } if (*f, *t) == (from, to));
        if self.later.iter().any(|(_, later)| is_cut(later)) {
            return Ok(());
        }
        let lasts_ms =
            if rng.u32(0..6) == 0 { rng.u64(16_000..20_000) } else { rng.u64(200..4000) };
        stage.network.cut(from, to, ways).await?;
        self.struck.cuts += 1;
        let heals = Instant::now() + Duration::from_millis(lasts_ms);
        self.later.push((heals, Later::Heal { from, to, ways }));
        Ok(())
    }
}
