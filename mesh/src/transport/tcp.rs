//! TCP: dual-stack, without delay.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use async_trait::async_trait;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::{BoxStream, Listen, Listener, Transport};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Streams over TCP.
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
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
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
        stream.set_nodelay(true)?;
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
    use std::net::Ipv6Addr;

    use super::*;

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
