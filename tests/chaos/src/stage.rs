//! A mesh of real processes: regions and clusters, each at a place of its own in the network.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use amp_proto::RoleName;
use anyhow::{Context as _, ensure};
use mesh::{KeyPair, PublicKey, Secret};
use region::{Enrolment, KeyEntry, Keys, PostgresKeys, SqliteKeys};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::database::named_settings;
use crate::judge::{Books, Verdict};
use crate::network::{Network, Place};
use crate::node::REST_MAX;
use crate::processes::{ANSWERED_WITHIN, Process, Signal, Starting};
use crate::proxy::Proxy;

/// How long a process may take until it is ready, on a machine that does much else.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How often it is looked whether something is so.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How a mesh is made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) regions: usize,
    pub(crate) clusters: usize,
    /// The first so many regions are reached through proxies.
    pub(crate) proxied: usize,
    /// Processes have keys and speak TLS. Otherwise they have a secret.
    pub(crate) keys: bool,
    /// The file with the URL of the database. Otherwise the registry and the keys are in files.
    pub(crate) postgres: Option<PathBuf>,
    /// `storm`, `retry` or `plain`.
    pub(crate) load: &'static str,
    pub(crate) callers: u32,
    pub(crate) pause: Duration,
    /// Processes tell of connections.
    pub(crate) watch: bool,
}

/// A mesh, and where its books and logs are.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) network: Network,
    pub(crate) regions: Vec<Node>,
    pub(crate) clusters: Vec<Node>,
    plan: Plan,
    folder: PathBuf,
    pins: Vec<PublicKey>,
    lives: u64,
    /// The books of processes that have ended, and whether their calls had ended before.
    closed: Vec<(PathBuf, bool)>,
    /// Region processes that live on although others have taken their places.
    replaced: Vec<Node>,
}

/// A place of the mesh, and the process that lives there now.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) index: usize,
    pub(crate) proxy: Option<Proxy>,
    /// Where a proxy listens for it, if one does.
    front: Ipv4Addr,
    /// The identity of its process.
    pub(crate) ident: String,
    pub(crate) process: Option<Process>,
    /// The port that its first process was given by the system; the next ones take the same.
    port: u16,
    ledger: PathBuf,
}

impl Node {
    /// Its process.
    ///
    /// # Errors
    /// There is none now.
    pub(crate) fn process(&mut self) -> anyhow::Result<&mut Process> {
        self.process.as_mut().context("the process has ended")
    }

    /// Where clusters reach it, if it is a region.
    pub(crate) fn front(&self) -> IpAddr {
        match self.proxy {
            Some(_) => self.front.into(),
            None => self.place.address().into(),
        }
    }

    fn named(place: Place, index: usize) -> Self {
        let (ident, ledger, front) = (String::new(), PathBuf::new(), place.front());
        Self { place, index, proxy: None, front, ident, process: None, port: 0, ledger }
    }
}

impl Stage {
    /// Makes the network and starts the processes. They do not call yet.
    ///
    /// # Errors
    /// Whatever is missing.
    pub(crate) async fn new(plan: Plan) -> anyhow::Result<Self> {
        let mut network = Network::new().await?;
        // The row's folder is kept if it fails, and else removed, with all that is in it.
        let folder = tempfile::Builder::new().prefix("mesh").tempdir()?.keep();
        let (mut regions, mut clusters) = (Vec::new(), Vec::new());
        for index in 0..plan.regions {
            regions.push(Node::named(network.place().await?, index));
        }
        for index in 0..plan.clusters {
            clusters.push(Node::named(network.place().await?, index));
        }
        let mut stage = Self {
            network,
            regions,
            clusters,
            plan,
            folder,
            pins: Vec::new(),
            lives: 0,
            closed: Vec::new(),
            replaced: Vec::new(),
        };
        stage.make_identities().await?;
        for index in 0..stage.regions.len() {
            stage.start_region(index).await?;
        }
        for index in 0..stage.clusters.len() {
            stage.start_cluster(index).await?;
        }
        Ok(stage)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    async fn make_identities(&mut self) -> anyhow::Result<()> {
        if !self.plan.keys {
            return write_private(&self.path("secret"), &Secret::generate().to_hex());
        }
        let keys: Box<dyn Keys> = match &self.plan.postgres {
            Some(path) => Box::new(PostgresKeys::open(named_settings(path)?).await?),
            None => Box::new(SqliteKeys::open(self.path("keys.sqlite")).await?),
        };
        for index in 0..self.regions.len() {
            let pair = KeyPair::generate();
            write_private(&self.path(&format!("region-{index}.key")), &pair.to_text())?;
            self.pins.push(pair.public());
        }
        for index in 0..self.clusters.len() {
            let pair = KeyPair::generate();
            write_private(&self.path(&format!("cluster-{index}.key")), &pair.to_text())?;
            let entry = KeyEntry {
                key: pair.public(),
                role: RoleName::Cluster,
                ident: uuid_of(index).to_string(),
                name: format!("cluster-{index}"),
                since: SystemTime::now(),
                is_revoked: false,
                revoked: None,
            };
            ensure!(keys.enrol(&entry).await? == Enrolment::Enrolled, "a key is not enrolled");
        }
        Ok(())
    }

    /// What both kinds of process are started with, and the file of their books.
    fn start(&mut self, role: &str, index: usize) -> anyhow::Result<(Starting, PathBuf)> {
        self.lives += 1;
        let life = self.lives.to_string();
        let ledger = self.path(&format!("{role}-{index}-{life}.ledger"));
        let path = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no text");
        let mut words = vec![role.to_owned(), "--life".to_owned(), life];
        let mut add = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        add("ledger", path(&ledger)?);
        add("kind", self.plan.load.to_owned());
        add("callers", self.plan.callers.to_string());
        add("pause-ms", self.plan.pause.as_millis().to_string());
        if self.plan.keys {
            add("key-file", path(&self.path(&format!("{role}-{index}.key")))?);
        } else {
            add("secret-file", path(&self.path("secret"))?);
        }
        if self.plan.watch {
            words.push("--watch".to_owned());
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let log = self.path(&format!("{role}-{index}.log"));
        Ok((Process::of_ours(&words)?.log(&log), ledger))
    }

    /// Starts a region process where none is.
    ///
    /// # Errors
    /// It does not become ready.
    pub(crate) async fn start_region(&mut self, index: usize) -> anyhow::Result<()> {
        let (mut starting, ledger) = self.start("region", index)?;
        let clusters: Vec<_> = (0..self.clusters.len()).map(|at| uuid_of(at).to_string()).collect();
        let text = |path: PathBuf| path.to_str().map(str::to_owned).context("no text");
        starting = starting.words(&["--clusters", &clusters.join(",")]);
        if let Some(path) = &self.plan.postgres {
            starting = starting.words(&["--postgres-url-file", &text(path.clone())?]);
        } else {
            starting = starting.words(&["--sqlite", &text(self.path("registry.sqlite"))?]);
            if self.plan.keys {
                starting = starting.words(&["--keys", &text(self.path("keys.sqlite"))?]);
            }
        }
        let is_proxied = index < self.plan.proxied;
        let node = self.regions.get_mut(index).context("no such region")?;
        let address = node.place.address();
        let front = if is_proxied { node.front } else { address };
        starting = starting.words(&["--listen", &address.to_string()]);
        starting = starting.words(&["--advertise", &front.to_string()]);
        starting = starting.words(&["--port", &node.port.to_string()]);
        let mut process = node.place.hold(starting).start()?;
        let ready = process.line("ready ", READY_WITHIN).await;
        let ready = ready.with_context(|| format!("region {index}"))?;
        let (port, ident) = ready.split_once(' ').context("no identity")?;
        (node.port, node.ident, node.ledger) = (port.parse()?, ident.to_owned(), ledger);
        if is_proxied && node.proxy.is_none() {
            let (at, target) = ((front, node.port), (address, node.port));
            let proxy = Proxy::listen(SocketAddr::from(at), SocketAddr::from(target)).await?;
            node.proxy = Some(proxy);
        }
        node.process = Some(process);
        Ok(())
    }

    /// Starts another region process in the stead of one that lives on, cut off: at a place of its
    /// own, behind the same proxy. From here on it is the one at this index. Gives its identity.
    ///
    /// # Errors
    /// It does not become ready, or there is no proxy.
    pub(crate) async fn start_successor(&mut self, index: usize) -> anyhow::Result<String> {
        let place = self.network.place().await?;
        let node = self.regions.get_mut(index).context("no such region")?;
        let proxy = node.proxy.take().context("no proxy")?;
        let mut successor = Node::named(place, index);
        (successor.port, successor.front) = (node.port, node.front);
        proxy.lead_to(SocketAddr::from((successor.place.address(), node.port)));
        successor.proxy = Some(proxy);
        self.replaced.push(std::mem::replace(node, successor));
        self.start_again(RoleName::Region, index).await?;
        Ok(self.ident(RoleName::Region, index))
    }

    /// Starts a cluster process where none is.
    ///
    /// # Errors
    /// It does not become ready.
    pub(crate) async fn start_cluster(&mut self, index: usize) -> anyhow::Result<()> {
        let (mut starting, ledger) = self.start("cluster", index)?;
        let seeds = self.regions.iter().map(|it| format!("{}:{}", it.front(), it.port));
        let seeds: Vec<_> = seeds.collect();
        starting = starting.words(&["--uuid", &uuid_of(index).to_string()]);
        starting = starting.words(&["--regions", &seeds.join(",")]);
        if self.plan.keys {
            let pins: Vec<_> = self.pins.iter().map(ToString::to_string).collect();
            starting = starting.words(&["--pins", &pins.join(",")]);
        }
        let node = self.clusters.get_mut(index).context("no such cluster")?;
        let mut process = node.place.hold(starting).start()?;
        let ready = process.line("ready ", READY_WITHIN).await;
        ready.with_context(|| format!("cluster {index}"))?;
        (node.ident, node.ledger) = (uuid_of(index).to_string(), ledger);
        node.process = Some(process);
        Ok(())
    }

    /// Region processes first, then clusters, then region processes that were replaced.
    pub(crate) fn nodes(&mut self) -> impl Iterator<Item = &mut Node> {
        self.regions.iter_mut().chain(&mut self.clusters).chain(&mut self.replaced)
    }

    /// Has every process, or one, begin to call.
    ///
    /// # Errors
    /// One has ended.
    pub(crate) async fn load(&mut self) -> anyhow::Result<()> {
        for node in self.nodes() {
            node.process()?.tell("load").await?;
        }
        Ok(())
    }

    /// Waits until every cluster is connected to every region process, and gives how long it took.
    ///
    /// # Errors
    /// It takes longer than this, or a process has ended.
    pub(crate) async fn whole(&mut self, within: Duration) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let regions = self.regions.len();
        for index in 0..self.clusters.len() {
            loop {
                let links = self.links(index).await?;
                if links == regions {
                    break;
                }
                let took = begun.elapsed();
                ensure!(took < within, "cluster {index}: {links} links after {took:?}");
                sleep(LOOK_EVERY).await;
            }
        }
        Ok(begun.elapsed())
    }

    /// To how many region processes a cluster is connected.
    ///
    /// # Errors
    /// Its process has ended.
    pub(crate) async fn links(&mut self, cluster: usize) -> anyhow::Result<usize> {
        let node = self.clusters.get_mut(cluster).context("no such cluster")?;
        let process = node.process()?;
        process.tell("links").await?;
        Ok(process.line("links ", ANSWERED_WITHIN).await?.parse()?)
    }

    /// Kills a process as the kernel does, and closes its books.
    ///
    /// # Errors
    /// It has ended already.
    pub(crate) async fn kill(&mut self, role: RoleName, index: usize) -> anyhow::Result<()> {
        let node = self.node(role, index)?;
        let mut process = node.process.take().context("it has ended already")?;
        let ledger = node.ledger.clone();
        process.signal(Signal::KILL)?;
        process.ended(ANSWERED_WITHIN).await?;
        self.closed.push((ledger, false));
        Ok(())
    }

    /// Has a process leave in good order, and gives how long it took to drain.
    ///
    /// # Errors
    /// It does not end within `within`, or badly.
    pub(crate) async fn leave(
        &mut self,
        role: RoleName,
        index: usize,
        within: Duration,
    ) -> anyhow::Result<Duration> {
        let node = self.node(role, index)?;
        let mut process = node.process.take().context("it has ended already")?;
        let ledger = node.ledger.clone();
        process.signal(Signal::TERM)?;
        let drained = process.line("drained ", within).await?;
        let status = process.ended(ANSWERED_WITHIN).await?;
        ensure!(status.success(), "a process that left ended with {status}");
        self.closed.push((ledger, true));
        Ok(Duration::from_millis(drained.parse()?))
    }

    /// Starts a process where one has ended, and has it call.
    ///
    /// # Errors
    /// It does not become ready.
    pub(crate) async fn start_again(&mut self, role: RoleName, index: usize) -> anyhow::Result<()> {
        match role {
            RoleName::Region => self.start_region(index).await?,
            RoleName::Cluster => self.start_cluster(index).await?,
        }
        self.node(role, index)?.process()?.tell("load").await
    }

    /// The identity of a process, or of the last one there.
    pub(crate) fn ident(&mut self, role: RoleName, index: usize) -> String {
        self.node(role, index).map(|node| node.ident.clone()).unwrap_or_default()
    }

    /// The address of a process's place.
    ///
    /// # Errors
    /// There is no such place.
    pub(crate) fn address(&mut self, role: RoleName, index: usize) -> anyhow::Result<Ipv4Addr> {
        Ok(self.node(role, index)?.place.address())
    }

    /// A place by what lives there.
    ///
    /// # Errors
    /// There is no such place.
    pub(crate) fn node(&mut self, role: RoleName, index: usize) -> anyhow::Result<&mut Node> {
        let node = match role {
            RoleName::Region => self.regions.get_mut(index),
            RoleName::Cluster => self.clusters.get_mut(index),
        };
        node.context("no such process")
    }

    /// Ends the load, waits for the calls under way, and lays all books together.
    ///
    /// # Errors
    /// Calls do not end, or a process has ended by itself.
    pub(crate) async fn judge(&mut self) -> anyhow::Result<Verdict> {
        for node in self.nodes() {
            node.process()?.tell("rest").await?;
        }
        let mut books = Books::default();
        for node in self.nodes() {
            let within = REST_MAX + ANSWERED_WITHIN;
            node.process()?.line("rested ", within).await?;
        }
        for node in self.regions.iter().chain(&self.clusters).chain(&self.replaced) {
            books.read(&node.ledger, true)?;
        }
        for (ledger, survived) in &self.closed {
            books.read(ledger, *survived)?;
        }
        Ok(books.judge())
    }
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::File::options();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// The identity of a cluster by its index.
pub(crate) fn uuid_of(cluster: usize) -> Uuid {
    let number = u128::try_from(cluster).unwrap_or_default();
    Uuid::from_u128(0x0b5e_7c1e_6d3f_4a0e_9c3e_0000_0000_0000 + number)
}
