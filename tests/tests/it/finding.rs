//! How a cluster finds its regions: whom it dials, when, and whom it gives up.
//!
//! The regions here are made of bytes, so that they can be wrong about everything.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster::ClusterController;
use mesh::{Client, Listen, Listener, MemoryTransport, Secret, Transport as _};
use mesh_harness::{Logs, Mesh, TestResult};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::raw::{RawPeer, box_of, proof_of};

/// A network of raw regions, and the times at which each was dialled.
struct Country {
    network: MemoryTransport,
    secret: Secret,
    founded: Instant,
    regions: JoinSet<()>,
}

/// What a raw region says of another one: its identity and its addresses.
type Rumour = (&'static str, Vec<String>);

/// What a raw region does.
#[derive(Clone, Default)]
struct Manners {
    ident: &'static str,
    /// What it answers to `ListRegions`.
    rumours: Vec<Rumour>,
    /// What it tells, and how long after the welcome.
    news: Option<(Duration, Vec<Rumour>)>,
    /// What it tells between the question and the answer, which it then knows no better.
    news_first: Option<Vec<Rumour>>,
    /// When it says that it leaves, without leaving.
    lingers_after: Option<Duration>,
    /// Whether it hangs up after the welcome.
    flaps: bool,
    /// Whether it breaks the protocol after the welcome.
    babbles: bool,
    /// Whether it says nothing at all.
    silent: bool,
}

/// When a raw region was dialled.
type Dialled = Arc<Mutex<Vec<Duration>>>;

impl Country {
    fn new() -> Self {
        let (network, regions) = (MemoryTransport::new(), JoinSet::new());
        Self { network, secret: Secret::generate(), founded: Instant::now(), regions }
    }

    async fn listen(&self) -> TestResult<Box<dyn Listener>> {
        Ok(self.network.listen(&Listen::loopback()).await?)
    }

    fn settle(&mut self, mut listener: Box<dyn Listener>, manners: Manners) -> Dialled {
        let dialled = Dialled::default();
        let (times, secret, founded) = (Arc::clone(&dialled), self.secret.clone(), self.founded);
        self.regions.spawn(async move {
            let mut guests = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                times.lock().unwrap().push(founded.elapsed());
                let peer = RawPeer::new(stream);
                guests.spawn(welcome(peer, manners.clone(), secret.clone()));
            }
        });
        dialled
    }

    async fn region(&mut self, manners: Manners) -> TestResult<(String, Dialled)> {
        let listener = self.listen().await?;
        let address = listener.address();
        Ok((address, self.settle(listener, manners)))
    }

    /// A region at an address where nobody listens any more.
    async fn region_at(&mut self, address: &str, manners: Manners) -> TestResult {
        let port = address.rsplit(':').next().unwrap_or_default().parse()?;
        let listen = Listen { ports: port..=port, ..Listen::loopback() };
        let listener = self.network.listen(&listen).await?;
        self.settle(listener, manners);
        Ok(())
    }

    async fn cluster(&self, seed: &str) -> TestResult<ClusterController> {
        let builder = ClusterController::builder().transport(Arc::new(self.network.clone()));
        Ok(builder.region(seed).secret(self.secret.clone()).start().await?)
    }
}

/// The list of regions as it stands in a value.
fn listing(rumours: &[Rumour]) -> Vec<u8> {
    let row = |(uuid, addresses): &Rumour| {
        let mut list = Vec::new();
        for address in addresses {
            list.extend(u16::try_from(address.len()).unwrap().to_be_bytes());
            list.extend(address.as_bytes());
        }
        box_of([("addresses", &list), ("name", uuid.as_bytes()), ("uuid", uuid.as_bytes())])
    };
    rumours.iter().flat_map(row).collect()
}

async fn welcome(mut peer: RawPeer, manners: Manners, secret: Secret) {
    let Manners { ident, rumours, news, news_first, lingers_after, flaps, babbles, silent } =
        manners;
    while let Some(asked) = peer.next_within(Duration::from_secs(3600)).await {
        let (Some(tag), Some(command)) = (asked.get("_ask"), asked.get("_command")) else {
            continue;
        };
        if silent {
            continue;
        }
        if command == "ListRegions"
            && let Some(rumours) = &news_first
        {
            peer.send(&news_of(rumours)).await.unwrap();
        }
        let answer = match &command[..] {
            b"Authenticate" => proof_of(&asked, &secret),
            b"Identify" => box_of([("_answer", tag), ("ident", ident.as_bytes())]),
            b"RegisterCluster" => box_of([("_answer", tag), ("admitted", b"True")]),
            b"ListRegions" => box_of([("_answer", tag), ("regions", &listing(&rumours))]),
            _ => box_of([("_answer", tag)]),
        };
        peer.send(&answer).await.unwrap();
        if command == "ListRegions" {
            if flaps {
                return;
            }
            if babbles {
                let empty_box = [0, 0];
                peer.send(&empty_box).await.unwrap();
            }
            if let Some((after, rumours)) = &news {
                tokio::time::sleep(*after).await;
                peer.send(&news_of(rumours)).await.unwrap();
            }
            if let Some(after) = lingers_after {
                tokio::time::sleep(after).await;
                peer.send(&box_of([("_ask", &b"l"[..]), ("_command", b"Leave")])).await.unwrap();
            }
        }
    }
}

/// The ask that tells of regions.
fn news_of(rumours: &[Rumour]) -> Vec<u8> {
    let regions = listing(rumours);
    box_of([("_ask", &b"n"[..]), ("_command", b"RegionsChanged"), ("regions", &regions)])
}

/// The identities that a cluster is connected to, sorted, once they are so many.
async fn connected(cluster: &ClusterController, count: usize) -> Vec<String> {
    let pool = cluster.pool();
    let all = || cluster.get_all_clients().iter().filter_map(Client::ident).collect::<Vec<_>>();
    let enough = pool.wait_until(|_| Some(all()).filter(|all| all.len() == count));
    let mut all = tokio::time::timeout(Duration::from_secs(60), enough).await.expect("so many");
    all.sort();
    all
}

fn times(dialled: &Dialled) -> Vec<Duration> {
    dialled.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_region_that_hangs_up_right_after_the_welcome_is_not_run_down() -> TestResult {
    let mut country = Country::new();
    let flapping = Manners { ident: "a", flaps: true, ..Manners::default() };
    let (seed, dialled) = country.region(flapping).await?;
    let _cluster = country.cluster(&seed).await?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    // Full jitter up to four seconds: about thirty in a minute, once it has backed off.
    let times = times(&dialled);
    assert!((10..=70).contains(&times.len()), "{}", times.len());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn every_address_of_a_region_is_tried() -> TestResult {
    let mut country = Country::new();
    let (other, _) = country.region(Manners { ident: "b", ..Manners::default() }).await?;
    let rumours = vec![("b", vec!["memory:901".to_owned(), "memory:902".to_owned(), other])];
    let (seed, _) = country.region(Manners { ident: "a", rumours, ..Manners::default() }).await?;
    let cluster = country.cluster(&seed).await?;
    assert_eq!(connected(&cluster, 2).await, ["a", "b"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn one_silent_region_does_not_keep_a_cluster_from_the_others() -> TestResult {
    let mut country = Country::new();
    let (silent, _) =
        country.region(Manners { ident: "b", silent: true, ..Manners::default() }).await?;
    let (other, _) = country.region(Manners { ident: "c", ..Manners::default() }).await?;
    let rumours = vec![("b", vec![silent]), ("c", vec![other])];
    let (seed, _) = country.region(Manners { ident: "a", rumours, ..Manners::default() }).await?;
    let started = Instant::now();
    let cluster = country.cluster(&seed).await?;
    assert_eq!(connected(&cluster, 2).await, ["a", "c"]);
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_lists_nobody_not_even_itself_is_a_region_all_the_same() -> TestResult {
    let mut country = Country::new();
    let news = Some((Duration::from_secs(1), Vec::new()));
    let (seed, dialled) =
        country.region(Manners { ident: "a", news, ..Manners::default() }).await?;
    let cluster = country.cluster(&seed).await?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(connected(&cluster, 1).await, ["a"]);
    assert_eq!(times(&dialled).len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_region_that_others_say_has_moved_is_looked_for_at_once() -> TestResult {
    let mut country = Country::new();
    let (place, _) = country.region(Manners { ident: "b", ..Manners::default() }).await?;
    let nowhere = vec![("b", vec!["memory:900".to_owned()])];
    let news = Some((Duration::from_secs(10), vec![("b", vec![place])]));
    let manners = Manners { ident: "a", rumours: nowhere, news, ..Manners::default() };
    let (seed, _) = country.region(manners).await?;
    let started = Instant::now();
    let cluster = country.cluster(&seed).await?;
    assert_eq!(connected(&cluster, 2).await, ["a", "b"]);
    assert_eq!(started.elapsed(), Duration::from_secs(10));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn five_hundred_rumours_do_not_hide_the_truth() -> TestResult {
    let mut country = Country::new();
    let (place, dialled) = country.region(Manners { ident: "real", ..Manners::default() }).await?;
    let names: Vec<&'static str> = (0..500).map(|it| &*format!("rumour {it}").leak()).collect();
    let mut rumours: Vec<Rumour> =
        names.iter().map(|name| (*name, vec!["memory:900".to_owned()])).collect();
    rumours.push(("real", vec![place]));
    let (seed, _) = country.region(Manners { ident: "a", rumours, ..Manners::default() }).await?;
    let cluster = country.cluster(&seed).await?;
    assert_eq!(connected(&cluster, 2).await, ["a", "real"]);
    assert_eq!(times(&dialled).len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_wrong_region_at_an_address_is_a_region_all_the_same() -> TestResult {
    let mut country = Country::new();
    let (place, _) = country.region(Manners { ident: "c", ..Manners::default() }).await?;
    let rumours = vec![("b", vec![place])];
    let (seed, _) = country.region(Manners { ident: "a", rumours, ..Manners::default() }).await?;
    let cluster = country.cluster(&seed).await?;
    assert_eq!(connected(&cluster, 2).await, ["a", "c"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_region_that_is_gone_for_good_is_forgotten() -> TestResult {
    let logs = Logs::capture();
    let mesh = Mesh::builder().regions(3).clusters(1).start().await?;
    mesh.region(1).stop().await;
    mesh.region(2).crash().await;
    // Its entry has to expire first, and the news has to come round.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let before = logs.lines_with("again_in_ms").len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(logs.lines_with("again_in_ms").len(), before);
    assert_eq!(mesh.cluster(0).get_all_clients().len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_address_in_the_settings_is_never_forgotten() -> TestResult {
    let mesh = Mesh::builder().regions(2).clusters(1).start().await?;
    // The one that the cluster was told of first goes, and then all others.
    mesh.region(0).stop().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    mesh.region(1).stop().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    mesh.region(0).restart().await?;
    let back = Instant::now();
    mesh.settled().await?;
    assert!(back.elapsed() <= Duration::from_secs(5), "{:?}", back.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_region_that_says_it_leaves_and_stays_is_left_and_dialled_again() -> TestResult {
    let mut country = Country::new();
    let lingers_after = Some(Duration::from_secs(1));
    let manners = Manners { ident: "a", lingers_after, ..Manners::default() };
    let (seed, dialled) = country.region(manners).await?;
    let cluster = country.cluster(&seed).await?;
    assert_eq!(connected(&cluster, 1).await, ["a"]);
    let first = cluster.pool().random().unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(times(&dialled).len(), 1, "it has its time to close by itself");
    // The drain time-out is ten seconds, and the next attempt comes soon after.
    first.closed().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(times(&dialled).len(), 2);
    assert_eq!(connected(&cluster, 1).await, ["a"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_undo_the_news_that_came_before_it() -> TestResult {
    let mut country = Country::new();
    // The other region is not there at first, so that it has to be kept in mind.
    let place = country.listen().await?.address();
    let news_first = Some(vec![("b", vec![place.clone()])]);
    let manners = Manners { ident: "a", news_first, ..Manners::default() };
    let (seed, _) = country.region(manners).await?;
    let cluster = country.cluster(&seed).await?;
    assert_eq!(connected(&cluster, 1).await, ["a"]);
    tokio::time::sleep(Duration::from_secs(10)).await;
    country.region_at(&place, Manners { ident: "b", ..Manners::default() }).await?;
    assert_eq!(connected(&cluster, 2).await, ["a", "b"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_log_hears_of_a_dead_address_now_and_then_and_when_it_lives_again() -> TestResult {
    let logs = Logs::capture();
    let mut country = Country::new();
    let place = country.listen().await?.address();
    let _cluster = country.cluster(&place).await?;
    tokio::time::sleep(Duration::from_secs(599)).await;
    let told = logs.lines_with("no region there");
    assert!(told.len() == 2 && told.iter().all(|line| line.contains("INFO")), "{told:?}");
    let left_out = logs.lines_with("still not joined");
    assert!(left_out.len() > 100 && left_out.iter().all(|line| line.contains("DEBUG")));
    country.region_at(&place, Manners { ident: "a", ..Manners::default() }).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let again = logs.lines_with("a region is there again");
    assert!(again.len() == 1 && again[0].contains("INFO"), "{again:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_region_that_breaks_the_protocol_is_warned_of() -> TestResult {
    let logs = Logs::capture();
    let mut country = Country::new();
    let (seed, _) =
        country.region(Manners { ident: "a", babbles: true, ..Manners::default() }).await?;
    let _cluster = country.cluster(&seed).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let lines = logs.lines_with("the peer broke the protocol: disconnected");
    assert!(lines.iter().all(|line| line.contains("WARN") && line.contains("an empty box")));
    assert!(!lines.is_empty(), "{}", logs.text());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn two_places_at_one_address_are_told_of_once() -> TestResult {
    let logs = Logs::capture();
    let mesh = Mesh::builder().start().await?;
    // The address of the settings, and the identity that the region told, which is there as well.
    mesh.region(0).crash().await;
    tokio::time::sleep(Duration::from_secs(299)).await;
    let told = logs.lines_with("no region there");
    assert!(told.len() == 1 && told[0].contains(" place="), "{told:?}");
    Ok(())
}
