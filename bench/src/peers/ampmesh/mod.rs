//! ampmesh, as an application uses it: a region process and its clusters, with the default limits
//! and time limits, authenticated by the shared secret or by keys.

mod finding;
mod whole;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use amp_proto::{Arguments, Command, Failure, ItemSender, Never, Region, RoleName, responders};
use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use cluster::ClusterController;
use mesh::{
    Client, ClusterId, KeyPair, Listen, Pins, PublicKey, Secret, StreamingCall, gather_with,
};
use region::{KeyEntry, Keys, MemoryKeys, RegionController};

use crate::child::say;
use crate::figures::Figures;
use crate::job::{Far, Job, Said, Work};
use crate::peers::Peer;
use crate::scenarios::broadcast::{self, Hub};
use crate::scenarios::connections::open_by;
use crate::scenarios::stream::{ITEM_TEXT, Tap, measure};
use crate::scenarios::{Caller, Dialer, LARGE_BYTES, TEXTS, TOTAL, measure_calls};

/// How long a cluster waits for its region: longer than by default, as a machine that is at work
/// may need it to let 10,000 in.
const CLIENT_WAIT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Command)]
#[command(answered_by = any, response = Total)]
struct Small {
    first: String,
    second: String,
}

#[derive(Debug, Arguments)]
struct Total {
    total: i64,
}

#[derive(Debug, Command)]
#[command(answered_by = Region, response = Echoed)]
struct Echo {
    value: Bytes,
}

#[derive(Debug, Arguments)]
struct Echoed {
    value: Bytes,
}

#[derive(Debug, Command)]
#[command(answered_by = Region, answers = stream Item)]
struct Count {
    to: u64,
}

#[derive(Debug, Arguments)]
struct Item {
    number: u64,
    text: String,
}

/// What regions answer.
struct Desk;

#[responders]
impl Desk {
    #[responder]
    async fn small(&self, it: Small) -> Result<Total, Never> {
        Ok(total_of(&it))
    }

    #[responder]
    async fn echo(&self, it: Echo) -> Result<Echoed, Never> {
        Ok(Echoed { value: it.value })
    }

    #[responder]
    async fn count(&self, it: Count, mut out: ItemSender<Item>) -> Result<(), Failure<Never>> {
        for number in 0..it.to {
            let text = ITEM_TEXT.to_owned();
            out.send(Item { number, text }).await.map_err(Failure::undeclared)?;
        }
        Ok(())
    }
}

/// What clusters answer.
struct Member;

#[responders]
impl Member {
    #[responder]
    async fn small(&self, it: Small) -> Result<Total, Never> {
        Ok(total_of(&it))
    }
}

fn total_of(it: &Small) -> Total {
    Total { total: i64::try_from(it.first.len() + it.second.len()).unwrap_or(i64::MAX) }
}

fn small() -> Small {
    let [first, second] = TEXTS;
    Small { first: first.to_owned(), second: second.to_owned() }
}

pub(crate) async fn listen(job: &Job) -> Result<()> {
    if let Work::Whole { clusters, .. } = job.work {
        return whole::listen(job, clusters).await;
    }
    let region = RegionController::builder().listen(Listen::loopback()).responders(Desk);
    let (region, credentials) = if job.peer == Peer::AmpmeshTls {
        let (pair, keys) = (KeyPair::generate(), Arc::new(MemoryKeys::new()));
        let mut credentials = vec![pair.public().to_string()];
        for _ in 0..job.work.connections() {
            credentials.push(enrol(&keys).await?);
        }
        (region.key_pair(pair).keys(keys), credentials)
    } else {
        let secret = Secret::generate();
        let credentials = vec![secret.to_hex()];
        (region.secret(secret), credentials)
    };
    let region = region.start().await?;
    let far = Far { credentials, ..Far::at(region.address()) };
    let pids = far.pids.clone();
    say(&Said::Ready(far))?;
    if let Work::Broadcast { members } = job.work {
        let figures =
            broadcast::measure(job.seconds, members, &pids, &mut RegionHub(region)).await?;
        return say(&Said::Figures(figures));
    }
    if let Work::Finding { members } = job.work {
        let figures = finding::measure(job.seconds, members, &pids, region).await?;
        return say(&Said::Figures(figures));
    }
    std::future::pending().await
}

/// Writes down a new cluster and its key; its uuid and the key itself, as text.
async fn enrol(keys: &MemoryKeys) -> Result<String> {
    let (pair, uuid) = (KeyPair::generate(), ClusterId::random());
    let entry = KeyEntry {
        key: pair.public(),
        role: RoleName::Cluster,
        ident: uuid.to_string(),
        name: uuid.to_string(),
        since: SystemTime::now(),
        is_revoked: false,
        revoked: None,
    };
    keys.enrol(&entry).await?;
    Ok(format!("{uuid} {}", *pair.to_text()))
}

struct RegionHub(RegionController);

impl Hub for RegionHub {
    fn members(&mut self) -> usize {
        self.0.get_all_clients().len()
    }

    async fn broadcast(&mut self) -> Result<usize> {
        let members = self.0.get_all_clients();
        let (all, mut answered) = (members.len(), 0);
        let mut answers = gather_with(all, members, small());
        while let Some((_member, answer)) = answers.next().await {
            ensure!(answer?.total == TOTAL, "a wrong total");
            answered += 1;
        }
        Ok(answered)
    }
}

pub(crate) async fn connect(job: &Job, far: &Far) -> Result<Figures> {
    let dialer = ClusterDialer(Arc::new(far.clone()), job.peer == Peer::AmpmeshTls);
    match job.work {
        Work::Stream => {
            let site = dialer.dial(0).await?;
            let items = site.client.stream(Count { to: u64::MAX })?;
            measure(job.seconds, &far.pids, StreamTap { _site: site, items }).await
        }
        Work::Broadcast { members: clusters }
        | Work::Finding { members: clusters }
        | Work::Whole { clusters, .. } => {
            let dial = |number| {
                let dialer = dialer.clone();
                async move { dialer.dial(number).await }
            };
            // They answer by themselves.
            let sites = open_by(0..clusters, dial).await?;
            let first = sites.first().context("nobody to answer")?;
            let gone = first.client.closed().await;
            bail!("a member left: {gone}")
        }
        _ => measure_calls(job, far, dialer).await,
    }
}

struct StreamTap {
    _site: Site,
    items: StreamingCall<Count>,
}

impl Tap for StreamTap {
    async fn next(&mut self) -> Result<u64> {
        let item = self.items.next().await?;
        Ok(item.map_or(0, |item| u64::from(item.text.len() == ITEM_TEXT.len())))
    }
}

#[derive(Clone)]
struct ClusterDialer(Arc<Far>, bool);

/// A cluster process, and its client for the region.
struct Site {
    _cluster: ClusterController,
    client: Client<Region>,
}

impl ClusterDialer {
    async fn start(&self, number: usize) -> Result<ClusterController> {
        let Self(far, has_keys) = self;
        let builder = ClusterController::builder().region(&*far.address).responders(Member);
        let builder = builder.client_wait(CLIENT_WAIT);
        let first = far.credentials.first().context("no credentials")?;
        let builder = if *has_keys {
            let own = far.credentials.get(number + 1).context("no key for so many")?;
            let (uuid, pair) = own.split_once(' ').context("no key")?;
            let region = first.parse::<PublicKey>()?;
            let uuid: ClusterId = uuid.parse()?;
            let pins = Pins::new([region]);
            builder.uuid(uuid).key_pair(KeyPair::from_text(pair)?).region_keys(pins)
        } else {
            builder.secret(Secret::from_hex(first)?)
        };
        Ok(builder.start().await?)
    }
}

impl Dialer for ClusterDialer {
    type Caller = Site;

    async fn dial(&self, number: usize) -> Result<Site> {
        let cluster = self.start(number).await?;
        let client = cluster.get_client().await?;
        Ok(Site { _cluster: cluster, client })
    }
}

impl Caller for Site {
    async fn small(&self) -> Result<()> {
        let Total { total } = self.client.call(small()).await?;
        ensure!(total == TOTAL, "a wrong total");
        Ok(())
    }

    async fn echo(&self, value: &Bytes) -> Result<()> {
        let Echoed { value } = self.client.call(Echo { value: value.clone() }).await?;
        ensure!(value.len() == LARGE_BYTES, "a wrong value");
        Ok(())
    }
}
