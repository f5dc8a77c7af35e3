//! Each takes bytes as a peer may send them, and panics when something is not as it should be.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use amp_proto::{
    AbsolutePath, AmpBox, Argument, Arguments, Cluster, Command, Compressed, DateTime, Decimal,
    Inbound, ItemSender, Items, Json, Limits, Never, ReceivedBox, Region, Responders, Role as _,
    RoleName, Value, responders,
};
use bytes::Bytes;
use mesh::commands::{Ident, Terms};
use mesh::{Common, Features, Handshaking, Secret, connect_trusted};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::{config, tokens};

/// What bytes can be tried on.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// [`boxes`].
    Boxes,
    /// [`arguments`].
    Arguments,
    /// [`config::config`].
    Config,
    /// [`tokens::tokens`].
    Tokens,
    /// [`connection`].
    Connection,
    /// [`handshake`].
    Handshake,
}

impl Target {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::Boxes,
        Self::Arguments,
        Self::Config,
        Self::Tokens,
        Self::Connection,
        Self::Handshake,
    ];

    /// Its name, also that of its corpus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boxes => "boxes",
            Self::Arguments => "arguments",
            Self::Config => "config",
            Self::Tokens => "tokens",
            Self::Connection => "connection",
            Self::Handshake => "handshake",
        }
    }

    /// Runs it.
    pub fn run(self, bytes: &[u8]) {
        match self {
            Self::Boxes => boxes(bytes),
            Self::Arguments => arguments(bytes),
            Self::Config => config::config(bytes),
            Self::Tokens => tokens::tokens(bytes),
            Self::Connection => connection(bytes),
            Self::Handshake => handshake(bytes),
        }
    }
}

fn small_limits() -> Limits {
    Limits {
        box_bytes_max: 16 * 1024,
        keys_per_box_max: 32,
        outbound_bytes_max: 64 * 1024,
        responders_running_max: 8,
        streams_max: 4,
        stream_window_bytes: 4096,
        large_bytes_max: 64 * 1024,
        ..Limits::default()
    }
}

/// Inputs of a kilobyte are long enough to go beyond these, and short enough to be quick.
fn smallest_limits() -> Limits {
    Limits { box_bytes_max: 512, keys_per_box_max: 8, ..small_limits() }
}

/// Boxes are the same in however many reads they come, and the same again when they are written
/// once more. The first byte says how long a read is.
pub fn boxes(bytes: &[u8]) {
    let Some((head, bytes)) = bytes.split_first() else { return };
    let whole = read_boxes(bytes, bytes.len().max(1));
    let cut = read_boxes(bytes, usize::from(*head).max(1));
    assert_eq!(whole, cut);
    let (received, _) = whole;
    let limits = smallest_limits();
    let mut rest = Bytes::copy_from_slice(bytes);
    for received in received {
        let (it, length) = AmpBox::decode(&rest, &limits).unwrap().unwrap();
        let here = rest.split_to(length);
        for (key, value) in received.fields().iter() {
            assert!(it.get(key).is_some(), "{key:?} {value:?}");
        }
        let written = it.to_bytes(&limits).unwrap();
        let again = AmpBox::decode(&written, &limits).unwrap().unwrap();
        assert_eq!(again, (it, written.len()));
        assert!(written.len() <= here.len());
    }
}

fn read_boxes(bytes: &[u8], read: usize) -> (Vec<ReceivedBox>, Option<String>) {
    let mut inbound = Inbound::new(Arc::new(smallest_limits()));
    let mut boxes = Vec::new();
    for piece in bytes.chunks(read) {
        inbound.room().extend_from_slice(piece);
        inbound.handle_read(piece.len());
        loop {
            match inbound.next_box() {
                Ok(Some(fields)) => boxes.push(fields.to_received()),
                Ok(None) => break,
                Err(error) => return (boxes, Some(error.to_string())),
            }
        }
        let buffer = inbound.rest();
        inbound.lend(buffer);
    }
    (boxes, None)
}

/// How many types [`arguments`] knows.
pub const ARGUMENT_TYPES: u8 = 17;

/// Whatever can be read can be written, and is the same when it is read again. The first byte says
/// as which type.
pub fn arguments(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % ARGUMENT_TYPES {
        0 => argument::<bool>(bytes),
        1 => argument::<i64>(bytes),
        2 => argument::<u128>(bytes),
        3 => argument::<num_bigint::BigInt>(bytes),
        4 => argument::<f64>(bytes),
        5 => argument::<String>(bytes),
        6 => argument::<Bytes>(bytes),
        7 => argument::<Decimal>(bytes),
        8 => argument::<DateTime>(bytes),
        9 => argument::<Vec<i32>>(bytes),
        10 => argument::<Vec<String>>(bytes),
        11 => argument::<AbsolutePath>(bytes),
        12 => argument::<Json<Vec<f64>>>(bytes),
        13 => argument::<Compressed<String>>(bytes),
        14 => argument::<url::Url>(bytes),
        15 => argument::<std::net::IpAddr>(bytes),
        _ => argument::<ipnet::IpNet>(bytes),
    }
}

fn argument<T: Argument + Debug>(bytes: &[u8]) {
    let limits = small_limits();
    let source = Bytes::copy_from_slice(bytes);
    let Ok(value) = T::decode(Value::new(&source, &limits)) else { return };
    let mut written = Vec::new();
    if value.encode(&mut written).is_err() {
        return;
    }
    let written = Bytes::from(written);
    let again = T::decode(Value::new(&written, &limits));
    let again = again.unwrap_or_else(|error| panic!("{value:?}: {error}"));
    let mut once_more = Vec::new();
    again.encode(&mut once_more).unwrap();
    assert_eq!(written, once_more, "{value:?} and {again:?}");
}

/// Give it back.
#[derive(Debug, Command)]
#[command(answered_by = any, response = Word)]
struct Echo {
    bytes: Bytes,
}

#[derive(Debug, PartialEq, Arguments)]
struct Word {
    bytes: Bytes,
}

/// Answer after a while.
#[derive(Debug, Command)]
#[command(answered_by = any)]
struct Wait;

/// Send words without end.
#[derive(Debug, Command)]
#[command(answered_by = any, answers = stream Word)]
struct Count;

/// Take words.
#[derive(Debug, Command)]
#[command(answered_by = any, takes = stream Word)]
struct Add;

struct Desk;

#[responders]
impl Desk {
    #[responder]
    async fn echo(&self, it: Echo) -> Result<Word, Never> {
        Ok(Word { bytes: it.bytes })
    }

    #[responder]
    async fn wait(&self, _: Wait) -> Result<(), Never> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    #[responder]
    async fn count(&self, _: Count, mut words: ItemSender<Word>) -> Result<(), Never> {
        while words.send(Word { bytes: Bytes::from_static(&[7; 500]) }).await.is_ok() {}
        Ok(())
    }

    #[responder]
    async fn add(&self, _: Add, mut words: Items<Word>) -> Result<(), Never> {
        while let Ok(Some(_)) = words.next().await {}
        Ok(())
    }
}

fn in_a_runtime(future: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(Box::pin(future));
}

fn desk() -> Arc<Responders> {
    let ident = Ident { ident: "desk".to_owned(), name: None, version: None };
    let mut responders = Responders::new();
    responders.add(Arc::new(Common::new(Region::NAME, ident, None))).unwrap();
    responders.add(Arc::new(Desk)).unwrap();
    Arc::new(responders)
}

/// A peer that is one of us goes mad: the connection answers or ends, every call of ours ends, and
/// what waits to be sent has its bound. The first byte says how the bytes are cut up.
pub fn connection(bytes: &[u8]) {
    let Some((head, bytes)) = bytes.split_first() else { return };
    in_a_runtime(async {
        let (mut far, near) = tokio::io::duplex(4096);
        let (client, driving) = connect_trusted::<Cluster, _>(near, desk(), small_limits());
        let peer = async {
            negotiate(&mut far).await;
            let (mut reader, mut writer) = tokio::io::split(far);
            let mut said = tokio::io::sink();
            let writing = async {
                for piece in bytes.chunks(usize::from(*head).max(1)) {
                    if writer.write_all(piece).await.is_err() {
                        break;
                    }
                }
                tokio::time::sleep(Duration::from_secs(3)).await;
                drop(writer.shutdown().await);
            };
            let reading = tokio::io::copy(&mut reader, &mut said);
            drop(tokio::join!(writing, reading));
        };
        let ours = async {
            // Tags 1, 2 and 3.
            drop(client.negotiate().await);
            let call = client.clone().within(Duration::from_secs(60));
            let streaming = async {
                let mut counting = client.stream(Count).ok()?;
                while let Ok(Some(_)) = counting.next().await {}
                Some(())
            };
            let word = Bytes::from_static(&[7; 40_000]);
            let calls = async { tokio::join!(call.call(Echo { bytes: word }), streaming) };
            drop(calls.await);
        };
        let all = async { tokio::join!(Box::pin(driving), Box::pin(peer), Box::pin(ours)) };
        let ended = tokio::time::timeout(Duration::from_secs(600), all).await;
        assert!(ended.is_ok(), "the connection or a call on it does not end");
    });
}

/// Answers the first ask, `Negotiate`, with terms that know everything.
async fn negotiate(far: &mut DuplexStream) {
    let mut ask = [0; 1024];
    drop(far.read(&mut ask).await);
    let limits = small_limits();
    let most = |limit: usize| u64::try_from(limit).unwrap();
    let terms = Terms {
        version: 1,
        features: Features::all().names().map(str::to_owned).collect(),
        box_bytes_max: most(limits.box_bytes_max),
        asks_in_flight_max: 8,
        stream_window_bytes: most(limits.stream_window_bytes),
        large_bytes_max: most(limits.large_bytes_max),
    };
    let mut answering = amp_proto::Connection::new(Arc::new(limits));
    answering.answer(Some(b"1"), &terms).unwrap();
    drop(far.write_all(&answering.poll_transmit().unwrap()).await);
}

/// A stranger: nobody is let in by chance, and everybody is sent away in time.
pub fn handshake(bytes: &[u8]) {
    in_a_runtime(async {
        let (far, near) = tokio::io::duplex(1024);
        let limits = Arc::new(small_limits());
        let (longest, most) = (limits.handshake_timeout, limits.handshake_bytes_max);
        let handshaking = Handshaking::new(near, RoleName::Cluster, "stranger".to_owned(), limits);
        let secret = Secret::from_hex("00112233445566778899aabbccddeeff").unwrap();
        let stranger = async {
            let (mut reader, mut writer) = tokio::io::split(far);
            let writing = async {
                for piece in bytes.chunks(300) {
                    if writer.write_all(piece).await.is_err() {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_secs(60)).await;
            };
            let reading = async {
                let mut said = Vec::new();
                drop(reader.read_to_end(&mut said).await);
                said.len()
            };
            tokio::join!(writing, reading).1
        };
        let started = tokio::time::Instant::now();
        let proving = async {
            let refused = Box::pin(handshaking.authenticate(&secret)).await;
            assert!(refused.is_err());
            assert!(started.elapsed() <= longest + Duration::from_secs(2));
        };
        let ((), said) = tokio::join!(proving, stranger);
        assert!(said <= 8 * most, "{said} bytes for a stranger");
    });
}
