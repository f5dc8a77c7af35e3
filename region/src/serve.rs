//! The tasks of a region process: accepting and admitting, and those of other modules.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{CallError, Cluster, Lost};
use mesh::commands::{Ident, Identify};
use mesh::{
    BoxStream, Client, First, HandshakeError, Link, Listener, MemoryPressure, Open, Received,
    Repeats, Services, chain, until,
};
use tokio::sync::OwnedSemaphorePermit;

use crate::admission::{Admission, AdmissionError, Admissions};
use crate::controller::{Inner, RegionController};
use crate::handshakes::{Connections, Handshakes, Turn, TurnedAway};
use crate::sparing::{Line, PERIOD};
use crate::{key_book, registrar, tell, twins};

/// How long to wait when there is no room for another connection, in the operating system or in the
/// memory budget. Fixed: the system does not tell when there is room, and to ask ten times a second
/// costs nothing.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Starts the tasks. All of them end when the controller stops.
pub(crate) fn start(
    controller: &RegionController,
    services: Services<RegionController>,
    listener: Box<dyn Listener>,
) {
    let inner = &controller.inner;
    let lifetime = &inner.process.lifetime;
    inner.process.watch_memory();
    lifetime.run_until_stopping(accept(Arc::clone(inner), listener));
    // This one ends by itself, after it has taken the region out of the registry.
    lifetime.run_until_aborted(registrar::announce(Arc::clone(inner)));
    lifetime.run_until_stopping(registrar::record_links(Arc::clone(inner)));
    lifetime.run_until_stopping(registrar::watch_regions(Arc::clone(inner)));
    lifetime.run_until_stopping(tell::tell_clusters(Arc::clone(inner)));
    lifetime.run_until_stopping(twins::watch(Arc::clone(inner)));
    if inner.process.key().is_some() {
        lifetime.run_until_stopping(key_book::follow(Arc::clone(inner)));
        lifetime.run_until_stopping(key_book::tell_clusters(Arc::clone(inner)));
        lifetime.run_until_stopping(key_book::end_those_without(Arc::clone(inner)));
    }
    services.start(lifetime, controller);
}

async fn accept(inner: Arc<Inner>, mut listener: Box<dyn Listener>) {
    let handshakes = Handshakes::new(inner.handshakes_max);
    let connections = Connections::new(inner.connections_max);
    let mut accepting = Repeats::new();
    let mut memory = inner.process.memory.changes();
    loop {
        let accepted = tokio::select! {
            biased;
            Ok(_) = memory.wait_for(|it| *it == MemoryPressure::Critical) => Err(no_memory()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                if let Some(failures) = accepting.worked() {
                    tracing::info!(failures, "connections can be accepted again");
                }
                match handshakes.enter(&from) {
                    Ok(turn) => {
                        let serving =
                            serve(Arc::clone(&inner), stream, from, turn, connections.clone());
                        inner.process.lifetime.run_to_its_end(serving);
                    }
                    Err(reason) => turn_away(&inner, &from, &reason),
                }
            }
            Err(error) if is_closed(&error) => return,
            Err(error) => {
                // One line for a while without descriptors or memory, not one for every attempt.
                let error = chain(&error).to_string();
                if accepting.failed(error.clone()) {
                    tracing::error!(error, "cannot accept connections");
                }
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

/// Why nobody is accepted while the process has nearly all the memory that it may have.
fn no_memory() -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, "nine tenths of the memory budget are used")
}

/// Whether a listener in memory is at its end. The operating system says the same words of one
/// connection that went away before it was accepted, with a number of its own.
fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotConnected && error.raw_os_error().is_none()
}

/// Tells the log of a peer that nothing is done for. Its stream is dropped.
fn turn_away(inner: &Arc<Inner>, from: &str, reason: &TurnedAway) {
    if may_warn(inner) {
        tracing::warn!(peer = from, %reason, "a peer was turned away");
    }
}

/// Whether a line about a stranger may be written. Those that may not are told of together.
pub(crate) fn may_warn(inner: &Arc<Inner>) -> bool {
    let line = inner.strangers.line();
    if line == Line::LeaveOutFirst {
        let of = Arc::clone(inner);
        inner.process.lifetime.run_until_aborted(async move {
            let stopping = of.process.lifetime.stopping();
            let _waited = stopping.run_until_cancelled(tokio::time::sleep(PERIOD)).await;
            let left_out = of.strangers.left_out();
            tracing::warn!(left_out, "more connections were refused or turned away");
        });
    }
    line == Line::Write
}

/// One connection, from its first byte to its last.
fn serve(
    inner: Arc<Inner>,
    stream: BoxStream,
    from: String,
    turn: Turn,
    connections: Connections,
) -> impl Future<Output = ()> + Send {
    // In a box: what it takes to begin is not kept for as long as the connection lasts.
    let beginning = Box::pin(begin(Arc::clone(&inner), stream, from, turn, connections));
    see_out(inner, beginning)
}

/// A connection, until it has ended.
async fn see_out<D: Future<Output = Lost> + Send + Unpin>(
    inner: Arc<Inner>,
    beginning: impl Future<Output = Option<Begun<D>>> + Send,
) {
    let Some(Begun { link, driving, _place }) = beginning.await else { return };
    let lost = match key_book::until_revoked(&inner, &link) {
        // What was done before the key was revoked is none of our business any more.
        Some(revoked) => until(revoked, driving).await,
        None => First::Done(driving.await),
    };
    if inner.process.lifetime.is_aborted() {
        return;
    }
    let cluster = link.ident().and_then(|ident| ident.parse().ok());
    if let Some(cluster) = &cluster {
        inner.pool.remove(cluster, &link);
    }
    let (peer, cluster) = (&link.peer().address, cluster.map(|cluster| cluster.to_string()));
    match lost {
        First::Done(Lost::PeerMisbehaved(error)) => {
            let error = chain(&error);
            tracing::warn!(peer, cluster, %error, "the peer broke the protocol: disconnected");
        }
        First::Done(lost) => {
            tracing::info!(peer, cluster, reason = %chain(&lost), "a connection ended");
        }
        First::Ended(()) => {
            tracing::warn!(peer, cluster, "a connection was ended: its key was revoked");
        }
    }
}

/// A connection on which we answer.
struct Begun<D> {
    link: Arc<Link>,
    /// What drives it.
    driving: D,
    /// Its place among the connections, for as long as it lasts.
    _place: OwnedSemaphorePermit,
}

/// Takes a stream through the handshake, and begins to answer on it. Nothing if it was refused, or
/// there was nothing more to do.
async fn begin(
    inner: Arc<Inner>,
    stream: BoxStream,
    from: String,
    turn: Turn,
    connections: Connections,
) -> Option<Begun<impl Future<Output = Lost> + Send + Unpin>> {
    let process = &inner.process;
    let opening = Box::pin(open(&inner, stream, &from));
    let opened = process.lifetime.stopping().run_until_cancelled(opening).await;
    drop(turn);
    let open = match opened? {
        Ok(open) => open?,
        Err(error) => {
            if may_warn(&inner) {
                tracing::warn!(peer = from, error = %chain(&error), "a connection was refused");
            }
            return None;
        }
    };
    let place = connections.enter();
    let _place = place.inspect_err(|reason| turn_away(&inner, &from, reason)).ok()?;
    let (link, driving) = process.drive(open);
    process.lifetime.run_until_aborted(admit(Arc::clone(&inner), Arc::clone(&link)));
    Some(Begun { link, driving, _place })
}

/// Takes a stream through the handshake. A cluster that joins is done with that.
async fn open(
    inner: &Arc<Inner>,
    stream: BoxStream,
    from: &str,
) -> Result<Option<Open<BoxStream>>, HandshakeError> {
    match inner.process.receive(stream, from.to_owned()).await? {
        Received::Open(open) => Ok(Some(open)),
        Received::Key(arrived) => Box::pin(key_book::greet(inner, arrived, from)).await,
        // There is no third way.
        _ => Ok(None),
    }
}

/// How long a peer that says to be somebody else's may take to register, and to be told so. Fixed:
/// it asks at once, or never.
const REGISTERED_WITHIN: Duration = Duration::from_secs(1);

/// Asks a peer that has proved itself who it is.
async fn admit(inner: Arc<Inner>, link: Arc<Link>) {
    let timeout = inner.process.limits.handshake_timeout;
    let peer = link.peer().address.clone();
    let client = Client::<Cluster>::new(Arc::clone(&link)).within(timeout);
    let asked = tokio::time::Instant::now();
    let (negotiated, identified) = tokio::join!(client.negotiate(), client.call(Identify));
    if let Err(error) = negotiated {
        tracing::debug!(peer, error = %chain(&error), "the peer did not negotiate");
    }
    match identified {
        Ok(Ident { ident, name, version }) => {
            link.set_round_trip(asked.elapsed());
            if inner.admission != Admission::Identity {
                return;
            }
            let Ok(cluster) = ident.parse() else {
                tracing::info!(peer, ident, "the peer's identity is no uuid: it has to register");
                return;
            };
            let admissions = Admissions::new(&inner.pool, &inner.book.known);
            if let Err(error) = admissions.admit_link(&link, cluster, name, version) {
                tracing::warn!(peer, error = %chain(&error), "a cluster was not admitted");
                if matches!(error, AdmissionError::BoundToKey { .. }) {
                    // It hears why when it registers, which closes the connection.
                    let _closed = tokio::time::timeout(REGISTERED_WITHIN, link.closed()).await;
                    link.close(Lost::ClosedHere);
                }
            }
        }
        Err(CallError::TimedOut { .. }) => {
            tracing::warn!(peer, "the peer did not say who it is in time");
            link.close(Lost::ClosedHere);
        }
        Err(error) => {
            tracing::debug!(peer, error = %chain(&error), "the peer does not say who it is")
        }
    }
}
