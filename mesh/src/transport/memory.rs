//! Streams within one process, for tests.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{BoxStream, Listen, Listener, Transport};

/// How many bytes a stream takes before its reader has to read.
const STREAM_BYTES: usize = 64 * 1024;
/// How many streams may wait to be accepted.
const BACKLOG: usize = 1024;

/// A network of its own, shared by its clones. Addresses are `memory:1`, `memory:2`, …
#[derive(Clone, Debug, Default)]
pub struct MemoryTransport {
    network: Arc<Mutex<Network>>,
}

#[derive(Debug, Default)]
struct Network {
    listeners: HashMap<String, mpsc::Sender<(BoxStream, String)>>,
    next_port: u32,
}

impl MemoryTransport {
    /// A network on which nobody listens yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn connect(&self, address: &str) -> io::Result<BoxStream> {
        let listener = {
            let network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
            network.listeners.get(address).cloned()
        };
        let listener = listener.ok_or(io::ErrorKind::ConnectionRefused)?;
        let (near, far) = tokio::io::duplex(STREAM_BYTES);
        let arrived = listener.send((Box::new(far), "memory".to_owned())).await;
        arrived.map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(near))
    }

    async fn listen(&self, listen: &Listen) -> io::Result<Box<dyn Listener>> {
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let port = if *listen.ports.end() == 0 {
            network.next_port += 1;
            network.next_port
        } else {
            u32::from(*listen.ports.start())
        };
        let address = format!("memory:{port}");
        if network.listeners.get(&address).is_some_and(|listener| !listener.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (arrive, arrivals) = mpsc::channel(BACKLOG);
        network.listeners.insert(address.clone(), arrive);
        Ok(Box::new(Memory { arrivals, address }))
    }
}

#[derive(Debug)]
struct Memory {
    arrivals: mpsc::Receiver<(BoxStream, String)>,
    address: String,
}

#[async_trait]
impl Listener for Memory {
    async fn accept(&mut self) -> io::Result<(BoxStream, String)> {
        self.arrivals.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn address(&self) -> String {
        self.address.clone()
    }

    fn reachable(&self, _: &[IpAddr]) -> Vec<String> {
        vec![self.address.clone()]
    }
}
