//! Who is alive, as one process sees it.
//!
//! The database's clock says how long ago a region process was last heard: no other machine's clock
//! is asked. Two things must not make everyone seem dead, though. Somebody sets that clock: so
//! whoever was seen to beat again is alive, whatever the clock says. And the database was gone for
//! a while: nobody could be heard, so everybody has the time that an entry lives to come back.

use std::collections::BTreeMap;

use mesh::RegionId;
use tokio::time::Instant;

use crate::registry::{EXPIRY, RegionEntry, sort_regions};

/// A region process, as it stands in the database.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) entry: RegionEntry,
    /// Another number after every heartbeat.
    pub(super) beats: i64,
    /// How long ago the last one was, in milliseconds of the database's clock.
    pub(super) age_ms: i64,
}

#[derive(Debug)]
struct Sighting {
    entry: RegionEntry,
    beats: i64,
    /// When it was last noticed that it beats. Absent until it was seen to.
    beat_at: Option<Instant>,
    is_alive: bool,
    /// It was alive when the database was lost, and was not heard since.
    is_spared: bool,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    seen: BTreeMap<RegionId, Sighting>,
    /// Until then those who were alive before the database was lost count as alive.
    spared_until: Option<Instant>,
    /// Who was alive at the last look. Absent before the first.
    told: Option<Vec<RegionEntry>>,
    /// How many times the database was lost and found again before the last look.
    reconnected: u64,
}

impl Sightings {
    /// The database was lost and found again so many times. If that is more than before, everybody
    /// is given time.
    pub(super) fn reconnected(&mut self, times: u64) {
        if times == self.reconnected {
            return;
        }
        self.reconnected = times;
        for sighting in self.seen.values_mut() {
            sighting.is_spared |= sighting.is_alive;
        }
        self.spared_until = Some(Instant::now() + EXPIRY);
    }

    /// Takes in what the database says now, and tells who is alive, and whether that is news.
    pub(super) fn look(&mut self, rows: Vec<Row>) -> (Vec<RegionEntry>, bool) {
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.seen);
        for row in rows {
            let known = before.remove(&row.entry.id);
            self.seen.insert(row.entry.id.clone(), see(row, known.as_ref(), now));
        }
        if self.spared_until.is_some_and(|until| now < until) {
            // Their rows are gone: the database may have lost them.
            before.retain(|_, sighting| sighting.is_spared && !self.is_displaced(&sighting.entry));
            self.seen.append(&mut before);
        } else {
            self.seen.values_mut().for_each(|sighting| sighting.is_spared = false);
        }
        for sighting in self.seen.values_mut() {
            sighting.is_alive |= sighting.is_spared;
        }
        let alive = self.seen.values().filter(|sighting| sighting.is_alive);
        let mut alive: Vec<_> = alive.map(|sighting| sighting.entry.clone()).collect();
        sort_regions(&mut alive);
        let is_news = self.told.as_ref() != Some(&alive);
        if is_news {
            self.told = Some(alive.clone());
        }
        (alive, is_news)
    }

    /// Whether a younger process listens where this one did.
    fn is_displaced(&self, gone: &RegionEntry) -> bool {
        !gone.addresses.is_empty()
            && self.seen.values().any(|Sighting { entry, is_alive, .. }| {
                *is_alive && entry.addresses == gone.addresses && entry.started >= gone.started
            })
    }
}

fn see(row: Row, known: Option<&Sighting>, now: Instant) -> Sighting {
    // A clock that was set back makes the last heartbeat one of the future.
    let expiry_ms = i64::try_from(EXPIRY.as_millis()).unwrap_or(i64::MAX);
    let is_fresh = (-1000..expiry_ms).contains(&row.age_ms);
    let beat_at =
        known.and_then(|known| if known.beats == row.beats { known.beat_at } else { Some(now) });
    let beats_on = beat_at.is_some_and(|at| now.saturating_duration_since(at) < EXPIRY);
    let is_alive = is_fresh || beats_on;
    let is_spared = !is_alive && known.is_some_and(|known| known.is_spared);
    Sighting { entry: row.entry, beats: row.beats, beat_at, is_alive, is_spared }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn row(name: &str, beats: i64, age_ms: i64) -> Row {
        let entry = RegionEntry {
            id: RegionId::from(name.to_owned()),
            name: name.to_owned(),
            addresses: vec![format!("{name}:1")],
            version: String::new(),
            started: UNIX_EPOCH,
        };
        Row { entry, beats, age_ms }
    }

    fn names((alive, _): &(Vec<RegionEntry>, bool)) -> Vec<&str> {
        alive.iter().map(|entry| entry.name.as_str()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_counts_for_whom_nobody_has_seen_beat() {
        let mut sightings = Sightings::default();
        let alive = sightings.look(vec![row("b", 1, 4999), row("a", 1, 0), row("c", 9, 5000)]);
        assert_eq!(names(&alive), ["a", "b"]);
        assert!(names(&sightings.look(vec![row("a", 1, 5001)])).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_kills_nobody_and_keeps_nobody_alive() {
        const HOUR_MS: i64 = 3_600_000;
        let mut sightings = Sightings::default();
        sightings.look(vec![row("a", 1, 0), row("b", 1, 0)]);
        tokio::time::advance(Duration::from_secs(1)).await;
        sightings.look(vec![row("a", 2, 0), row("b", 2, 0)]);
        for shifted in [HOUR_MS, -HOUR_MS] {
            assert_eq!(
                names(&sightings.look(vec![row("a", 2, shifted), row("b", 2, shifted)])),
                ["a", "b"]
            );
        }
        // The second beats no more; the database believes it in the future.
        tokio::time::advance(EXPIRY).await;
        let alive = sightings.look(vec![row("a", 7, 0), row("b", 2, -HOUR_MS)]);
        assert_eq!(names(&alive), ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_database_was_lost_everybody_has_time_to_come_back() {
        let mut sightings = Sightings::default();
        sightings.look(vec![row("a", 1, 0), row("b", 1, 0), row("c", 1, 0), row("dead", 1, 9000)]);
        tokio::time::advance(Duration::from_secs(60)).await;
        sightings.reconnected(1);
        // One is back, one is old news, one is not even there, and one was dead before.
        let alive =
            sightings.look(vec![row("a", 1, 0), row("b", 1, 60_000), row("dead", 1, 70_000)]);
        assert_eq!(names(&alive), ["a", "b", "c"]);
        // Who is back and leaves is gone at once.
        assert_eq!(names(&sightings.look(vec![row("b", 2, 0)])), ["b", "c"]);
        tokio::time::advance(EXPIRY).await;
        assert_eq!(names(&sightings.look(vec![row("b", 3, 0)])), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_started_again_meanwhile_is_not_there_twice() {
        let mut sightings = Sightings::default();
        sightings.look(vec![row("a", 1, 0)]);
        sightings.reconnected(1);
        let mut again = row("again", 1, 0);
        again.entry.addresses = vec!["a:1".to_owned()];
        assert_eq!(names(&sightings.look(vec![again])), ["again"]);
    }
}
