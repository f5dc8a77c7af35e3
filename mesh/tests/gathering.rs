//! Asking many the same thing: what everybody is sent.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use amp_proto::{
    Argument, ArgumentType, Arguments, CallError, Cluster, Command, EncodeError, Limits, Never,
    Region, Responders, Value, ValueError, responders,
};
use mesh::{Client, connect_trusted, gather};
use tokio::task::JoinSet;

/// Bytes that note each time that they are encoded.
#[derive(Debug)]
struct Noted {
    bytes: Vec<u8>,
    times: Arc<AtomicUsize>,
}

impl Argument for Noted {
    const TYPE: ArgumentType = ArgumentType::Bytes;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.times.fetch_add(1, Ordering::Relaxed);
        self.bytes.encode(out)
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        Ok(Self { bytes: value.bytes().to_vec(), times: Arc::default() })
    }
}

// It is not cloned, either.
#[derive(Debug, Command)]
#[command(answered_by = any, response = Measured)]
struct Measure {
    note: String,
    what: Noted,
}

#[derive(Debug, PartialEq, Arguments)]
struct Measured {
    bytes: u64,
    note: String,
}

struct Scale;

#[responders]
impl Scale {
    #[responder]
    async fn measure(&self, it: Measure) -> Result<Measured, Never> {
        Ok(Measured { bytes: u64::try_from(it.what.bytes.len()).unwrap(), note: it.note })
    }
}

/// Clients for so many clusters that answer; they live as long as the tasks.
fn clusters(count: usize, tasks: &mut JoinSet<()>) -> Vec<Client<Cluster>> {
    let connect = |_| {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let mut responders = Responders::new();
        responders.add(Arc::new(Scale)).unwrap();
        let (nobody, limits) = (Arc::new(Responders::new()), Limits::default());
        let (client, driving) = connect_trusted::<Cluster, _>(near, nobody, limits.clone());
        let (_, answering) = connect_trusted::<Region, _>(far, Arc::new(responders), limits);
        tasks.spawn(async move { drop(tokio::join!(driving, answering)) });
        client
    };
    (0..count).map(connect).collect()
}

fn measure(bytes: usize) -> (Measure, Arc<AtomicUsize>) {
    let times = Arc::new(AtomicUsize::new(0));
    let what = Noted { bytes: vec![b'x'; bytes], times: Arc::clone(&times) };
    (Measure { note: "for all".to_owned(), what }, times)
}

#[tokio::test(start_paused = true)]
async fn a_command_for_many_is_encoded_once() {
    let mut tasks = JoinSet::new();
    for bytes in [0, 3, 65_535] {
        let (command, times) = measure(bytes);
        let mut answers = gather(clusters(100, &mut tasks), command);
        let mut answered = 0;
        while let Some((_, answer)) = answers.next().await {
            let bytes = u64::try_from(bytes).unwrap();
            assert_eq!(answer, Ok(Measured { bytes, note: "for all".to_owned() }));
            answered += 1;
        }
        assert_eq!((answered, times.load(Ordering::Relaxed)), (100, 1), "{bytes} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_fits_no_box_fails_for_each_that_cannot_read_it() {
    let mut tasks = JoinSet::new();
    let (command, _) = measure(65_536);
    let mut answers = gather(clusters(3, &mut tasks), command);
    let mut refused = 0;
    while let Some((_, answer)) = answers.next().await {
        let Err(CallError::Encode(EncodeError::ValueTooLong { key, bytes: 65_536 })) = answer
        else {
            panic!("{answer:?}")
        };
        assert_eq!(key, "what");
        refused += 1;
    }
    assert_eq!(refused, 3);
}
