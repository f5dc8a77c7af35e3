//! How many peers may be proving who they are at once, in all and from one address, and how many
//! connections there may be of those who have.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for handshakes.
#[derive(Clone, Debug)]
pub(crate) struct Handshakes {
    max: HandshakesMax,
    taken: Arc<Mutex<Taken>>,
}

/// How many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandshakesMax {
    /// In all; more peers are turned away until some are done.
    pub(crate) all: usize,
    /// For one remote address. For this machine there are as many as in all: whoever wants to harm
    /// it from there has other means.
    pub(crate) per_address: usize,
}

impl Default for HandshakesMax {
    fn default() -> Self {
        Self { all: 4096, per_address: 64 }
    }
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Turn {
    handshakes: Handshakes,
    remote: Option<IpAddr>,
}

/// Why a peer was turned away. The fault is in the settings, or somebody's who means harm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TurnedAway {
    /// So many peers are proving who they are. It goes by itself.
    #[error("{max} peers are proving who they are: see `handshakes_max`")]
    Handshakes { max: usize },
    /// So many of them are at that address. It goes by itself.
    #[error(
        "{max} of the peers at {ip} are proving who they are: see `handshakes_per_address_max`"
    )]
    HandshakesOfAddress { max: usize, ip: IpAddr },
    /// So many connections are open. If they belong there, allow more, or start another region
    /// process.
    #[error("{max} connections are open: see `connections_max`")]
    Connections { max: usize },
}

/// The places for connections of peers that have proved who they are.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    max: usize,
    free: Arc<Semaphore>,
}

impl Connections {
    /// How many there are where the settings do not say.
    pub(crate) const USUAL_MAX: usize = 10_000;

    pub(crate) fn new(max: usize) -> Self {
        Self { max, free: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))) }
    }

    /// A place, if there is one, for as long as it is held.
    pub(crate) fn enter(&self) -> Result<OwnedSemaphorePermit, TurnedAway> {
        let place = Arc::clone(&self.free).try_acquire_owned();
        place.map_err(|_| TurnedAway::Connections { max: self.max })
    }
}

impl Handshakes {
    pub(crate) fn new(max: HandshakesMax) -> Self {
        Self { max, taken: Arc::default() }
    }

    /// A place for a peer at `from`, if there is one.
    pub(crate) fn enter(&self, from: &str) -> Result<Turn, TurnedAway> {
        let remote = from.parse::<SocketAddr>().ok().map(|from| from.ip().to_canonical());
        let remote = remote.filter(|ip| !ip.is_loopback());
        let mut taken = self.taken();
        if taken.all >= self.max.all {
            return Err(TurnedAway::Handshakes { max: self.max.all });
        }
        if let Some(ip) = remote {
            let of_address = taken.by_address.entry(ip).or_default();
            if *of_address >= self.max.per_address {
                let max = self.max.per_address;
                return Err(TurnedAway::HandshakesOfAddress { max, ip });
            }
            *of_address += 1;
        }
        taken.all += 1;
        Ok(Turn { handshakes: self.clone(), remote })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.handshakes.taken();
        taken.all = taken.all.saturating_sub(1);
        let Some(ip) = self.remote else { return };
        if let Some(of_address) = taken.by_address.get_mut(&ip) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                taken.by_address.remove(&ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(handshakes: &Handshakes, ip: &str, peers: usize) -> Vec<Turn> {
        (0..peers)
            .filter_map(|peer| handshakes.enter(&format!("{ip}:{}", 1024 + peer)).ok())
            .collect()
    }

    #[test]
    fn one_remote_address_takes_no_more_than_its_share() {
        let handshakes = Handshakes::new(HandshakesMax::default());
        let mut greedy = crowd(&handshakes, "192.0.2.1", 100);
        assert_eq!(greedy.len(), 64);
        assert_eq!(crowd(&handshakes, "[::ffff:192.0.2.1]", 1).len(), 0, "the same in disguise");
        assert_eq!(crowd(&handshakes, "192.0.2.2", 1).len(), 1, "others have theirs");
        greedy.pop();
        assert_eq!(crowd(&handshakes, "192.0.2.1", 100).len(), 1);
        drop(greedy);
        assert!(handshakes.taken().by_address.is_empty());
    }

    #[test]
    fn this_machine_takes_as_much_as_there_is() {
        for local in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "memory"] {
            let handshakes = Handshakes::new(HandshakesMax::default());
            let crowd = crowd(&handshakes, local, 5000);
            assert_eq!(crowd.len(), 4096);
            let refused = handshakes.enter("192.0.2.1:1024").unwrap_err();
            assert_eq!(refused, TurnedAway::Handshakes { max: 4096 });
        }
    }

    #[test]
    fn there_are_as_many_as_the_settings_say() {
        let handshakes = Handshakes::new(HandshakesMax { all: 5, per_address: 3 });
        let _first = crowd(&handshakes, "192.0.2.1", 100);
        assert_eq!(handshakes.taken().all, 3);
        let refused = handshakes.enter("192.0.2.1:9").unwrap_err().to_string();
        assert!(refused.starts_with("3 of the peers at 192.0.2.1 "), "{refused}");
        assert_eq!(crowd(&handshakes, "192.0.2.2", 100).len(), 2);
    }

    #[test]
    fn a_place_for_a_connection_is_free_again_when_it_is_let_go_of() {
        let connections = Connections::new(2);
        let (first, _second) = (connections.enter().unwrap(), connections.enter().unwrap());
        assert_eq!(connections.enter().unwrap_err(), TurnedAway::Connections { max: 2 });
        drop(first);
        assert!(connections.enter().is_ok());
    }
}
