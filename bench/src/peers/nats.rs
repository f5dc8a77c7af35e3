//! async-nats over a real nats-server: request and reply, and publishing. Payloads are as they are,
//! without any encoding.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::child::say;
use crate::figures::Figures;
use crate::job::{Far, Job, Said, Work};
use crate::scenarios::broadcast::{self, Hub};
use crate::scenarios::connections::open_by;
use crate::scenarios::stream::{ITEM_TEXT, Tap, measure};
use crate::scenarios::{Caller, Dialer, LARGE_BYTES, TEXTS, TOTAL, measure_calls};

const SMALL: &str = "small";
const ECHO: &str = "echo";
const COUNT: &str = "count";
const ATTEND: &str = "attend";
const JOINED: &str = "joined";

/// How many items are asked for at once; two such are on their way. The server forgets what a
/// reader is too slow for, so there has to be a bound.
const ITEMS_AT_ONCE: u64 = 10_000;
/// How long the server may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// The nats-server that `bench/setup` unpacks, or that is installed.
///
/// # Errors
/// When there is none.
pub(crate) fn server() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("NATS_SERVER") {
        return Ok(path.into());
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/nats/usr/sbin/nats-server");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&paths).map(|path| path.join("nats-server"));
    let found = std::iter::once(own).chain(installed).find(|path| path.exists());
    found.context("nats-server is missing: run bench/setup, or set NATS_SERVER")
}

/// Starts a server on a port of its own choice.
async fn start_server() -> Result<(Child, String)> {
    // Whatever becomes of this process, the kernel ends the server with it.
    let mut server = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(server()?)
        .args(["--addr", "127.0.0.1", "--port", "-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start nats-server with setpriv, of util-linux")?;
    let log = server.stderr.take().context("nats-server without a log")?;
    let mut lines = BufReader::new(log).lines();
    let listening = async {
        while let Some(line) = lines.next_line().await? {
            if let Some((_, address)) = line.split_once("Listening for client connections on ") {
                return anyhow::Ok(address.trim().to_owned());
            }
        }
        bail!("nats-server ended")
    };
    let address = timeout(LISTENS_WITHIN, listening).await.context("nats-server is silent")??;
    // It would stop if nobody read on.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((server, address))
}

pub(crate) async fn listen(job: &Job) -> Result<()> {
    let (server, address) = start_server().await?;
    let client = dial(&address).await?;
    let mut far = Far::at(address);
    far.pids.extend(server.id());
    let pids = far.pids.clone();
    if let Work::Broadcast { members } = job.work {
        let inbox = client.new_inbox();
        let answers = client.subscribe(inbox.clone()).await?;
        let joining = client.subscribe(JOINED).await?;
        client.flush().await?;
        say(&Said::Ready(far))?;
        let mut hub = Subject { client, inbox, answers, joining, members, joined: 0 };
        return say(&Said::Figures(
            broadcast::measure(job.seconds, members, &pids, &mut hub).await?,
        ));
    }
    let [mut small, mut echo, mut count] = [
        client.subscribe(SMALL).await?,
        client.subscribe(ECHO).await?,
        client.subscribe(COUNT).await?,
    ];
    client.flush().await?;
    say(&Said::Ready(far))?;
    loop {
        tokio::select! {
            Some(asked) = small.next() => {
                let reply = asked.reply.context("an ask without a subject for the answer")?;
                client.publish(reply, total_of(&asked.payload)).await?;
            }
            Some(asked) = echo.next() => {
                let reply = asked.reply.context("an ask without a subject for the answer")?;
                client.publish(reply, asked.payload).await?;
            }
            Some(asked) = count.next() => {
                let reply = asked.reply.context("an ask without a subject for the items")?;
                for number in 0..ITEMS_AT_ONCE {
                    client.publish(reply.clone(), item(number)).await?;
                }
            }
            else => bail!("nats-server is gone"),
        }
    }
}

fn total_of(texts: &[u8]) -> Bytes {
    let total = i64::try_from(texts.len()).unwrap_or(i64::MAX);
    Bytes::copy_from_slice(&total.to_be_bytes())
}

fn item(number: u64) -> Bytes {
    [&number.to_be_bytes(), ITEM_TEXT.as_bytes()].concat().into()
}

async fn dial(address: &str) -> Result<Client> {
    async_nats::connect(address).await.context("cannot connect to nats-server")
}

/// One subject that all members hear.
struct Subject {
    client: Client,
    inbox: String,
    answers: Subscriber,
    joining: Subscriber,
    members: usize,
    joined: usize,
}

impl Hub for Subject {
    fn members(&mut self) -> usize {
        while let Some(Some(_)) = futures_util::FutureExt::now_or_never(self.joining.next()) {
            self.joined += 1;
        }
        self.joined
    }

    async fn broadcast(&mut self) -> Result<usize> {
        let payload = Bytes::from(TEXTS.concat());
        self.client.publish_with_reply(ATTEND, self.inbox.clone(), payload).await?;
        for _ in 0..self.members {
            let answer = self.answers.next().await.context("nobody answers")?;
            ensure!(*answer.payload == TOTAL.to_be_bytes(), "a wrong total");
        }
        Ok(self.members)
    }
}

pub(crate) async fn connect(job: &Job, far: &Far) -> Result<Figures> {
    match job.work {
        Work::Stream => {
            let client = dial(&far.address).await?;
            let inbox = client.new_inbox();
            let items = client.subscribe(inbox.clone()).await?;
            let mut tap = NatsTap { client, inbox, items, due: 0 };
            tap.ask().await?;
            measure(job.seconds, &far.pids, tap).await
        }
        Work::Broadcast { members } => {
            let mut tasks = JoinSet::new();
            let dial = |_number| {
                let address = far.address.clone();
                async move { dial(&address).await }
            };
            for client in open_by(0..members, dial).await? {
                tasks.spawn(attend(client));
            }
            tasks.join_next().await.context("nobody to answer")???;
            bail!("a member left")
        }
        _ => measure_calls(job, far, NatsDialer(far.address.as_str().into())).await,
    }
}

/// Answers every command of a broadcast.
async fn attend(client: Client) -> Result<()> {
    let mut commands = client.subscribe(ATTEND).await?;
    client.flush().await?;
    client.publish(JOINED, Bytes::new()).await?;
    while let Some(command) = commands.next().await {
        let reply = command.reply.context("a command without a subject for the answer")?;
        client.publish(reply, total_of(&command.payload)).await?;
    }
    Ok(())
}

struct NatsTap {
    client: Client,
    inbox: String,
    items: Subscriber,
    /// How many were asked for and have not come.
    due: u64,
}

impl NatsTap {
    async fn ask(&mut self) -> Result<()> {
        while self.due <= ITEMS_AT_ONCE {
            self.client.publish_with_reply(COUNT, self.inbox.clone(), Bytes::new()).await?;
            self.due += ITEMS_AT_ONCE;
        }
        Ok(())
    }
}

impl Tap for NatsTap {
    async fn next(&mut self) -> Result<u64> {
        let item = self.items.next().await.context("nats-server is gone")?;
        ensure!(item.payload.len() == 8 + ITEM_TEXT.len(), "a wrong item");
        self.due -= 1;
        self.ask().await?;
        Ok(1)
    }
}

#[derive(Clone)]
struct NatsDialer(Arc<str>);

impl Dialer for NatsDialer {
    type Caller = Client;

    async fn dial(&self, _number: usize) -> Result<Client> {
        dial(&self.0).await
    }
}

impl Caller for Client {
    async fn small(&self) -> Result<()> {
        let answer = self.request(SMALL, Bytes::from(TEXTS.concat())).await?;
        ensure!(*answer.payload == TOTAL.to_be_bytes(), "a wrong total");
        Ok(())
    }

    async fn echo(&self, value: &Bytes) -> Result<()> {
        let answer = self.request(ECHO, value.clone()).await?;
        ensure!(answer.payload.len() == LARGE_BYTES, "a wrong value");
        Ok(())
    }
}
