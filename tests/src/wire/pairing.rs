//! Finds for each accepted stream the wire that its other end was opened with.
//!
//! A transport does not tell: streams in memory all come from `memory`. They are accepted in the
//! order in which they were opened, though, and those over TCP come from the address that the
//! opening side was bound to. The transports of `mesh` do the rest.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh::{BoxStream, Listen, Listener, MemoryTransport, TcpTransport, Transport as _};
use tokio::net::{TcpSocket, TcpStream};

use super::Medium;
use super::gate::Wire;

pub(super) enum Pairing {
    Memory(InMemory),
    Tcp(OverTcp),
}

impl Pairing {
    pub(super) fn new(medium: Medium) -> Self {
        match medium {
            Medium::Memory => Self::Memory(InMemory::default()),
            Medium::Tcp => Self::Tcp(OverTcp::default()),
        }
    }

    /// Opens a stream; [`Pairing::accepted`] gives `wire` for its other end.
    ///
    /// # Errors
    /// When nobody listens at the address.
    ///
    /// # Cancellation
    /// Dropping the future leaves nothing open.
    pub(super) async fn connect(
        &self,
        address: &str,
        wire: Option<Arc<Wire>>,
    ) -> io::Result<BoxStream> {
        match self {
            Self::Memory(memory) => memory.connect(address, wire).await,
            Self::Tcp(tcp) => tcp.connect(address, wire).await,
        }
    }

    /// Listens, in memory or on a port of the system's choice.
    ///
    /// # Errors
    /// When the system has no port to give.
    ///
    /// # Cancellation
    /// Dropping the future leaves nobody listening.
    pub(super) async fn listen(&self, listen: &Listen) -> io::Result<Box<dyn Listener>> {
        match self {
            Self::Memory(memory) => memory.listen(listen).await,
            Self::Tcp(_) => TcpTransport::new().listen(listen).await,
        }
    }

    /// The wire of the stream that was accepted at `listener`, if it has one.
    pub(super) fn accepted(&self, listener: &str, from: &str) -> Option<Arc<Wire>> {
        match self {
            Self::Memory(memory) => memory.expected().get_mut(listener)?.pop_front()?,
            Self::Tcp(tcp) => tcp.expected().remove(from),
        }
    }
}

#[derive(Default)]
pub(super) struct InMemory {
    transport: MemoryTransport,
    /// By listener, in the order of opening.
    expected: Mutex<HashMap<String, VecDeque<Option<Arc<Wire>>>>>,
    /// Held while a stream is opened, so that the order is the same on both sides.
    opening: tokio::sync::Mutex<()>,
}

impl InMemory {
    async fn connect(&self, address: &str, wire: Option<Arc<Wire>>) -> io::Result<BoxStream> {
        let _opening = self.opening.lock().await;
        self.expected().entry(address.to_owned()).or_default().push_back(wire);
        let mut unless_opened = Unless::new(|| {
            if let Some(expected) = self.expected().get_mut(address) {
                expected.pop_back();
            }
        });
        let stream = self.transport.connect(address).await?;
        unless_opened.disarm();
        Ok(stream)
    }

    async fn listen(&self, listen: &Listen) -> io::Result<Box<dyn Listener>> {
        let listener = self.transport.listen(listen).await?;
        // Who waited for an earlier listener at this address was turned away with it.
        self.expected().remove(&listener.address());
        Ok(listener)
    }

    fn expected(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Option<Arc<Wire>>>>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(super) struct OverTcp {
    /// By the address that the opening side is bound to.
    expected: Mutex<HashMap<String, Arc<Wire>>>,
}

impl OverTcp {
    async fn connect(&self, address: &str, wire: Option<Arc<Wire>>) -> io::Result<BoxStream> {
        let address: SocketAddr =
            address.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = match wire {
            Some(wire) => self.connect_wire(address, wire).await?,
            // Whoever binds has a port to itself for a while after its end, and there are not
            // enough of them for thousands of strangers.
            None => TcpStream::connect(address).await?,
        };
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }

    async fn connect_wire(&self, address: SocketAddr, wire: Arc<Wire>) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(address.ip(), 0))?;
        let from = socket.local_addr()?.to_string();
        self.expected().insert(from.clone(), wire);
        let mut unless_opened = Unless::new(|| {
            self.expected().remove(&from);
        });
        let stream = socket.connect(address).await?;
        unless_opened.disarm();
        drop(unless_opened);
        Ok(stream)
    }

    fn expected(&self) -> MutexGuard<'_, HashMap<String, Arc<Wire>>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cleans up after an attempt that failed, or was given up on the way.
struct Unless<F: FnMut()> {
    armed: bool,
    clean_up: F,
}

impl<F: FnMut()> Unless<F> {
    fn new(clean_up: F) -> Self {
        Self { armed: true, clean_up }
    }

    fn disarm(&mut self) {
        self.armed = false;
    }
}

impl<F: FnMut()> Drop for Unless<F> {
    fn drop(&mut self) {
        if self.armed {
            (self.clean_up)();
        }
    }
}
