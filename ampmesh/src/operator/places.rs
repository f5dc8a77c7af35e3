//! How many operators are served at once, and who has to go when another one comes.
//!
//! A connection on which nothing is asked costs next to nothing, but has a place. Whoever opened
//! as many as there are would keep everybody else out, so the newcomer gets the place of one at
//! which nothing is under way: of one that has never asked anything, if there is such a one, and
//! of the oldest of these. A call that is under way is never ended for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use amp_proto::Lost;
use mesh::Link;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How many operators are served at once. Further ones wait while all of them have calls under way.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// How long one that has to go may take to do so in good order, and after which it is looked again
/// whether somebody can.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The places of one region process.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
}

/// In the order in which they came.
#[derive(Debug, Default)]
struct Taken {
    last: u64,
    guests: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    link: Arc<Link>,
    /// Ends the connection where it stands.
    out: CancellationToken,
    /// Whether it was asked to go.
    is_asked: bool,
}

/// The place of one connection, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    out: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(connections_max: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(connections_max));
        Arc::new(Self { free, taken: Mutex::default() })
    }

    /// A place for this connection, once there is one.
    ///
    /// # Cancellation
    /// Somebody may have been sent away for nothing.
    pub(super) async fn take(self: &Arc<Self>, link: &Arc<Link>) -> Place {
        let permit = loop {
            let free = Arc::clone(&self.free);
            let waiting = match Arc::clone(&free).try_acquire_owned() {
                Ok(permit) => break permit,
                Err(_) => free.acquire_owned(),
            };
            self.send_one_away();
            if let Ok(Ok(permit)) = tokio::time::timeout(LOOK_AGAIN_AFTER, waiting).await {
                break permit;
            }
        };
        let out = CancellationToken::new();
        let mut taken = self.taken();
        taken.last += 1;
        let number = taken.last;
        let guest = Guest { link: Arc::clone(link), out: out.clone(), is_asked: false };
        taken.guests.insert(number, guest);
        Place { places: Arc::clone(self), number, out, _permit: permit }
    }

    /// Asks one to go with which nothing is under way, and puts out those that have never asked
    /// anything or were asked before: one that is silent does not answer our pings either, which
    /// would have to end first.
    fn send_one_away(&self) {
        let mut taken = self.taken();
        let idle = |guest: &Guest| guest.link.asks_answering() == 0;
        for guest in taken.guests.values().filter(|guest| guest.is_asked && idle(guest)) {
            guest.out.cancel();
        }
        let others = taken.guests.iter_mut().filter(|(_, guest)| !guest.is_asked && idle(guest));
        let first = others.min_by_key(|(number, guest)| (guest.link.was_asked(), **number));
        if let Some((_, guest)) = first {
            guest.is_asked = true;
            if guest.link.was_asked() {
                guest.link.drain(Lost::ClosedHere);
            } else {
                // It has nothing to lose. In a crowd of such, nobody has to wait for each of them.
                guest.out.cancel();
            }
            tracing::debug!("an operator who asks nothing makes room for another");
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Runs the connection until it ends, or has to.
    ///
    /// # Cancellation
    /// The connection is dropped where it stands.
    pub(super) async fn keep(&self, driving: impl Future<Output = ()>) {
        self.out.run_until_cancelled(driving).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use amp_proto::{Cluster, Limits, Never, Region, Responders, responders};
    use mesh::Client;
    use mesh::commands::{Ident, Identify, Ping};
    use tokio::sync::Notify;
    use tokio_util::task::TaskTracker;

    use super::*;

    /// Answers `Ping` at once, and `Identify` when it is told to.
    #[derive(Default)]
    struct Slow {
        begun: Notify,
        go_on: Notify,
    }

    #[responders]
    impl Slow {
        #[responder]
        async fn ping(&self, _: Ping) -> Result<(), Never> {
            Ok(())
        }

        #[responder]
        async fn identify(&self, _: Identify) -> Result<Ident, Never> {
            self.begun.notify_one();
            self.go_on.notified().await;
            Ok(Ident { ident: "north".to_owned(), name: None, version: None })
        }
    }

    /// A connection that has a place: the operator's end of it, and what became of it.
    async fn operator(places: &Arc<Places>, slow: &Arc<Slow>) -> (Client<Region>, Arc<Link>) {
        let (near, far) = tokio::io::duplex(4096);
        let mut answering = Responders::new();
        answering.add(Arc::clone(slow)).unwrap();
        let limits = Limits::default();
        let (here, driving) =
            mesh::connect_trusted::<Cluster, _>(near, Arc::new(answering), limits.clone());
        let place = places.take(here.link()).await;
        TaskTracker::new().spawn(async move {
            place.keep(Box::pin(async { drop(driving.await) })).await;
        });
        let nothing = Arc::new(Responders::new());
        let (there, driving) = mesh::connect_trusted::<Region, _>(far, nothing, limits);
        TaskTracker::new().spawn(driving);
        (there, Arc::clone(here.link()))
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_never_asked_makes_room_first_and_who_waits_for_an_answer_never() {
        let (places, slow) = (Places::new(3), Arc::new(Slow::default()));
        let (caller, its_link) = operator(&places, &slow).await;
        let call = TaskTracker::new().spawn(async move { caller.call(Identify).await });
        slow.begun.notified().await;
        let (pinger, pinging) = operator(&places, &slow).await;
        pinger.ping().await.unwrap();
        let (_silent, silence) = operator(&places, &slow).await;

        let (_fourth, another) = operator(&places, &slow).await;
        assert_eq!(silence.closed().await, Lost::ClosedHere);
        assert!(pinging.is_open() && another.is_open());
        // Nobody but the caller has a call under way: those who have asked are next.
        let (fifth, _) = operator(&places, &slow).await;
        fifth.ping().await.unwrap();
        let (_sixth, _) = operator(&places, &slow).await;
        assert_eq!(pinging.closed().await, Lost::ClosedHere);
        assert!(its_link.is_open());
        slow.go_on.notify_one();
        assert_eq!(call.await.unwrap().unwrap().ident, "north");
    }

    #[tokio::test(start_paused = true)]
    async fn while_every_place_has_a_call_under_way_the_next_one_waits() {
        let (places, slow) = (Places::new(1), Arc::new(Slow::default()));
        let (caller, _) = operator(&places, &slow).await;
        let call = TaskTracker::new().spawn(async move { caller.call(Identify).await });
        slow.begun.notified().await;
        let waiting = operator(&places, &slow);
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        assert!(waited.is_err());
        slow.go_on.notify_one();
        assert_eq!(call.await.unwrap().unwrap().ident, "north");
        operator(&places, &slow).await.0.ping().await.unwrap();
    }
}
