//! What happens in one run: a function of its seed and of nothing else.

use std::time::Duration;

use amp_proto::Limits;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// Everything that is decided before a run begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) regions: usize,
    pub(super) clusters: usize,
    pub(super) limits: Limits,
    pub(super) drain: Duration,
    pub(super) faults: Vec<Fault>,
    pub(super) calls: Vec<Call>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) at: Duration,
    /// How long it lasts.
    pub(super) lasts: Duration,
    pub(super) what: What,
}

/// Indices beyond what there is go round, so that a process that was added can be hit as well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What {
    CrashRegion(usize),
    StopRegion(usize),
    PauseRegion(usize),
    CrashCluster(usize),
    StopCluster(usize),
    PauseCluster(usize),
    Cut(usize, usize),
    Freeze(usize, usize),
    RegistryOut,
    AddRegion,
    AddCluster,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) id: u64,
    pub(super) at: Duration,
    pub(super) from: From,
    pub(super) kind: Kind,
    /// How long its responder sleeps, in all.
    pub(super) takes: Duration,
    pub(super) within: Duration,
    /// When its caller goes away, if it does.
    pub(super) dropped_after: Option<Duration>,
}

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum From {
    Region {
        region: usize,
        cluster: usize,
    },
    Cluster {
        cluster: usize,
        region: usize,
    },
    /// A cluster, and whichever region process it is connected to.
    ClusterAny {
        cluster: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Plain,
    /// Is carried out, and ends with a declared error.
    Failing,
    Once {
        tries: u32,
    },
    /// The responder sends so many items.
    Gives {
        items: u32,
        item_bytes: u32,
    },
    /// The responder takes so many items; with `stops`, it refuses after the third.
    Takes {
        items: u32,
        item_bytes: u32,
        stops: bool,
    },
    Large {
        bytes: u32,
    },
    /// To every cluster that the region process knows.
    Gather,
}

/// The length of a plan to which the numbers of faults and calls below belong. A longer one has as
/// many more.
const USUAL_MS: u64 = 30_000;

impl Plan {
    /// The plan of a seed: as long as the seed says, or as the caller does.
    pub(super) fn of(seed: u64, lasts: Option<Duration>) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let (regions, clusters) = (dice.random_range(1..=3), dice.random_range(1..=4));
        let length = dice.random_range(15_000..45_000);
        let lasts = lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap());
        let times = |usual: u64| lasts.map_or(usual, |lasts| usual * lasts / USUAL_MS);
        let length = lasts.unwrap_or(length);
        let limits = limits(&mut dice);
        let drain = Duration::from_millis(dice.random_range(200..12_000));
        let bad = times(dice.random_range(4..36));
        let faults = (0..bad).map(|_| fault(&mut dice, length)).collect();
        let busy = times(dice.random_range(100..500));
        let calls = (1..=busy).map(|id| call(&mut dice, id, length, &limits)).collect();
        Self { regions, clusters, limits, drain, faults, calls }
    }
}

fn limits(dice: &mut StdRng) -> Limits {
    let mut limits = Limits {
        // The clock that ids are made by is the wall clock, and stands still beside ours.
        once_window: Duration::from_secs(3600),
        ..Limits::default()
    };
    if dice.random_bool(0.5) {
        limits.ping_after = Duration::from_millis(500);
        limits.dead_after = Duration::from_millis(1500);
    }
    if dice.random_bool(0.3) {
        limits.asks_in_flight_max = dice.random_range(2..8);
    }
    if dice.random_bool(0.3) {
        limits.responders_running_max = dice.random_range(2..8);
    }
    if dice.random_bool(0.3) {
        limits.outbound_bytes_max = dice.random_range(2_000..100_000);
    }
    if dice.random_bool(0.3) {
        limits.streams_max = dice.random_range(1..4);
    }
    if dice.random_bool(0.5) {
        limits.stream_window_bytes = dice.random_range(1..20_000);
    }
    if dice.random_bool(0.3) {
        limits.once_answers_max = dice.random_range(1..10);
    }
    limits
}

fn ms(dice: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(dice.random_range(range))
}

fn fault(dice: &mut StdRng, length: u64) -> Fault {
    let (one, other) = (dice.random_range(0..6), dice.random_range(0..6));
    let what = match dice.random_range(0..100) {
        0..12 => What::CrashRegion(one),
        12..20 => What::StopRegion(one),
        20..28 => What::PauseRegion(one),
        28..40 => What::CrashCluster(one),
        40..48 => What::StopCluster(one),
        48..56 => What::PauseCluster(one),
        56..72 => What::Cut(one, other),
        72..88 => What::Freeze(one, other),
        88..94 => What::RegistryOut,
        94..97 => What::AddRegion,
        _ => What::AddCluster,
    };
    let longest = if dice.random_bool(0.8) { 1_000 } else { 25_000 };
    Fault { at: ms(dice, 0..length), lasts: ms(dice, 0..longest), what }
}

fn call(dice: &mut StdRng, id: u64, length: u64, limits: &Limits) -> Call {
    let (region, cluster) = (dice.random_range(0..6), dice.random_range(0..6));
    let kind = match dice.random_range(0..100) {
        0..30 => Kind::Plain,
        30..35 => Kind::Failing,
        35..55 => Kind::Once { tries: dice.random_range(1..8) },
        55..67 => Kind::Gives { items: items(dice), item_bytes: item_bytes(dice) },
        67..80 => {
            let stops = dice.random_bool(0.2);
            Kind::Takes { items: items(dice), item_bytes: item_bytes(dice), stops }
        }
        80..92 => Kind::Large { bytes: large_bytes(dice, limits) },
        _ => Kind::Gather,
    };
    let from = match (kind, dice.random_range(0..5)) {
        (Kind::Gather, _) | (_, 0..2) => From::Region { region, cluster },
        (Kind::Once { .. }, _) | (_, 2..4) => From::Cluster { cluster, region },
        _ => From::ClusterAny { cluster },
    };
    let longest = if dice.random_bool(0.7) { 50 } else { 3_000 };
    let takes = if dice.random_bool(0.3) { Duration::ZERO } else { ms(dice, 0..longest) };
    let within = ms(dice, 1..5_000);
    let dropped_after = dice.random_bool(0.1).then(|| ms(dice, 0..500));
    // Many at once find other faults than one after the other.
    let at = dice.random_range(0..length);
    let at = Duration::from_millis(if dice.random_bool(0.3) { at - at % 5_000 } else { at });
    Call { id, at, from, kind, takes, within, dropped_after }
}

fn items(dice: &mut StdRng) -> u32 {
    dice.random_range(0..60)
}

fn item_bytes(dice: &mut StdRng) -> u32 {
    if dice.random_bool(0.8) { dice.random_range(0..200) } else { dice.random_range(0..20_000) }
}

fn large_bytes(dice: &mut StdRng, limits: &Limits) -> u32 {
    // What goes in small pieces takes as many of them.
    let most = if limits.stream_window_bytes < 2_000 { 60_000 } else { 300_000 };
    dice.random_range(0..most)
}
