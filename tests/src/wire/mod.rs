//! The wires between the processes of a mesh: a transport whose streams obey the test.
//!
//! Every process gets a [`Wires`] of its own over one shared [`Switchboard`]. Both ends of each
//! stream look at the same [`Gate`] before they move a byte, so that a test can cut a link, or hold
//! everything on it, without either process noticing anything but what the bytes tell.

mod end;
mod gate;
mod pairing;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mesh::{BoxStream, Listen, Listener, Transport};
use tokio::sync::watch;

use self::end::WireEnd;
pub(crate) use self::gate::{Gate, Pause};
use self::pairing::Pairing;
use crate::transcript::{Log, Scribe};

/// A process of the mesh, by its place in the order in which it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Region(usize),
    Cluster(usize),
}

/// What lies under the wires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    Memory,
    Tcp,
}

/// Where all wires of a mesh come together.
pub(crate) struct Switchboard {
    pairing: Pairing,
    state: Mutex<State>,
    /// Counts changes that somebody may wait for.
    changed: watch::Sender<u64>,
    log: Arc<Log>,
}

#[derive(Default)]
struct State {
    gates: HashMap<(usize, usize), Arc<Gate>>,
    pauses: HashMap<Owner, Arc<Pause>>,
    /// Which region process listens, or last listened, at an address.
    listeners: HashMap<String, usize>,
}

impl Switchboard {
    pub(crate) fn new(medium: Medium, log: Arc<Log>) -> Arc<Self> {
        let (state, changed) = (Mutex::default(), watch::Sender::new(0));
        Arc::new(Self { pairing: Pairing::new(medium), state, changed, log })
    }

    /// The transport of one process.
    pub(crate) fn wires_of(self: &Arc<Self>, owner: Owner) -> Arc<Wires> {
        Arc::new(Wires { owner, board: Arc::clone(self) })
    }

    /// A stream that belongs to no process of the mesh.
    ///
    /// # Errors
    /// When nobody listens at the address.
    ///
    /// # Cancellation
    /// Dropping the future leaves nothing open.
    pub(crate) async fn dial(&self, address: &str) -> io::Result<BoxStream> {
        self.pairing.connect(address, None).await
    }

    pub(crate) fn gate(&self, region: usize, cluster: usize) -> Arc<Gate> {
        let mut state = self.state();
        let pauses =
            [Owner::Region(region), Owner::Cluster(cluster)].map(|owner| state.pause(owner));
        let gate = state.gates.entry((region, cluster));
        Arc::clone(gate.or_insert_with(|| Arc::new(Gate::new(pauses, self.changed.clone()))))
    }

    /// Holds or releases everything on the links of one process.
    pub(crate) fn set_paused(&self, owner: Owner, paused: bool) {
        let pause = self.state().pause(owner);
        pause.set(paused);
        let gates: Vec<_> = self.state().gates.values().map(Arc::clone).collect();
        gates.iter().for_each(|gate| gate.stir());
        self.stir();
    }

    /// Changes whenever something happened to a wire.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn stir(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    async fn wait_until(&self, ready: impl Fn() -> bool) {
        let mut changed = self.changes();
        while !ready() {
            // The sender lives in `self`, so this never fails.
            let _changed = changed.changed().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pause(&mut self, owner: Owner) -> Arc<Pause> {
        Arc::clone(self.pauses.entry(owner).or_default())
    }
}

/// The transport of one process.
pub(crate) struct Wires {
    owner: Owner,
    board: Arc<Switchboard>,
}

impl fmt::Debug for Wires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wires").field(&self.owner).finish()
    }
}

#[async_trait]
impl Transport for Wires {
    async fn connect(&self, address: &str) -> io::Result<BoxStream> {
        let region = self.board.state().listeners.get(address).copied();
        let (Some(region), Owner::Cluster(cluster)) = (region, self.owner) else {
            return self.board.dial(address).await;
        };
        let gate = self.board.gate(region, cluster);
        self.board.wait_until(|| gate.lets_dial()).await;
        let wire = gate.add_wire().ok_or(io::ErrorKind::HostUnreachable)?;
        let stream = self.board.pairing.connect(address, Some(Arc::clone(&wire))).await?;
        let scribe = Scribe::new(Arc::clone(&self.board.log), region, cluster);
        Ok(Box::new(WireEnd::near(stream, wire, scribe)))
    }

    async fn listen(&self, listen: &Listen) -> io::Result<Box<dyn Listener>> {
        let listener = self.board.pairing.listen(listen).await?;
        if let Owner::Region(region) = self.owner {
            let mut addresses = listener.reachable(&[]);
            addresses.push(listener.address());
            let mut state = self.board.state();
            state.listeners.extend(addresses.into_iter().map(|address| (address, region)));
        }
        let pause = self.board.state().pause(self.owner);
        Ok(Box::new(WireListener { listener, pause, board: Arc::clone(&self.board) }))
    }
}

struct WireListener {
    listener: Box<dyn Listener>,
    pause: Arc<Pause>,
    board: Arc<Switchboard>,
}

#[async_trait]
impl Listener for WireListener {
    async fn accept(&mut self) -> io::Result<(BoxStream, String)> {
        self.board.wait_until(|| !self.pause.is_set()).await;
        let (stream, from) = self.listener.accept().await?;
        match self.board.pairing.accepted(&self.listener.address(), &from) {
            Some(wire) => Ok((Box::new(WireEnd::far(stream, wire)), from)),
            None => Ok((stream, from)),
        }
    }

    fn address(&self) -> String {
        self.listener.address()
    }

    fn reachable(&self, advertised: &[IpAddr]) -> Vec<String> {
        self.listener.reachable(advertised)
    }
}
