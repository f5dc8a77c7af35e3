//! tarpc over TCP with bincode, as its own examples have it.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tarpc::server::{BaseChannel, Channel as _};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::tokio_util::codec::{Framed, LengthDelimitedCodec};
use tarpc::{client, context, serde_transport};
use tokio::net::TcpStream;

use super::pump::listener;
use crate::child::say;
use crate::figures::Figures;
use crate::job::{Far, Job, Said, Work};
use crate::scenarios::{Caller, Dialer, LARGE_BYTES, TEXTS, TOTAL, measure_calls};

#[tarpc::service]
trait Bench {
    async fn small(first: String, second: String) -> i64;
    async fn echo(value: Bytes) -> Bytes;
}

#[derive(Clone)]
struct Desk;

impl Bench for Desk {
    async fn small(self, _context: context::Context, first: String, second: String) -> i64 {
        i64::try_from(first.len() + second.len()).unwrap_or(i64::MAX)
    }

    async fn echo(self, _context: context::Context, value: Bytes) -> Bytes {
        value
    }
}

pub(crate) async fn listen() -> Result<()> {
    let listener = listener()?;
    say(&Said::Ready(Far::at(listener.local_addr()?.to_string())))?;
    loop {
        let (stream, _from) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let framed = Framed::new(stream, LengthDelimitedCodec::new());
        let channel = BaseChannel::with_defaults(serde_transport::new(framed, Bincode::default()));
        tokio::spawn(channel.execute(Desk.serve()).for_each(|answering| async move {
            tokio::spawn(answering);
        }));
    }
}

pub(crate) async fn connect(job: &Job, far: &Far) -> Result<Figures> {
    // So that as many calls are under way at once as the scenario says.
    let mut config = client::Config::default();
    if let Work::Calls { in_flight, .. } = job.work {
        config.pending_request_buffer = config.pending_request_buffer.max(in_flight);
    }
    measure_calls(job, far, TarpcDialer { address: far.address.as_str().into(), config }).await
}

#[derive(Clone)]
struct TarpcDialer {
    address: Arc<str>,
    config: client::Config,
}

impl Dialer for TarpcDialer {
    type Caller = BenchClient;

    async fn dial(&self, _number: usize) -> Result<BenchClient> {
        let stream = TcpStream::connect(&*self.address).await?;
        stream.set_nodelay(true)?;
        let framed = Framed::new(stream, LengthDelimitedCodec::new());
        let transport = serde_transport::new(framed, Bincode::default());
        Ok(BenchClient::new(self.config.clone(), transport).spawn())
    }
}

impl Caller for BenchClient {
    async fn small(&self) -> Result<()> {
        let [first, second] = TEXTS.map(str::to_owned);
        let total = Self::small(self, context::current(), first, second).await?;
        ensure!(total == TOTAL, "a wrong total");
        Ok(())
    }

    async fn echo(&self, value: &Bytes) -> Result<()> {
        let value = Self::echo(self, context::current(), value.clone()).await?;
        if value.len() != LARGE_BYTES {
            bail!("a wrong value");
        }
        Ok(())
    }
}
