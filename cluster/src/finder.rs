//! The finder: keeps a cluster connected to every region process there is.
//!
//! It starts from the addresses of the settings, learns the other region processes from the first
//! that answers, and is told of changes by all. Every place that is not connected is dialled, with
//! a back-off of its own. One task owns all of this; attempts run beside it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use amp_proto::{Lost, PublicKey, Region};
use mesh::commands::RegionRow;
use mesh::{Client, Link, Pins, RegionId, Services, chain};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::controller::{ClusterController, Inner};
use crate::dial::{Attempt, DialError, Gravity, Listed, Reached, dial_any};
use crate::keys::change_if_there_is_a_next;
use crate::places::{Place, State, Target};
use crate::responders::Told;

/// How many places are kept in mind; a list of more is cut. Fixed: far more than a mesh has, and
/// there only against a region that tells nonsense.
const PLACES_MAX: usize = 4096;
/// How many addresses are told to whoever keeps them. Fixed, for the same reason.
const ADDRESSES_MAX: usize = 4096;
/// How many places are dialled at once; the others wait for their turn. Fixed: a mesh has fewer
/// region processes, unless a region tells nonsense, and then it bounds what comes of it.
const DIALS_MAX: usize = 64;

/// Starts the finder and the services beside it. They end when the controller stops.
pub(crate) fn start(controller: &ClusterController, services: Services<ClusterController>) {
    let inner = &controller.inner;
    let lifetime = &inner.process.lifetime;
    inner.process.watch_memory();
    lifetime.run_until_stopping(Finder::new(Arc::clone(inner)).run());
    services.start(lifetime, controller);
}

/// What comes of the tasks that run beside the finder.
#[derive(Debug)]
enum News {
    Dialled(Place, Attempt),
    /// The wait after a failure is over.
    Waited(Place),
    Lost(Connected),
}

/// A region process that is, or was, in the pool.
#[derive(Debug)]
struct Connected {
    region: RegionId,
    link: Arc<Link>,
    since: Instant,
}

struct Finder {
    inner: Arc<Inner>,
    targets: HashMap<Place, Target>,
    told: watch::Receiver<Told>,
    /// The keys that regions may show; absent without keys.
    pins: Option<watch::Receiver<BTreeSet<PublicKey>>>,
    dials: Arc<Semaphore>,
    tasks: JoinSet<News>,
    /// Every connection that was made, for as long as it lives, also while it is being left.
    links: Vec<Weak<Link>>,
}

impl Finder {
    fn new(inner: Arc<Inner>) -> Self {
        let told = inner.told.clone();
        let seeds = inner.regions.iter().cloned();
        let target =
            |address: String| (Place::Seed(address.clone()), Target::new(&inner, vec![address]));
        let targets = seeds.map(target).collect();
        let dials = Arc::new(Semaphore::new(DIALS_MAX));
        let pins = inner.process.pins().map(Pins::changes);
        Self { inner, targets, told, pins, dials, tasks: JoinSet::new(), links: Vec::new() }
    }

    async fn run(mut self) {
        loop {
            self.dial_what_is_due();
            tokio::select! {
                Some(news) = self.tasks.join_next() => match news {
                    Ok(News::Dialled(place, attempt)) => self.dialled(&place, attempt),
                    Ok(News::Waited(place)) => self.set_due(&place),
                    Ok(News::Lost(connected)) => self.lost(&connected),
                    Err(error) => tracing::error!(%error, "an attempt to connect failed badly"),
                },
                Ok(()) = self.told.changed() => self.learn_told(),
                Ok(()) = changed(&mut self.pins) => self.believe(),
                else => return,
            }
        }
    }

    fn dial_what_is_due(&mut self) {
        let pool = &self.inner.pool;
        let is_busy = |(_, target): &(_, &Target)| target.state == State::Dialling;
        let busy = self.targets.iter().filter(is_busy);
        let mut dialled: HashSet<String> =
            busy.flat_map(|(_, target)| target.addresses.iter().cloned()).collect();
        for (place, target) in &mut self.targets {
            // What is being dialled already is looked at again when that has come to its end.
            let is_dialled = target.addresses.iter().any(|address| dialled.contains(address));
            if target.state != State::Due || is_dialled {
                continue;
            }
            if target.region(place).is_some_and(|region| pool.get(region).is_some()) {
                target.reached(place);
                continue;
            }
            target.state = State::Dialling;
            dialled.extend(target.addresses.iter().cloned());
            let (inner, dials) = (Arc::clone(&self.inner), Arc::clone(&self.dials));
            let (place, addresses) = (place.clone(), target.addresses.clone());
            self.tasks.spawn(async move {
                let _turn = dials.acquire().await;
                let attempt = dial_any(&inner, place.wanted(), &addresses).await;
                News::Dialled(place, attempt)
            });
        }
    }

    fn dialled(&mut self, place: &Place, attempt: Attempt) {
        let Attempt { reached, failures } = attempt;
        let found = reached.last().map(|reached| reached.region.clone());
        for reached in reached {
            self.reached(reached);
        }
        let gravest = failures.into_iter().max_by_key(|(_, error)| error.gravity());
        match (gravest, found) {
            (Some((address, error)), _) => self.failed(place, &address, &error),
            (None, Some(found)) => {
                if let Some(target) = self.targets.get_mut(place) {
                    target.region = Some(found);
                    target.reached(place);
                }
            }
            (None, None) => {
                let error = DialError::Connect(std::io::ErrorKind::AddrNotAvailable.into());
                self.failed(place, "", &error);
            }
        }
    }

    fn reached(&mut self, reached: Reached) {
        let Reached { region, link, others } = reached;
        self.links.retain(|link| link.strong_count() > 0);
        self.links.push(Arc::downgrade(&link));
        // Its key may have been revoked while it introduced itself.
        self.close_unless_believed(&link);
        // An address of the settings that leads there need not be dialled to find that out.
        for (place, target) in &mut self.targets {
            let is_seed = matches!(place, Place::Seed(_));
            if is_seed && target.addresses.contains(&link.peer().address) {
                target.region = Some(region.clone());
            }
        }
        let pool = &self.inner.pool;
        if pool.get(&region).is_some() {
            // Two addresses of one region process: the first connection is enough.
            tracing::debug!(region = %region, "already connected to this region");
            let spare = Client::<Region>::new(link);
            self.inner.process.lifetime.run_until_aborted(async move { spare.leave().await });
        } else {
            tracing::info!(
                region = link.name(),
                address = link.peer().address,
                "connected to a region"
            );
            pool.insert(region.clone(), Arc::clone(&link));
            let connected = Connected { region, link, since: Instant::now() };
            self.tasks.spawn(async move {
                connected.link.closed().await;
                News::Lost(connected)
            });
        }
        match others {
            Some(Listed { regions, told_before })
                if self.told.borrow_and_update().times == told_before =>
            {
                self.learn(regions);
            }
            // What somebody told since the question was asked may be newer than the answer.
            Some(_) => self.learn_told(),
            None => {}
        }
    }

    /// Other keys are believed than before: whoever showed one that is not is left, and whoever was
    /// refused may be believed now.
    fn believe(&mut self) {
        for link in self.links.iter().filter_map(Weak::upgrade) {
            self.close_unless_believed(&link);
        }
        for target in self.targets.values_mut().filter(|it| it.state == State::Waiting) {
            target.state = State::Due;
        }
    }

    fn close_unless_believed(&self, link: &Link) {
        let Some(pins) = self.inner.process.pins() else { return };
        if link.peer().key.as_ref().is_some_and(|it| !pins.contains(&it.key)) {
            tracing::warn!(region = link.ident(), "the key of a region is not good any more");
            link.close(Lost::ClosedHere);
        }
    }

    fn learn_told(&mut self) {
        let regions = self.told.borrow_and_update().regions.clone();
        self.learn(regions);
    }

    fn failed(&mut self, place: &Place, address: &str, error: &DialError) {
        let gravity = error.gravity();
        if matches!(error, DialError::KeyRefused { is_revoked: true, .. })
            && change_if_there_is_a_next(&self.inner)
            && let Some(target) = self.targets.get_mut(place)
        {
            target.state = State::Due;
            return;
        }
        let error = chain(error).to_string();
        let failure = format!("{address}: {error}");
        // An address of the settings is mostly the address of a region process as well.
        let is_told = self
            .targets
            .iter()
            .any(|(other, target)| other != place && target.attempts.has_told(&failure));
        let Some(target) = self.targets.get_mut(place) else { return };
        target.state = State::Waiting;
        let wait = match gravity {
            Gravity::Refused => target.backoff.after_refusal(),
            Gravity::Failed | Gravity::Absent => target.backoff.after_failure(),
        };
        let again_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let is_news = if is_told {
            target.attempts.failed_silently();
            false
        } else {
            target.attempts.failed(failure)
        };
        let failures = target.attempts.failures();
        match gravity {
            _ if !is_news => {
                tracing::debug!(%place, address, error, failures, again_in_ms, "still not joined");
            }
            Gravity::Refused => {
                tracing::error!(
                    %place, address, error, failures, again_in_ms,
                    "a region refused us"
                );
            }
            Gravity::Failed => {
                tracing::warn!(
                    %place, address, error, failures, again_in_ms,
                    "could not join a region"
                );
            }
            Gravity::Absent => {
                tracing::info!(%place, address, error, failures, again_in_ms, "no region there");
            }
        }
        self.wait(place.clone(), wait);
    }

    fn wait(&mut self, place: Place, wait: Duration) {
        self.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            News::Waited(place)
        });
    }

    fn lost(&mut self, Connected { region, link, since }: &Connected) {
        self.inner.pool.remove(region, link);
        // What others tell of its place may be wrong for us, and an address of the settings right,
        // so both are tried. With nobody left to tell, everything is.
        let alone = self.inner.pool.random().is_none();
        let mut due = Vec::new();
        for (place, target) in &mut self.targets {
            let was_there = target.region(place) == Some(region);
            if target.state == State::Content && (alone || was_there) {
                due.push((place.clone(), target.lost(&self.inner, *since)));
            }
        }
        for (place, wait) in due {
            self.wait(place, wait);
        }
    }

    /// Takes in a list of all region processes. Those that are not on it and not connected are
    /// forgotten; the addresses of the settings never are.
    fn learn(&mut self, regions: Vec<RegionRow>) {
        self.tell_whereabouts(&regions);
        let pool = &self.inner.pool;
        self.targets.retain(|place, _| match place {
            Place::Seed(_) => true,
            Place::Known(id) => {
                regions.iter().any(|row| row.uuid == id.as_str()) || pool.get(id).is_some()
            }
        });
        for RegionRow { uuid, addresses, .. } in regions {
            let place = Place::Known(uuid.into());
            if self.targets.len() >= PLACES_MAX && !self.targets.contains_key(&place) {
                tracing::warn!(most = PLACES_MAX, "too many regions: the rest is left out");
                return;
            }
            let target = self.targets.entry(place);
            let target = target.or_insert_with(|| Target::new(&self.inner, Vec::new()));
            if target.addresses != addresses {
                // It moved: there is a reason to try at once.
                target.addresses = addresses;
                target.backoff.reset();
                if target.state != State::Dialling {
                    target.state = State::Due;
                }
            }
        }
    }

    fn tell_whereabouts(&self, regions: &[RegionRow]) {
        let mut sorted: Vec<_> = regions.iter().collect();
        // Every region process has an order of its own.
        sorted.sort_by(|one, other| one.uuid.cmp(&other.uuid));
        let addresses = sorted.into_iter().flat_map(|row| row.addresses.iter().cloned());
        let addresses: Vec<_> = addresses.take(ADDRESSES_MAX).collect();
        self.inner.whereabouts.send_if_modified(|before| {
            let has_changed = !addresses.is_empty() && *before != addresses;
            if has_changed {
                *before = addresses;
            }
            has_changed
        });
    }

    fn set_due(&mut self, place: &Place) {
        if let Some(target) = self.targets.get_mut(place)
            && target.state == State::Waiting
        {
            target.state = State::Due;
        }
    }
}

/// Waits for other keys to be believed; for ever without keys.
async fn changed(
    pins: &mut Option<watch::Receiver<BTreeSet<PublicKey>>>,
) -> Result<(), watch::error::RecvError> {
    match pins {
        Some(pins) => {
            pins.changed().await?;
            pins.borrow_and_update();
            Ok(())
        }
        None => std::future::pending().await,
    }
}
