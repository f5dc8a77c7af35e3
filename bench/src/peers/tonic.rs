//! tonic, gRPC over HTTP/2, with its defaults and without TLS.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use super::pump::listener;
use crate::child::say;
use crate::figures::Figures;
use crate::job::{Far, Job, Said, Work};
use crate::scenarios::broadcast::{self, Hub};
use crate::scenarios::connections::open_by;
use crate::scenarios::stream::{ITEM_TEXT, Tap, measure};
use crate::scenarios::{Caller, Dialer, LARGE_BYTES, TEXTS, TOTAL, measure_calls};

mod generated {
    include!(concat!(env!("OUT_DIR"), "/ampmesh.bench.Bench.rs"));
}
use generated::bench_client::BenchClient;
use generated::bench_server::{Bench, BenchServer};

/// The strings of a small call, and of a broadcast.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Pair {
    #[prost(string, tag = "1")]
    first: String,
    #[prost(string, tag = "2")]
    second: String,
}

/// The answer to either.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Sum {
    #[prost(int64, tag = "1")]
    total: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Value {
    #[prost(bytes = "bytes", tag = "1")]
    value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Upto {
    #[prost(uint64, tag = "1")]
    to: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Item {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(string, tag = "2")]
    text: String,
}

/// So many commands to one member may wait.
const WAITING_MAX: usize = 4;
/// So many answers of a broadcast may wait to be counted.
const ANSWERS_MAX: usize = 8192;

fn pair() -> Pair {
    let [first, second] = TEXTS.map(str::to_owned);
    Pair { first, second }
}

fn sum_of(pair: &Pair) -> Sum {
    let total = pair.first.len() + pair.second.len();
    Sum { total: i64::try_from(total).unwrap_or(i64::MAX) }
}

type Members = Arc<Mutex<Vec<mpsc::Sender<Result<Pair, Status>>>>>;
type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

struct Desk {
    members: Members,
    answers: mpsc::Sender<Sum>,
}

#[tonic::async_trait]
impl Bench for Desk {
    type CountStream = Outgoing<Item>;
    type AttendStream = ReceiverStream<Result<Pair, Status>>;

    async fn small(&self, request: Request<Pair>) -> Result<Response<Sum>, Status> {
        Ok(Response::new(sum_of(request.get_ref())))
    }

    async fn echo(&self, request: Request<Value>) -> Result<Response<Value>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn count(&self, request: Request<Upto>) -> Result<Response<Self::CountStream>, Status> {
        let items = stream::iter(0..request.get_ref().to);
        let items = items.map(|number| Ok(Item { number, text: ITEM_TEXT.to_owned() }));
        Ok(Response::new(Box::pin(items)))
    }

    async fn attend(
        &self,
        request: Request<Streaming<Sum>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        let (tell, told) = mpsc::channel(WAITING_MAX);
        self.members.lock().unwrap_or_else(PoisonError::into_inner).push(tell);
        let (mut sums, answers) = (request.into_inner(), self.answers.clone());
        tokio::spawn(async move {
            while let Some(Ok(sum)) = sums.next().await {
                if answers.send(sum).await.is_err() {
                    break;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(told)))
    }
}

pub(crate) async fn listen(job: &Job) -> Result<()> {
    let listener = listener()?;
    let far = Far::at(listener.local_addr()?.to_string());
    let pids = far.pids.clone();
    let (answers, answered) = mpsc::channel(ANSWERS_MAX);
    let members = Members::default();
    let desk = Desk { members: Arc::clone(&members), answers };
    let streams = TcpListenerStream::new(listener).inspect(|stream| {
        if let Ok(stream) = stream
            && let Err(error) = stream.set_nodelay(true)
        {
            eprintln!("A connection is slow: {error}");
        }
    });
    let server = Server::builder().add_service(BenchServer::new(desk));
    let serving = server.serve_with_incoming(streams);
    say(&Said::Ready(far))?;
    let Work::Broadcast { members: count } = job.work else {
        return Ok(serving.await?);
    };
    let mut hub = Attending { members, answered };
    tokio::select! {
        served = serving => Ok(served?),
        figures = broadcast::measure(job.seconds, count, &pids, &mut hub) => {
            say(&Said::Figures(figures?))
        }
    }
}

struct Attending {
    members: Members,
    answered: mpsc::Receiver<Sum>,
}

impl Hub for Attending {
    fn members(&mut self) -> usize {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn broadcast(&mut self) -> Result<usize> {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for member in &members {
            member.send(Ok(pair())).await.context("a member left")?;
        }
        for _ in &members {
            let sum = self.answered.recv().await.context("nobody answers")?;
            ensure!(sum.total == TOTAL, "a wrong total");
        }
        Ok(members.len())
    }
}

pub(crate) async fn connect(job: &Job, far: &Far) -> Result<Figures> {
    let dialer = TonicDialer(format!("http://{}", far.address).into());
    match job.work {
        Work::Stream => {
            let mut client = dialer.dial(0).await?;
            let items = client.count(Upto { to: u64::MAX }).await?.into_inner();
            measure(job.seconds, &far.pids, TonicTap { _client: client, items }).await
        }
        Work::Broadcast { members } => {
            let mut tasks = JoinSet::new();
            let dial = |number| {
                let dialer = dialer.clone();
                async move { dialer.dial(number).await }
            };
            for client in open_by(0..members, dial).await? {
                tasks.spawn(attend(client));
            }
            tasks.join_next().await.context("nobody to answer")??;
            anyhow::bail!("a member left")
        }
        _ => measure_calls(job, far, dialer).await,
    }
}

/// Answers every command of a broadcast.
async fn attend(mut client: BenchClient<Channel>) {
    let (answer, answers) = mpsc::channel(WAITING_MAX);
    let attending = client.attend(ReceiverStream::new(answers)).await;
    let mut commands = match attending {
        Ok(attending) => attending.into_inner(),
        Err(error) => return eprintln!("A member is not let in: {error}"),
    };
    while let Some(Ok(pair)) = commands.next().await {
        if answer.send(sum_of(&pair)).await.is_err() {
            break;
        }
    }
}

struct TonicTap {
    _client: BenchClient<Channel>,
    items: Streaming<Item>,
}

impl Tap for TonicTap {
    async fn next(&mut self) -> Result<u64> {
        let item = self.items.next().await.transpose()?;
        Ok(item.map_or(0, |item| u64::from(item.text.len() == ITEM_TEXT.len())))
    }
}

#[derive(Clone)]
struct TonicDialer(Arc<str>);

impl Dialer for TonicDialer {
    type Caller = BenchClient<Channel>;

    async fn dial(&self, _number: usize) -> Result<Self::Caller> {
        let channel = Endpoint::from_shared(self.0.to_string())?.connect().await?;
        Ok(BenchClient::new(channel))
    }
}

impl Caller for BenchClient<Channel> {
    async fn small(&self) -> Result<()> {
        let answer = Self::small(&mut self.clone(), pair()).await?;
        ensure!(answer.get_ref().total == TOTAL, "a wrong total");
        Ok(())
    }

    async fn echo(&self, value: &Bytes) -> Result<()> {
        let value = Value { value: value.clone() };
        let answer = Self::echo(&mut self.clone(), value).await?;
        ensure!(answer.get_ref().value.len() == LARGE_BYTES, "a wrong value");
        Ok(())
    }
}
