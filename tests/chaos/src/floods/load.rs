//! Mixed load from one process to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use amp_proto::{AnsweredBy, CallError, Never, Role};
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use mesh::{CallId, Client, ClusterId};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Add, Drop, Mirror, Pipe, Sum};

/// How many small calls one process has under way.
const SMALL_AT_ONCE: u64 = 128;
/// Bytes of a large value: it goes in pieces.
const LARGE_BYTES: usize = 256 * 1024;
/// How many items flow through a stream each way, of 1,000 bytes.
const STREAM_ITEMS: usize = 100;

/// Who is called.
pub(crate) trait Source: Clone + Send + Sync + 'static {
    type Far: Role;
    fn client(&self) -> impl Future<Output = anyhow::Result<Client<Self::Far>>> + Send;
}

impl Source for cluster::ClusterController {
    type Far = amp_proto::Region;
    async fn client(&self) -> anyhow::Result<Client<amp_proto::Region>> {
        Ok(self.get_client().await?)
    }
}

/// A region process and the cluster that it calls.
#[derive(Clone)]
pub(crate) struct ToCluster(pub(crate) region::RegionController, pub(crate) ClusterId);

impl Source for ToCluster {
    type Far = amp_proto::Cluster;
    async fn client(&self) -> anyhow::Result<Client<amp_proto::Cluster>> {
        Ok(self.0.get_client_for(self.1).await?)
    }
}

/// Load that goes on until it is stopped.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) calls: AtomicU64,
    pub(crate) failed: AtomicU64,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Small,
    Large,
    Stream,
    Once,
}

impl Kind {
    /// How long to wait between two of them.
    const fn pause(self) -> Duration {
        match self {
            Self::Small => Duration::ZERO,
            Self::Large => Duration::from_millis(200),
            Self::Stream => Duration::from_millis(100),
            Self::Once => Duration::from_millis(20),
        }
    }
}

impl Load {
    /// Begins: small calls as fast as they go, and some of everything else.
    pub(crate) fn begin<S: Source>(self: &Arc<Self>, source: &S)
    where
        Add: AnsweredBy<S::Far>,
        Mirror: AnsweredBy<S::Far>,
        Pipe: AnsweredBy<S::Far>,
    {
        let small = std::iter::repeat_n(Kind::Small, usize::try_from(SMALL_AT_ONCE).unwrap_or(1));
        for (number, kind) in small.chain([Kind::Large, Kind::Stream, Kind::Once]).enumerate() {
            let (load, source) = (Arc::clone(self), source.clone());
            self.tasks.spawn(async move {
                let number = u64::try_from(number).unwrap_or_default();
                while !load.stop.is_cancelled() {
                    match load.some(&source, kind, number).await {
                        Ok(()) => {}
                        Err(error) => {
                            load.failed.fetch_add(1, Ordering::Relaxed);
                            tracing::error!(error = %format!("{error:#}"), ?kind, "a call failed");
                        }
                    }
                }
            });
        }
    }

    /// Stops, and waits for what is under way.
    pub(crate) async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn some<S: Source>(&self, source: &S, kind: Kind, number: u64) -> anyhow::Result<()>
    where
        Add: AnsweredBy<S::Far>,
        Mirror: AnsweredBy<S::Far>,
        Pipe: AnsweredBy<S::Far>,
    {
        let client = source.client().await?;
        // A connection that is gone is noticed by the call that fails for it.
        for turn in 0..1000 {
            if self.stop.is_cancelled() {
                break;
            }
            match kind {
                Kind::Small => {
                    let added = client.call(Add { left: number, right: turn }).await;
                    check(added, number + turn)?;
                }
                Kind::Once => {
                    let client = client.clone().once(CallId::generate());
                    let added = client.call(Add { left: number, right: turn }).await;
                    check(added, number + turn)?;
                }
                Kind::Large => {
                    let water = Bytes::from(vec![3; LARGE_BYTES]);
                    let Drop { water: back } = client.call(Mirror { water: water.clone() }).await?;
                    ensure!(back == water, "a large value came back as another");
                }
                Kind::Stream => pipe(&client).await?,
            }
            self.calls.fetch_add(1, Ordering::Relaxed);
            if !kind.pause().is_zero() {
                let _stopped = self.stop.run_until_cancelled(sleep(kind.pause())).await;
            }
        }
        Ok(())
    }
}

fn check(added: Result<Sum, CallError<Never>>, expected: u64) -> anyhow::Result<()> {
    let Sum { sum } = added.context("a small call")?;
    ensure!(sum == expected, "a call was given the answer to another");
    Ok(())
}

async fn pipe<R: Role>(client: &Client<R>) -> anyhow::Result<()>
where
    Pipe: AnsweredBy<R>,
{
    let mut stream = client.stream(Pipe)?;
    let mut sender = stream.sender();
    let sending = async move {
        for _ in 0..STREAM_ITEMS {
            sender.send(Drop { water: vec![5; 1000].into() }).await?;
        }
        anyhow::Ok(())
    };
    let receiving = async {
        let mut items = 0;
        while stream.next().await?.is_some() {
            items += 1;
        }
        ensure!(items == STREAM_ITEMS, "{items} items came back");
        Ok(())
    };
    let (sent, received) = tokio::join!(sending, receiving);
    sent.and(received)?;
    Ok(stream.finish().await?)
}
