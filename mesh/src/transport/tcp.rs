//! TCP: dual-stack, without delay.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

use super::{BoxStream, Listen, Listener, Transport};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// How long an address has to itself before the next is tried beside it: RFC 8305, section 5.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// How many addresses of one name are tried; the others are left out. The last one's turn comes
/// after 7 × 250 ms, so a second is left for it where a cluster gives all of them its default 3 s.
const ADDRESSES_MAX: usize = 8;

/// How many bytes the operating system takes of a stream beyond those that are on their way. Left
/// to itself it takes four megabytes for a peer that reads nothing, which is the memory of
/// everybody, and lets what is urgent wait behind all of it. On its way may be as much as the way
/// holds.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 128 * 1024;
/// After how long without a packet the system asks whether the peer's is still there. With
/// [`UNACKNOWLEDGED_MAX`] this ends the connections of a machine that is gone, or of a network that
/// passes nothing on, within ten seconds: idle ones at the latest after a `Ping`, so
/// [`ping_after`](amp_proto::Limits::ping_after) of 5 s and 4 s more. A process that hangs on a
/// machine that runs is found by its silence alone, within `dead_after`.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(2);
/// How often it asks then.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(1);
/// How often it asks in vain, where there is no [`UNACKNOWLEDGED_MAX`].
const KEEPALIVES_MAX: u32 = 3;
/// How long what was sent may remain without an acknowledgement, or a full reader without taking a
/// byte, as the system sees it. Linux alone can be told.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(4);

/// Streams over TCP.
///
/// Nothing waits to be sent together with more, and a peer whose machine is gone is noticed within
/// ten seconds.
///
/// A name that stands for several addresses is tried at each of them, both families by turns: one
/// that does not answer does not keep a stream from the next (RFC 8305).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TcpTransport;

impl TcpTransport {
    /// The transport.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Transport for TcpTransport {
    async fn connect(&self, address: &str) -> io::Result<BoxStream> {
        let found: Vec<_> = tokio::net::lookup_host(address).await?.collect();
        let stream = first_of(by_turns(&found), TcpStream::connect).await?;
        prepare(&stream)?;
        Ok(Box::new(stream))
    }

    async fn listen(&self, listen: &Listen) -> io::Result<Box<dyn Listener>> {
        let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "the range of ports is empty");
        for port in listen.ports.clone() {
            match bind(listen.ip, port) {
                Ok(listener) => {
                    let address = listener.local_addr()?;
                    return Ok(Box::new(Tcp { listener, address }));
                }
                Err(error) => failed = error,
            }
        }
        let Listen { ip, ports } = listen;
        let (first, last) = (ports.start(), ports.end());
        let words = format!("no port from {first} to {last} can be had on {ip}: {failed}");
        Err(io::Error::new(failed.kind(), words))
    }
}

/// Sets what every stream has.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVES_MAX))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    Ok(())
}

/// The addresses to try, in their order but with the families by turns: a whole family may be
/// unreachable from here.
fn by_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_of_first = |other: &SocketAddr| {
        addresses.first().is_some_and(|first| first.is_ipv6() == other.is_ipv6())
    };
    let (first, second): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(is_of_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let turns = std::iter::from_fn(|| {
        let turn: Vec<_> = first.next().into_iter().chain(second.next()).collect();
        (!turn.is_empty()).then_some(turn)
    });
    turns.flatten().take(ADDRESSES_MAX).collect()
}

/// The first connection that comes about. An attempt begins when the one before it has failed, or
/// has taken [`NEXT_ADDRESS_AFTER`]; those that go on are dropped when one has won.
async fn first_of<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
    let mut addresses = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    loop {
        let next = addresses.next();
        let is_last = next.is_none();
        attempts.extend(next.map(&connect));
        let mut patience = pin!(tokio::time::sleep(NEXT_ADDRESS_AFTER));
        tokio::select! {
            // One of several that fails brings the next one's turn forward, too.
            ended = attempts.next() => match ended {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(error)) => failed = error,
                None => return Err(failed),
            },
            () = &mut patience, if !is_last => {}
        }
    }
}

fn bind(ip: IpAddr, port: u16) -> io::Result<TcpListener> {
    match listen_on(SocketAddr::new(ip, port)) {
        // A machine without IPv6 is reached by IPv4 alone.
        Err(error) if ip.is_ipv6() && ip.is_unspecified() && is_no_ipv6(&error) => {
            listen_on(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
        }
        bound => bound,
    }
}

fn is_no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[derive(Debug)]
struct Tcp {
    listener: TcpListener,
    address: SocketAddr,
}

#[async_trait]
impl Listener for Tcp {
    async fn accept(&mut self) -> io::Result<(BoxStream, String)> {
        let (stream, from) = self.listener.accept().await?;
        prepare(&stream)?;
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        Ok((Box::new(stream), from.to_string()))
    }

    fn address(&self) -> String {
        self.address.to_string()
    }

    fn reachable(&self, advertised: &[IpAddr]) -> Vec<String> {
        let port = self.address.port();
        let ips = match advertised {
            [] if self.address.ip().is_unspecified() => own_addresses(),
            [] => vec![self.address.ip()],
            advertised => advertised.to_vec(),
        };
        ips.into_iter().map(|ip| SocketAddr::new(ip, port).to_string()).collect()
    }
}

/// The addresses of this machine that others are likely to reach: those from which it would speak
/// to the world (nothing is sent to find out). The loopback address if there are none: then only
/// its own processes can be meant.
fn own_addresses() -> Vec<IpAddr> {
    let speaks_from = |bind: &str, to: &str| -> io::Result<IpAddr> {
        let socket = std::net::UdpSocket::bind(bind)?;
        socket.connect(to)?;
        Ok(socket.local_addr()?.ip())
    };
    // Addresses kept for documentation: they are routed like any other, and nobody has them.
    let found = [speaks_from("[::]:0", "[2001:db8::1]:9"), speaks_from("0.0.0.0:0", "192.0.2.1:9")];
    let addresses: Vec<IpAddr> = found.into_iter().flatten().collect();
    if addresses.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { addresses }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::net::Ipv6Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::Instant;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Nobody answers from the documentation's addresses, `192.0.2.9` refuses, and the others take
    /// half a second.
    async fn connect(address: SocketAddr) -> io::Result<SocketAddr> {
        match address.ip().to_string().as_str() {
            "192.0.2.9" => Err(io::ErrorKind::ConnectionRefused.into()),
            ip if ip.starts_with("192.0.2.") || ip.starts_with("2001:db8:") => pending().await,
            _ => {
                tokio::time::sleep(Duration::from_millis(500)).await;
                Ok(address)
            }
        }
    }

    #[test]
    fn the_families_take_turns_and_not_all_addresses_are_tried() {
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1", "10.0.0.2:1"]);
        let tried = addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"]);
        assert_eq!(by_turns(&given), tried);
        assert_eq!(by_turns(&addresses(&["10.0.0.1:1"; 100])).len(), ADDRESSES_MAX);
        assert_eq!(by_turns(&[]), []);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_leaves_time_for_the_others() {
        let begun = Instant::now();
        let silent = addresses(&["[2001:db8::1]:1", "192.0.2.1:1", "10.0.0.1:1", "10.0.0.2:1"]);
        let connected = first_of(silent.clone(), connect).await;
        assert_eq!(connected.unwrap(), silent[2]);
        assert_eq!(begun.elapsed(), Duration::from_millis(250 + 250 + 500));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_refuses_is_not_waited_for() {
        let begun = Instant::now();
        let refusing = addresses(&["192.0.2.9:1", "192.0.2.9:2", "10.0.0.1:1"]);
        assert_eq!(first_of(refusing.clone(), connect).await.unwrap(), refusing[2]);
        assert_eq!(begun.elapsed(), Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_may_still_win_while_others_are_tried() {
        let (begun, tries) = (Instant::now(), AtomicUsize::new(0));
        let slow = addresses(&["10.0.0.1:1", "192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"]);
        let counted = |address| {
            tries.fetch_add(1, Ordering::SeqCst);
            connect(address)
        };
        assert_eq!(first_of(slow.clone(), counted).await.unwrap(), slow[0]);
        assert_eq!(begun.elapsed(), Duration::from_millis(500));
        assert!(tries.load(Ordering::SeqCst) <= 3, "nobody is tried in vain");
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_refuse_the_last_reason_is_told() {
        let refused = first_of(addresses(&["192.0.2.9:1", "192.0.2.9:2"]), connect).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let nobody = first_of(Vec::new(), connect).await.unwrap_err();
        assert_eq!(nobody.to_string(), "the name stands for no address");
    }

    #[tokio::test]
    async fn every_interface_means_both_families() {
        let any = Listen { ip: Ipv6Addr::UNSPECIFIED.into(), ports: 0..=0 };
        let mut listener = TcpTransport.listen(&any).await.unwrap();
        let port = listener.address().rsplit(':').next().unwrap().to_owned();
        for host in ["127.0.0.1", "[::1]"] {
            let address = format!("{host}:{port}");
            let (connected, accepted) =
                tokio::join!(TcpTransport.connect(&address), listener.accept());
            assert!(connected.is_ok(), "{address}");
            let (_, from) = accepted.unwrap();
            assert!(from.starts_with(host), "{from} is not {host}");
        }
    }

    /// The operating system would take some megabytes otherwise.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn little_is_given_to_the_system_for_a_peer_that_does_not_read() {
        use tokio::io::AsyncWriteExt as _;

        const RECEIVE_BYTES: usize = 64 * 1024;
        let mut listener = TcpTransport.listen(&Listen::loopback()).await.unwrap();
        let silent = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        silent.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
        let address: SocketAddr = listener.address().parse().unwrap();
        silent.connect(&address.into()).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let (piece, mut taken) = (vec![7; 16 * 1024], 0);
        let patience = Duration::from_millis(500);
        while let Ok(written) = tokio::time::timeout(patience, stream.write(&piece)).await {
            taken += written.unwrap();
        }
        assert!((1..1024 * 1024).contains(&taken), "{taken} bytes were taken");
    }

    #[tokio::test]
    async fn the_system_looks_for_peers_that_say_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        for stream in [connected.unwrap(), accepted.unwrap().0] {
            prepare(&stream).unwrap();
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_EVERY);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVES_MAX);
            #[cfg(target_os = "linux")]
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED_MAX));
        }
    }

    #[tokio::test]
    async fn the_first_free_port_of_the_range_is_taken() {
        let first = TcpTransport.listen(&Listen::loopback()).await.unwrap();
        let taken: SocketAddr = first.address().parse().unwrap();
        let Some(next) = taken.port().checked_add(20) else { return };
        let range = Listen { ip: taken.ip(), ports: taken.port()..=next };
        let second = TcpTransport.listen(&range).await.unwrap();
        assert_ne!(second.address(), first.address());

        let only = Listen { ip: taken.ip(), ports: taken.port()..=taken.port() };
        let refused = TcpTransport.listen(&only).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(refused.to_string().contains(&taken.port().to_string()), "{refused}");
    }

    #[tokio::test]
    async fn others_are_told_addresses_that_they_can_dial() {
        let listener = TcpTransport.listen(&Listen { ports: 0..=0, ..Listen::default() }).await;
        let listener = listener.unwrap();
        for address in listener.reachable(&[]) {
            let address: SocketAddr = address.parse().unwrap();
            assert!(!address.ip().is_unspecified() && address.port() != 0, "{address}");
        }
        let advertised = listener.reachable(&["192.0.2.7".parse().unwrap()]);
        assert!(advertised.len() == 1 && advertised[0].starts_with("192.0.2.7:"));
    }
}
