//! A TCP proxy between two ends, of which connections can be reset, half closed and held up.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How many connections one proxy holds; further ones are closed.
const CONNECTIONS_MAX: usize = 4096;
/// Bytes that are copied at once.
const CHUNK_BYTES: usize = 32 * 1024;
/// How long connecting to the other end may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is done to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing: what comes is passed on.
    None,
    /// Both ends are sent RST.
    Reset,
    /// The end that connected is sent FIN; what it sends is passed on.
    CloseBack,
    /// The end that was connected to is sent FIN; what it sends is passed on.
    CloseThere,
    /// Nothing is passed on, and nothing is lost: a black hole, for as long as it lasts.
    Hold,
    /// Every chunk is passed on so much later.
    Delay(Duration),
}

/// A listener, and the connections through it. Dropped, it resets them.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    target: watch::Sender<SocketAddr>,
    open: Arc<Open>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Open {
    faults: Mutex<HashMap<u64, (SocketAddr, watch::Sender<Fault>)>>,
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (SocketAddr, watch::Sender<Fault>)>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Listens, and passes on to `target` what comes.
    ///
    /// # Errors
    /// The address is taken.
    pub(crate) async fn listen(at: SocketAddr, target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        let open = Arc::new(Open::default());
        let (target, leads_to) = watch::channel(target);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, leads_to, Arc::clone(&open)));
        Ok(Self { address, target, open, _tasks: tasks })
    }

    /// Leads new connections to somebody else. Those that are open stay with whom they have.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        self.target.send_replace(target);
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The connections that are open, by number, and from where they come; in the order of age.
    pub(crate) fn connections(&self) -> Vec<(u64, SocketAddr)> {
        let open = self.open.lock();
        let mut open: Vec<_> = open.iter().map(|(number, (from, _))| (*number, *from)).collect();
        open.sort_unstable();
        open
    }

    /// Does something to a connection. Tells whether it was still open.
    pub(crate) fn strike(&self, connection: u64, fault: Fault) -> bool {
        let open = self.open.lock();
        open.get(&connection).is_some_and(|(_, faults)| faults.send(fault).is_ok())
    }
}

async fn accept(listener: TcpListener, target: watch::Receiver<SocketAddr>, open: Arc<Open>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let accepted = loop {
            tokio::select! {
                accepted = listener.accept() => break accepted,
                Some(_) = connections.join_next() => {}
            }
        };
        let Ok((near, from)) = accepted else { return };
        if connections.len() >= CONNECTIONS_MAX {
            continue;
        }
        let (faults, fault) = watch::channel(Fault::None);
        open.lock().insert(number, (from, faults));
        let (open, target) = (Arc::clone(&open), *target.borrow());
        connections.spawn(async move {
            pass(near, target, fault).await;
            open.lock().remove(&number);
        });
    }
}

async fn pass(mut near: TcpStream, target: SocketAddr, fault: watch::Receiver<Fault>) {
    // A connection that nobody takes is refused as a system would.
    let Ok(Ok(mut far)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await else {
        let _set = near.set_zero_linger();
        return;
    };
    let _set = (near.set_nodelay(true), far.set_nodelay(true));
    let is_whole = {
        let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
        let there = copy(near_in, far_out, fault.clone(), Fault::CloseThere);
        let back = copy(far_in, near_out, fault.clone(), Fault::CloseBack);
        let copied = async { tokio::try_join!(there, back).is_ok() };
        tokio::select! {
            whole = copied => whole,
            () = struck(fault.clone(), |fault| fault == Fault::Reset) => false,
        }
    };
    if !is_whole {
        let _set = (near.set_zero_linger(), far.set_zero_linger());
    }
}

/// Waits until such a fault strikes. When nobody is left to strike, it waits for ever.
async fn struck(mut fault: watch::Receiver<Fault>, is_it: impl Fn(Fault) -> bool) {
    if fault.wait_for(|fault| is_it(*fault)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Copies one way, until its end, or until `closes` strikes; then the reader is told of the end.
async fn copy(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    fault: watch::Receiver<Fault>,
    closes: Fault,
) -> std::io::Result<()> {
    let mut bytes = vec![0; CHUNK_BYTES];
    loop {
        let read = tokio::select! {
            read = from.read(&mut bytes) => read?,
            () = struck(fault.clone(), |fault| fault == closes) => 0,
        };
        let chunk = bytes.get(..read).unwrap_or_default();
        if chunk.is_empty() {
            return to.shutdown().await;
        }
        struck(fault.clone(), |fault| fault != Fault::Hold).await;
        let fault = *fault.borrow();
        if let Fault::Delay(delay) = fault {
            sleep(delay).await;
        }
        to.write_all(chunk).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn through() -> (Proxy, TcpStream, TcpStream) {
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let target = TcpListener::bind(local).await.unwrap();
        let proxy = Proxy::listen(local, target.local_addr().unwrap()).await.unwrap();
        let near = TcpStream::connect(proxy.address()).await.unwrap();
        let (far, _) = target.accept().await.unwrap();
        (proxy, near, far)
    }

    async fn read(stream: &mut TcpStream, bytes: usize) -> std::io::Result<Vec<u8>> {
        let mut read = vec![0; bytes];
        timeout(PATIENCE, stream.read_exact(&mut read)).await.unwrap()?;
        Ok(read)
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_both_ways() {
        let (proxy, mut near, mut far) = through().await;
        near.write_all(b"there").await.unwrap();
        assert_eq!(read(&mut far, 5).await.unwrap(), b"there");
        far.write_all(b"back").await.unwrap();
        assert_eq!(read(&mut near, 4).await.unwrap(), b"back");
        assert_eq!(proxy.connections().len(), 1);
    }

    #[tokio::test]
    async fn a_reset_reaches_both_ends() {
        let (proxy, mut near, mut far) = through().await;
        let (number, from) = proxy.connections()[0];
        assert_eq!(from, near.local_addr().unwrap());
        assert!(proxy.strike(number, Fault::Reset));
        for end in [&mut near, &mut far] {
            assert_eq!(read(end, 1).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    }

    #[tokio::test]
    async fn one_side_can_be_closed_while_the_other_goes_on() {
        let (proxy, mut near, mut far) = through().await;
        let (number, _) = proxy.connections()[0];
        assert!(proxy.strike(number, Fault::CloseThere));
        assert_eq!(read(&mut far, 1).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        far.write_all(b"last words").await.unwrap();
        assert_eq!(read(&mut near, 10).await.unwrap(), b"last words");
    }

    #[tokio::test]
    async fn what_is_held_up_comes_in_the_end() {
        let (proxy, mut near, mut far) = through().await;
        let (number, _) = proxy.connections()[0];
        assert!(proxy.strike(number, Fault::Hold));
        near.write_all(b"late").await.unwrap();
        let nothing = timeout(Duration::from_millis(50), far.peek(&mut [0])).await;
        assert!(nothing.is_err(), "it went through");
        assert!(proxy.strike(number, Fault::Delay(Duration::from_millis(1))));
        assert_eq!(read(&mut far, 4).await.unwrap(), b"late");
    }
}
