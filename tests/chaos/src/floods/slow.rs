//! Connections that begin and do not go on.

use std::net::SocketAddr;
use std::time::Duration;

use mesh::Secret;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::raw::{RawPeer, box_of};

/// How far a connection gets.
#[derive(Clone, Copy, Debug)]
enum Until {
    Nothing,
    HalfABox,
    HalfAClientHello,
    OneByteASecond,
    HalfAHandshake,
}

const ALL: [Until; 5] = [
    Until::Nothing,
    Until::HalfABox,
    Until::HalfAClientHello,
    Until::OneByteASecond,
    Until::HalfAHandshake,
];

/// How long they are waited for.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// Within this time they begin, one after the other: what many in one instant cost is the cost of
/// accepting them, and not of what they do not do. It is less than the region waits for the first,
/// so that all of them are open together.
const BEGUN_WITHIN: Duration = Duration::from_secs(4);

/// What became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attacked {
    pub(crate) closed: usize,
    /// After [`CLOSED_WITHIN`].
    pub(crate) still_open: usize,
    /// How long the one was open that was closed last.
    pub(crate) slowest: Duration,
}

/// Begins so many of each kind, and waits for the end of all of them.
///
/// # Errors
/// The region cannot be reached.
pub(crate) async fn attack(
    address: SocketAddr,
    secret: &Secret,
    of_each: usize,
) -> anyhow::Result<Attacked> {
    let mut connections = JoinSet::new();
    let all = u32::try_from(of_each * ALL.len())?;
    for (number, until) in (0..all).zip(ALL.into_iter().cycle()) {
        let begins = Instant::now() + BEGUN_WITHIN * number / all;
        let secret = secret.clone();
        connections.spawn(async move {
            sleep_until(begins).await;
            begin(address, &secret, until).await
        });
    }
    let mut attacked = Attacked::default();
    while let Some(ended) = connections.join_next().await {
        match ended?? {
            Some(after) => {
                attacked.closed += 1;
                attacked.slowest = attacked.slowest.max(after);
            }
            None => attacked.still_open += 1,
        }
    }
    Ok(attacked)
}

/// Begins, and gives how long it took the region to close the connection, if it did in time.
async fn begin(
    address: SocketAddr,
    secret: &Secret,
    until: Until,
) -> anyhow::Result<Option<Duration>> {
    let mut peer = RawPeer::connect(address).await?;
    let begun = Instant::now();
    let over = async {
        // Of more than may prove themselves at once the last are turned away on the spot.
        if go_on(&mut peer, secret, until).await.is_ok() {
            peer.closed().await;
        }
    };
    let over = timeout(CLOSED_WITHIN, over).await;
    Ok(over.is_ok().then(|| begun.elapsed()))
}

/// Goes as far as that.
///
/// # Errors
/// The region has closed the connection.
async fn go_on(peer: &mut RawPeer, secret: &Secret, until: Until) -> anyhow::Result<()> {
    let ask = box_of(&[("_ask", b"1"), ("_command", b"Authenticate"), ("message", &[7; 500])]);
    let half = |bytes: &[u8]| bytes.get(..bytes.len() / 2).unwrap_or_default().to_vec();
    match until {
        Until::Nothing => {}
        Until::HalfABox => peer.stream.write_all(&half(&ask)).await?,
        Until::HalfAClientHello => {
            // The header of a record of 512 bytes, the header of a ClientHello, and some of it.
            let mut hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
            hello.extend([9; 200]);
            peer.stream.write_all(&hello).await?;
        }
        Until::OneByteASecond => {
            for byte in ask {
                peer.stream.write_all(&[byte]).await?;
                let closed = timeout(Duration::from_secs(1), peer.closed()).await;
                if closed.is_ok() {
                    break;
                }
            }
        }
        Until::HalfAHandshake => {
            let proof = peer.proof(secret).await?;
            peer.stream.write_all(&half(&proof)).await?;
        }
    }
    Ok(())
}
