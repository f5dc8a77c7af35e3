//! Where streams come from. Only this module and its children know what lies under a connection.

mod memory;
mod tcp;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

pub use memory::MemoryTransport;
pub use tcp::TcpTransport;

/// Anything that carries bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// A [`Stream`] whose type is forgotten.
pub type BoxStream = Box<dyn Stream>;

impl fmt::Debug for dyn Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

/// How processes reach each other.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Opens a stream to `address`, such as `192.0.2.1:5250` or `region.example:5250`.
    ///
    /// # Errors
    /// When nothing answers there.
    async fn connect(&self, address: &str) -> io::Result<BoxStream>;

    /// Begins to listen.
    ///
    /// # Errors
    /// When the address cannot be had, or no port of the range is free.
    async fn listen(&self, listen: &Listen) -> io::Result<Box<dyn Listener>>;
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address; `::` takes IPv4 as well.
    pub ip: IpAddr,
    /// The first free port of these is taken. `0..=0` takes any.
    pub ports: RangeInclusive<u16>,
}

impl Listen {
    /// Any free port on the loopback interface.
    #[must_use]
    pub fn loopback() -> Self {
        Self { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), ports: 0..=0 }
    }
}

impl Default for Listen {
    /// Every interface, IPv6 and IPv4, on the first free port from 5250 to 5299.
    fn default() -> Self {
        Self { ip: IpAddr::V6(Ipv6Addr::UNSPECIFIED), ports: 5250..=5299 }
    }
}

impl From<std::net::SocketAddr> for Listen {
    fn from(address: std::net::SocketAddr) -> Self {
        Self { ip: address.ip(), ports: address.port()..=address.port() }
    }
}

/// Where streams arrive.
#[async_trait]
pub trait Listener: Send + Sync {
    /// Waits for the next stream, and where it comes from.
    ///
    /// # Errors
    /// When the operating system cannot give one now, such as for want of file descriptors. The
    /// listener goes on.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    async fn accept(&mut self) -> io::Result<(BoxStream, String)>;

    /// Where this listens, as others can dial it: the port is the one that was taken.
    fn address(&self) -> String;

    /// The addresses under which others may reach it, the best first.
    fn reachable(&self, advertised: &[IpAddr]) -> Vec<String>;
}
