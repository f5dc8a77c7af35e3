//! How costs grow: with connections, with calls under way, with clusters, and in a whole mesh.
//!
//! Of ampmesh alone: what grows faster than its number is to be seen, and not who is faster. Where
//! to start: `run` goes through the curves, `whole` starts a mesh, `estimate` says what comes of it
//! in sizes that no machine here can hold.

mod estimate;
mod plot;
mod table;
mod whole;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

pub(crate) use self::estimate::{Size, estimate};
pub(crate) use self::plot::plot;
pub(crate) use self::table::tables;
pub(crate) use self::whole::{Asked, SETTLED_AFTER, Whole};
use crate::figures::{Figures, Reading, median};
use crate::job::{End, Job, Mode, Work, name_of};
use crate::json::{Machine, Written};
use crate::peers::Peer;
use crate::run::{Place, all_unless, check_seconds, warn_of_load};
use crate::{children, json};

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Which curves. Default: all.
    #[arg(long, value_delimiter = ',')]
    curves: Vec<Curve>,
    /// How far they go.
    #[arg(long, default_value_t = 10_000)]
    most: usize,
    /// How many rounds.
    #[arg(long, default_value_t = 1)]
    repeats: usize,
    /// For how long calls are measured, in each round.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Region processes of the whole mesh; 0 leaves it out.
    #[arg(long, default_value_t = 8)]
    regions: usize,
    /// Clusters of the whole mesh.
    #[arg(long, default_value_t = 500)]
    clusters: usize,
    /// Where to write the figures.
    #[arg(long, default_value = "growth.json")]
    json: PathBuf,
}

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Curve {
    /// Connections to one region process.
    Connections,
    /// Small calls under way on one connection.
    InFlight,
    /// Clusters among which one is found.
    Clusters,
}

impl Curve {
    fn steps(self) -> &'static [usize] {
        match self {
            Self::Connections | Self::Clusters => &[10, 100, 1_000, 10_000],
            Self::InFlight => &[1, 10, 100, 1_000, 10_000],
        }
    }

    /// Who is measured. The pool in which clusters are found knows nothing of TLS.
    fn peers(self) -> &'static [Peer] {
        match self {
            Self::Connections | Self::InFlight => &[Peer::Ampmesh, Peer::AmpmeshTls],
            Self::Clusters => &[Peer::Ampmesh],
        }
    }

    fn work(self, at: usize) -> Work {
        match self {
            Self::Connections => Work::Connections { connections: at },
            Self::InFlight => Work::InFlight { in_flight: at },
            Self::Clusters => Work::Finding { members: at },
        }
    }
}

/// All that was found, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Growth {
    pub(crate) machine: Machine,
    /// For how long calls were measured, in seconds.
    pub(crate) seconds: f64,
    pub(crate) points: Vec<Point>,
    pub(crate) whole: Option<Whole>,
    /// Why there is no whole mesh, if one was wanted.
    pub(crate) whole_missing: Option<String>,
}

/// One point of a curve.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) curve: Curve,
    pub(crate) peer: Peer,
    pub(crate) at: usize,
    pub(crate) rounds: Vec<Figures>,
    /// Why it was not measured, or not in every round.
    pub(crate) missing: Option<String>,
}

impl Point {
    /// The median of the rounds.
    pub(crate) fn median(&self, reading: Reading) -> Option<f64> {
        median(self.rounds.iter().filter_map(reading).collect())
    }
}

impl Growth {
    /// The points of one curve, for one peer, in order.
    pub(crate) fn points(&self, curve: Curve, peer: Peer) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(move |point| point.curve == curve && point.peer == peer)
    }

    /// What was not measured, and why.
    pub(crate) fn missing(&self) -> impl Iterator<Item = String> {
        let points = self.points.iter().filter_map(|Point { curve, peer, at, missing, .. }| {
            let why = missing.as_ref()?;
            Some(format!("`{}`, {at} {}: {why}", name_of(*peer), name_of(*curve)))
        });
        let whole = self.whole_missing.iter().map(|why| format!("the whole mesh: {why}"));
        points.chain(whole)
    }
}

/// # Errors
/// When nothing can be measured, or the figures cannot be written. What fails by itself is named in
/// the tables, and in the exit code.
pub(crate) fn run(settings: &Settings) -> Result<ExitCode> {
    ensure!(settings.repeats > 0, "nothing is measured in 0 rounds");
    check_seconds(settings.seconds)?;
    let is_whole = settings.regions == 0 || settings.clusters > 0;
    ensure!(is_whole, "there is no whole mesh without clusters: `--regions 0` leaves it out");
    json::check(&settings.json)?;
    let machine = Machine::this();
    warn_of_load(&machine);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let points = runtime.block_on(measure_curves(settings))?;
    let Settings { seconds, regions, clusters, .. } = *settings;
    let whole = (regions > 0).then(|| {
        eprintln!("a mesh of {regions} regions and {clusters} clusters");
        runtime.block_on(whole::measure(regions, clusters))
    });
    let (whole, whole_missing) = match whole.transpose() {
        Ok(whole) => (whole, None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let growth = Growth { machine, seconds, points, whole, whole_missing };
    let tables = tables(&growth)?;
    let failed = growth.missing().next().is_some();
    json::write(&Written::Growth(growth), &settings.json, &tables)?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Both ends run on one processor: what they and the kernel take is not hidden by waiting.
async fn measure_curves(settings: &Settings) -> Result<Vec<Point>> {
    let _place = Place::of(Mode::Pinned)?;
    let mut points = Vec::new();
    for curve in all_unless(&settings.curves) {
        for at in curve.steps().iter().copied().filter(|at| *at <= settings.most) {
            for peer in curve.peers().iter().copied() {
                points.push(measure_point(settings, curve, at, peer).await);
            }
        }
    }
    Ok(points)
}

async fn measure_point(settings: &Settings, curve: Curve, at: usize, peer: Peer) -> Point {
    let mut point = Point { curve, peer, at, rounds: Vec::new(), missing: None };
    for round in 1..=settings.repeats {
        let names = [name_of(curve), at.to_string(), name_of(peer)].join(" ");
        let (mode, work) = (Mode::Pinned, curve.work(at));
        let job = Job { peer, end: End::Listen, mode, work, seconds: settings.seconds, far: None };
        match children::measure(&job).await {
            Ok(figures) => {
                eprintln!("{round}/{} {names}", settings.repeats);
                point.rounds.push(figures);
            }
            Err(error) => {
                eprintln!("{round}/{} {names} FAILED: {error:#}", settings.repeats);
                point.missing = Some(format!("{error:#}"));
            }
        }
    }
    point
}
