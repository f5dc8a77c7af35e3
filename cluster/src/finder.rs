//! The finder: keeps a cluster connected to every region process there is.
//!
//! It starts from the addresses of the settings, learns the other region processes from the first
//! that answers, and is told of changes by all. Every place that is not connected is dialled, with
//! a back-off of its own. One task owns all of this; attempts run beside it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use amp_proto::Region;
use mesh::commands::RegionRow;
use mesh::{Backoff, Client, Link, RegionId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::builder::Service;
use crate::controller::{ClusterController, Inner};
use crate::dial::{DialError, Reached, dial};

/// How many lists of regions may wait to be looked at.
pub(crate) const TOLD_MAX: usize = 16;

/// Starts the finder and the services beside it. They end when the controller stops.
pub(crate) fn start(
    controller: &ClusterController,
    told: mpsc::Receiver<Vec<RegionRow>>,
    services: Vec<Service>,
) {
    let inner = &controller.inner;
    let finding = Finder::new(Arc::clone(inner), told).run();
    spawn(inner, finding);
    for service in services {
        spawn(inner, service(controller.clone()));
    }
}

/// Runs a task until the cluster stops.
fn spawn(inner: &Arc<Inner>, task: impl Future<Output = ()> + Send + 'static) {
    let stopping = inner.stopping.clone();
    inner.tasks.spawn(async move { stopping.run_until_cancelled(task).await });
}

/// Somewhere a region process may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// An address of the settings.
    Seed(String),
    /// A region process that others told of.
    Known(RegionId),
}

#[derive(Debug)]
struct Target {
    addresses: Vec<String>,
    backoff: Backoff,
    state: State,
    /// Who was there last.
    region: Option<RegionId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be dialled now.
    Due,
    /// An attempt is under way.
    Dialling,
    /// The wait after a failure or a loss.
    Waiting,
    /// Nothing to do: whoever is there is connected.
    Content,
}

/// What comes of the tasks that run beside the finder.
#[derive(Debug)]
enum News {
    Dialled(Place, Result<Reached, DialError>),
    /// The wait after a failure is over.
    Waited(Place),
    Lost(RegionId, Arc<Link>),
}

struct Finder {
    inner: Arc<Inner>,
    targets: HashMap<Place, Target>,
    told: mpsc::Receiver<Vec<RegionRow>>,
    tasks: JoinSet<News>,
}

impl Finder {
    fn new(inner: Arc<Inner>, told: mpsc::Receiver<Vec<RegionRow>>) -> Self {
        let seeds = inner.settings.regions.iter().cloned();
        let target =
            |address: String| (Place::Seed(address.clone()), Target::new(&inner, vec![address]));
        let targets = seeds.map(target).collect();
        Self { inner, targets, told, tasks: JoinSet::new() }
    }

    async fn run(mut self) {
        loop {
            self.dial_what_is_due();
            tokio::select! {
                Some(news) = self.tasks.join_next() => match news {
                    Ok(News::Dialled(place, Ok(reached))) => self.reached(&place, reached),
                    Ok(News::Dialled(place, Err(error))) => self.failed(&place, &error),
                    Ok(News::Waited(place)) => self.set_due(&place),
                    Ok(News::Lost(region, link)) => self.lost(&region, &link),
                    Err(error) => tracing::error!(%error, "an attempt to connect failed badly"),
                },
                Some(regions) = self.told.recv() => self.learn(regions),
                else => return,
            }
        }
    }

    fn dial_what_is_due(&mut self) {
        let pool = &self.inner.settings.pool;
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
            if target.regions(place).any(|region| pool.get(region).is_some()) {
                target.state = State::Content;
                continue;
            }
            target.state = State::Dialling;
            dialled.extend(target.addresses.iter().cloned());
            let (inner, place) = (Arc::clone(&self.inner), place.clone());
            let addresses = target.addresses.clone();
            self.tasks.spawn(async move {
                let dialled = dial_any(&inner, &addresses).await;
                News::Dialled(place, dialled)
            });
        }
    }

    fn reached(&mut self, place: &Place, reached: Reached) {
        let Reached { region, link, others } = reached;
        if let Some(target) = self.targets.get_mut(place) {
            target.backoff.reset();
            target.region = Some(region.clone());
            target.state = State::Content;
        }
        // Whatever else leads to the same address need not be dialled to find that out.
        for target in self.targets.values_mut() {
            if target.addresses.contains(&link.far_end().address) {
                target.region = Some(region.clone());
            }
        }
        let pool = &self.inner.settings.pool;
        if pool.get(&region).is_some() {
            // Two addresses of one region process: the first connection is enough.
            tracing::debug!(region = %region, "already connected to this region");
            let spare = Client::<Region>::new(link);
            self.inner.tasks.spawn(async move { spare.leave().await });
        } else {
            tracing::info!(
                region = link.name(),
                address = link.far_end().address,
                "connected to a region"
            );
            pool.insert(region.clone(), Arc::clone(&link));
            self.tasks.spawn(async move {
                link.closed().await;
                News::Lost(region, link)
            });
        }
        if let Some(others) = others {
            self.learn(others);
        }
    }

    fn failed(&mut self, place: &Place, error: &DialError) {
        let Some(target) = self.targets.get_mut(place) else { return };
        let wait = if error.is_refusal() {
            target.backoff.after_refusal()
        } else {
            target.backoff.after_failure()
        };
        target.state = State::Waiting;
        let again_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        if error.is_refusal() {
            tracing::error!(address = ?target.addresses, %error, again_in_ms, "a region refused us");
        } else {
            tracing::info!(address = ?target.addresses, %error, again_in_ms, "no region there");
        }
        self.wait(place.clone(), wait);
    }

    fn wait(&mut self, place: Place, wait: Duration) {
        self.tasks.spawn(async move {
            tokio::time::sleep(wait).await;
            News::Waited(place)
        });
    }

    fn lost(&mut self, region: &RegionId, link: &Arc<Link>) {
        self.inner.settings.pool.remove(region, link);
        // While others are connected they tell where a lost region is to be found, so its address
        // in the settings need not be tried as well.
        let alone = self.inner.settings.pool.random().is_none();
        let is_known = self.targets.contains_key(&Place::Known(region.clone()));
        let mut due = Vec::new();
        for (place, target) in &mut self.targets {
            let was_there = target.regions(place).any(|there| there == region);
            let is_spare = is_known && matches!(place, Place::Seed(_));
            if target.state == State::Content && (alone || (was_there && !is_spare)) {
                target.state = State::Waiting;
                // A crowd that lost the same region must not come back all at once.
                due.push((place.clone(), target.backoff.after_failure()));
            }
        }
        for (place, wait) in due {
            self.wait(place, wait);
        }
    }

    /// Takes in a list of all region processes. Those that are not on it and not connected are
    /// forgotten; the addresses of the settings never are.
    fn learn(&mut self, regions: Vec<RegionRow>) {
        let pool = &self.inner.settings.pool;
        self.targets.retain(|place, _| match place {
            Place::Seed(_) => true,
            Place::Known(id) => {
                regions.iter().any(|row| row.uuid == id.as_str()) || pool.get(id).is_some()
            }
        });
        for RegionRow { uuid, addresses, .. } in regions {
            let place = Place::Known(uuid.into());
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

    fn set_due(&mut self, place: &Place) {
        if let Some(target) = self.targets.get_mut(place)
            && target.state == State::Waiting
        {
            target.state = State::Due;
        }
    }
}

impl Target {
    fn new(inner: &Inner, addresses: Vec<String>) -> Self {
        let backoff = Backoff::new(inner.settings.backoff.clone());
        Self { addresses, backoff, state: State::Due, region: None }
    }

    /// Who is believed to be there.
    fn regions<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = &'a RegionId> {
        let known = match place {
            Place::Known(region) => Some(region),
            Place::Seed(_) => None,
        };
        known.into_iter().chain(&self.region)
    }
}

/// Tries the addresses in order, and gives the first that works or the last failure.
async fn dial_any(inner: &Arc<Inner>, addresses: &[String]) -> Result<Reached, DialError> {
    let mut failed = DialError::Connect(std::io::ErrorKind::AddrNotAvailable.into());
    for address in addresses {
        match dial(inner, address).await {
            Ok(reached) => return Ok(reached),
            Err(error) if error.is_refusal() => return Err(error),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
