//! What was recorded on the way, or is sent back, is of no use to anybody; and nothing is resumed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use amp_proto::Region;
use mesh::{Client, KeyPair, Pins, connect_by_key};
use region::RegionController;
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::peers::{Shows, client, server};
use crate::world::{Member, WhoAmI, World, member, quickly};

/// Far more than anything here takes, also on a machine with too much to do.
const SOON: Duration = Duration::from_secs(20);
const TIMES: usize = 100;

/// A region, a cluster that it knows, and all that both said on one connection with one call.
struct Recorded {
    world: World,
    region: RegionController,
    me: Member,
    of_cluster: Vec<u8>,
    of_region: Vec<u8>,
}

impl Recorded {
    async fn new() -> Self {
        let world = World::new();
        let region = world.region().await;
        let me = member(&region).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let passing = async {
            let (near, _) = listener.accept().await.unwrap();
            let (from_near, to_near) = near.into_split();
            let far = TcpStream::connect(region.address()).await.unwrap();
            let (from_far, to_far) = far.into_split();
            tokio::join!(copy(from_near, to_far), copy(from_far, to_near))
        };
        let calling = async {
            let stream = TcpStream::connect(&address).await.unwrap();
            let open = open(stream, &me.pair, Pins::new([region.key().unwrap()])).await.unwrap();
            let (link, driving) = open.drive(Arc::default());
            let client = Client::<Region>::new(link);
            tokio::join!(driving, async {
                client.call(WhoAmI).await.unwrap();
                client.leave().await;
            });
        };
        let ((of_cluster, of_region), ()) = tokio::join!(passing, calling);
        assert_eq!(world.desk.asked.load(Ordering::SeqCst), 1);
        for said in [&of_cluster, &of_region] {
            assert!(!said.windows(6).any(|window| window == b"WhoAmI"), "it cannot be read");
        }
        Self { world, region, me, of_cluster, of_region }
    }

    fn assert_nothing_was_done_again(&self) {
        assert_eq!(self.world.desk.asked.load(Ordering::SeqCst), 1, "nothing is done again");
        assert!(self.region.get_all_clients().is_empty(), "nobody is admitted");
    }
}

async fn open(
    stream: TcpStream,
    pair: &KeyPair,
    pins: Pins,
) -> Result<mesh::Open<mesh::BoxStream>, mesh::HandshakeError> {
    let limits = Arc::new(mesh::Limits::default());
    connect_by_key(Box::new(stream), "recorded".to_owned(), pair, pins, limits).await
}

/// Passes on what is said, and keeps it.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> Vec<u8> {
    let (mut copied, mut bytes) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let read = bytes.get(..read).unwrap();
        copied.extend_from_slice(read);
        if to.write_all(read).await.is_err() {
            break;
        }
    }
    let _closed = to.shutdown().await;
    copied
}

#[tokio::test]
async fn a_recorded_connection_is_of_no_use_to_whoever_plays_it_again() {
    let recorded = Recorded::new().await;
    // What the cluster said, and what the region said itself.
    for said in [&recorded.of_cluster, &recorded.of_region] {
        for _ in 0..TIMES {
            let mut again = TcpStream::connect(recorded.region.address()).await.unwrap();
            let _cut_off = again.write_all(said).await;
            let mut answer = Vec::new();
            let _end = timeout(SOON, again.read_to_end(&mut answer)).await.expect("it hangs up");
        }
    }
    recorded.assert_nothing_was_done_again();
}

#[tokio::test]
async fn a_cluster_does_not_take_a_recorded_region_nor_its_own_words_for_the_region() {
    let recorded = Recorded::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for round in 0..2 * TIMES {
        let playing = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            if round % 2 == 0 {
                let _cut_off = stream.write_all(&recorded.of_region).await;
                let mut said = Vec::new();
                let _end = stream.read_to_end(&mut said).await;
            } else {
                let (from, to) = stream.into_split();
                copy(from, to).await;
            }
        };
        let dialling = async {
            let stream = TcpStream::connect(address).await.unwrap();
            let pins = Pins::new([recorded.region.key().unwrap()]);
            open(stream, &recorded.me.pair, pins).await.map(drop)
        };
        let both = async { tokio::join!(playing, dialling) };
        let ((), refused) = timeout(SOON, both).await.expect("it hangs up");
        assert!(refused.is_err(), "round {round}");
    }
    recorded.assert_nothing_was_done_again();
}

#[tokio::test]
async fn a_region_resumes_nothing_and_takes_no_early_data() {
    let world = World::new();
    let region = world.region().await;
    let me = member(&region).await;
    // It keeps whatever tickets it is given, as clients do.
    let mut config = client(true, Shows::Key(&me.pair), &TLS13);
    config.enable_early_data = true;
    let connector = TlsConnector::from(Arc::new(config));
    for _ in 0..3 {
        let stream = TcpStream::connect(region.address()).await.unwrap();
        let name = ServerName::try_from("region.example").unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        stream.write_all(b"\0\x04_ask\0\x011\0\x08_command\0\x06WhoAmI\0\0").await.unwrap();
        // Tickets would stand before the first word.
        timeout(SOON, stream.read_u8()).await.expect("it speaks").unwrap();
        let tls = stream.get_ref().1;
        assert_eq!(tls.handshake_kind(), Some(HandshakeKind::Full));
        // Early data takes a ticket, and so does resuming.
        assert_eq!(tls.tls13_tickets_received(), 0);
    }
}

#[tokio::test]
async fn a_cluster_resumes_nothing_and_sends_no_early_data() {
    let world = World::new();
    let pair = KeyPair::generate();
    let region = world.region_builder().key_pair(pair.clone()).start().await.unwrap();
    let mut me = member(&region).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    me.membership.addresses = vec![listener.local_addr().unwrap().to_string()];
    let cluster = world.cluster_builder(&me).backoff(quickly()).start().await.unwrap();
    // A region that gives out tickets, and would take early data.
    let mut config = server(true, Shows::Key(&pair), &TLS13);
    config.max_early_data_size = 1024;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    for _ in 0..3 {
        let (stream, _) = timeout(SOON, listener.accept()).await.expect("it comes").unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        timeout(SOON, stream.read_u8()).await.expect("it speaks").unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        assert!(stream.get_mut().1.early_data().is_none());
        // It reads to the end, and with that the tickets.
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _end = timeout(SOON, stream.read_to_end(&mut rest)).await.expect("it hangs up");
    }
    cluster.shutdown().await;
}
