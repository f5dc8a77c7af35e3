//! The tasks of a region process: accepting and admitting, and those of other modules.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{CallError, Cluster, Lost, RoleName};
use mesh::commands::{Ident, Identify};
use mesh::{BoxStream, Client, Handshaking, Link, Listener, drive_until_stopped};

use crate::admission::{Admission, Admissions};
use crate::builder::Service;
use crate::controller::{Inner, RegionController};
use crate::handshakes::{Handshakes, Turn};
use crate::sparing::{Line, PERIOD};
use crate::{registrar, tell};

/// How long to wait when the operating system has no room for another connection.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Starts the tasks. All of them end when the controller stops.
pub(crate) fn start(
    controller: &RegionController,
    services: Vec<Service>,
    listener: Box<dyn Listener>,
) {
    let inner = &controller.inner;
    spawn(inner, accept(Arc::clone(inner), listener));
    // This one ends by itself, after it has taken the region out of the registry.
    let (aborting, announcing) = (inner.aborting.clone(), registrar::announce(Arc::clone(inner)));
    inner.tasks.spawn(async move { aborting.run_until_cancelled(announcing).await });
    spawn(inner, registrar::record_links(Arc::clone(inner)));
    spawn(inner, registrar::watch_regions(Arc::clone(inner)));
    spawn(inner, tell::tell_clusters(Arc::clone(inner)));
    for service in services {
        spawn(inner, service(controller.clone()));
    }
}

/// Runs a task until the region stops.
fn spawn(inner: &Arc<Inner>, task: impl Future<Output = ()> + Send + 'static) {
    let stopping = inner.stopping.clone();
    inner.tasks.spawn(async move { stopping.run_until_cancelled(task).await });
}

async fn accept(inner: Arc<Inner>, mut listener: Box<dyn Listener>) {
    let handshakes = Handshakes::default();
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                failing = false;
                let Some(turn) = handshakes.enter(&from) else {
                    if may_warn(&inner) {
                        tracing::warn!(peer = from, "too many handshakes at once: turned away");
                    }
                    continue;
                };
                let aborting = inner.aborting.clone();
                let serving = serve(Arc::clone(&inner), stream, from, turn);
                inner.tasks.spawn(async move { aborting.run_until_cancelled(serving).await });
            }
            Err(error) if is_closed(&error) => return,
            Err(error) => {
                // One line for a while without file descriptors, not one for every attempt.
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "cannot accept connections");
                }
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            }
        }
    }
}

/// Whether a listener in memory is at its end. The operating system says the same words of one
/// connection that went away before it was accepted, with a number of its own.
fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotConnected && error.raw_os_error().is_none()
}

/// Whether a line about a stranger may be written. Those that may not are told of together.
fn may_warn(inner: &Arc<Inner>) -> bool {
    let line = inner.strangers.line();
    if line == Line::LeaveOutFirst {
        let of = Arc::clone(inner);
        inner.tasks.spawn(async move {
            let _waited = of.stopping.run_until_cancelled(tokio::time::sleep(PERIOD)).await;
            let left_out = of.strangers.left_out();
            tracing::warn!(left_out, "more connections were refused or turned away");
        });
    }
    line == Line::Write
}

/// One connection, from its first byte to its last.
async fn serve(inner: Arc<Inner>, stream: BoxStream, from: String, turn: Turn) {
    let limits = Arc::new(inner.settings.limits.clone());
    let handshaking = Handshaking::new(stream, RoleName::Cluster, from.clone(), limits);
    let authenticating = Box::pin(handshaking.authenticate(&inner.running.secret));
    let opened = inner.stopping.run_until_cancelled(authenticating).await;
    drop(turn);
    let open = match opened {
        Some(Ok(open)) => open,
        Some(Err(error)) => {
            if may_warn(&inner) {
                tracing::warn!(peer = from, %error, "a connection was refused");
            }
            return;
        }
        None => return,
    };
    let (link, driving) = open.drive(Arc::clone(&inner.running.responders));
    let aborting = inner.aborting.clone();
    let admitting = admit(Arc::clone(&inner), Arc::clone(&link));
    inner.tasks.spawn(async move { aborting.run_until_cancelled(admitting).await });
    let lost = drive_until_stopped(Arc::clone(&link), driving, &inner.stopping).await;
    let cluster = link.ident().and_then(|ident| ident.parse().ok());
    if let Some(cluster) = &cluster {
        inner.settings.pool.remove(cluster, &link);
    }
    let cluster = cluster.map(|cluster| cluster.to_string());
    tracing::info!(peer = from, cluster, reason = %lost, "a connection ended");
}

/// Asks a peer that has proved itself who it is.
async fn admit(inner: Arc<Inner>, link: Arc<Link>) {
    let timeout = inner.settings.limits.handshake_timeout;
    let peer = link.peer().address.clone();
    let client = Client::<Cluster>::new(Arc::clone(&link)).within(timeout);
    let asked = tokio::time::Instant::now();
    let (negotiated, identified) = tokio::join!(client.negotiate(), client.call(Identify));
    if let Err(error) = negotiated {
        tracing::debug!(peer, %error, "the peer did not negotiate");
    }
    match identified {
        Ok(Ident { ident, name, version }) => {
            link.set_round_trip(asked.elapsed());
            if inner.settings.admission != Admission::Identity {
                return;
            }
            let Ok(cluster) = ident.parse() else {
                tracing::info!(peer, ident, "the peer's identity is no uuid: it has to register");
                return;
            };
            let admissions = Admissions::new(&inner.settings.pool);
            if let Err(error) = admissions.admit_link(&link, cluster, name, version) {
                tracing::warn!(peer, %error, "a cluster was not admitted");
            }
        }
        Err(CallError::TimedOut { .. }) => {
            tracing::warn!(peer, "the peer did not say who it is in time");
            link.close(Lost::ClosedHere);
        }
        Err(error) => tracing::debug!(peer, %error, "the peer does not say who it is"),
    }
}
