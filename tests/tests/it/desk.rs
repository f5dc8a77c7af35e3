//! Commands of no use but to tests, and who answers them, on either side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use amp_proto::{
    Arguments, Choice, Cluster, Command, CommandError, Failure, Never, PassedError, Peer, Region,
    RoleName, responders,
};
use bytes::Bytes;
use mesh::PeerExt as _;
use tokio::sync::{Notify, watch};

/// Give back what you get.
#[derive(Clone, Debug, Default, PartialEq, Command)]
#[command(answered_by = any, response = Echoed)]
pub(crate) struct Echo {
    pub(crate) bytes: Bytes,
    pub(crate) note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(crate) struct Echoed {
    pub(crate) bytes: Bytes,
    pub(crate) note: Option<String>,
}

/// Add two numbers.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, response = Total)]
pub(crate) struct Sum {
    pub(crate) a: i64,
    pub(crate) b: i64,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(crate) struct Total {
    pub(crate) total: i64,
}

/// Take your time.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any)]
pub(crate) struct Wait {
    pub(crate) ms: u64,
}

/// Do not answer before the test says so.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any)]
pub(crate) struct Hold;

/// Fail.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, errors = FailError)]
pub(crate) struct Fail {
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Choice)]
pub(crate) enum How {
    #[wire("declared")]
    Declared,
    #[wire("fatal")]
    Fatal,
    #[wire("undeclared")]
    Undeclared,
    #[wire("passed on")]
    PassedOn,
    #[wire("panic")]
    Panic,
    #[wire("panic later")]
    PanicLater,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
#[non_exhaustive]
pub(crate) enum FailError {
    #[error("no such thing: {0}")]
    #[code("NO_SUCH_THING")]
    NoSuchThing(String),
    #[error("this is the end")]
    #[code("THE_END", fatal)]
    TheEnd,
}

/// Answer with so many bytes.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, response = Grown)]
pub(crate) struct Grow {
    pub(crate) bytes: u32,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(crate) struct Grown {
    pub(crate) bytes: Bytes,
}

/// Take note, and say nothing.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, no_answer)]
pub(crate) struct Tell {
    pub(crate) note: String,
}

/// Fail, and say nothing.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, no_answer, errors = FailError)]
pub(crate) struct TellInVain;

/// Say who asks.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, response = Asker)]
pub(crate) struct WhoAsks;

#[derive(Clone, Debug, PartialEq, Arguments)]
pub(crate) struct Asker {
    pub(crate) ident: Option<String>,
    pub(crate) role: Option<String>,
}

/// Ask the asker for the sum, and answer with that.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any, response = Total)]
pub(crate) struct AskBack {
    pub(crate) a: i64,
    pub(crate) b: i64,
}

/// Nobody answers this.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any)]
pub(crate) struct Ignored;

/// Answers everything but [`Ignored`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Desk {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    notes: watch::Sender<Vec<String>>,
    held: watch::Sender<u32>,
    release: Notify,
    /// How many held commands were carried out to their end.
    released: AtomicU32,
}

impl Desk {
    /// Waits until so many notes were taken.
    pub(crate) async fn notes(&self, count: usize) -> Vec<String> {
        let mut notes = self.inner.notes.subscribe();
        notes.wait_for(|notes| notes.len() >= count).await.unwrap().clone()
    }

    /// Waits until so many commands were ever held.
    pub(crate) async fn held(&self, count: u32) {
        let mut held = self.inner.held.subscribe();
        held.wait_for(|held| *held >= count).await.unwrap();
    }

    /// Lets everything go on that is held now.
    pub(crate) fn release(&self) {
        self.inner.release.notify_waiters();
    }

    pub(crate) fn released(&self) -> u32 {
        self.inner.released.load(Ordering::SeqCst)
    }
}

#[responders]
impl Desk {
    #[responder]
    async fn echo(&self, it: Echo) -> Result<Echoed, Never> {
        let Echo { bytes, note } = it;
        Ok(Echoed { bytes, note })
    }

    #[responder]
    async fn sum(&self, it: Sum) -> Result<Total, Never> {
        Ok(Total { total: it.a.wrapping_add(it.b) })
    }

    #[responder]
    async fn wait(&self, it: Wait) -> Result<(), Never> {
        tokio::time::sleep(Duration::from_millis(it.ms)).await;
        Ok(())
    }

    #[responder]
    async fn hold(&self, _: Hold) -> Result<(), Never> {
        let released = self.inner.release.notified();
        self.inner.held.send_modify(|held| *held += 1);
        released.await;
        self.inner.released.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    #[responder]
    async fn fail(&self, it: Fail) -> Result<(), Failure<FailError>> {
        match it.how {
            How::Declared => Err(FailError::NoSuchThing("a snark".to_owned()).into()),
            How::Fatal => Err(FailError::TheEnd.into()),
            How::Undeclared => Err(Failure::undeclared("the cupboard is bare")),
            How::PassedOn => Err(Failure::Passed(PassedError {
                code: "FROM_AFAR".to_owned(),
                description: "somebody else failed".to_owned(),
                fatal: false,
            })),
            How::Panic => panic!("the desk fell over"),
            How::PanicLater => {
                tokio::task::yield_now().await;
                panic!("the desk fell over, but later")
            }
        }
    }

    #[responder]
    async fn grow(&self, it: Grow) -> Result<Grown, Never> {
        Ok(Grown { bytes: vec![b'x'; usize::try_from(it.bytes).unwrap()].into() })
    }

    #[responder]
    async fn tell(&self, it: Tell) -> Result<(), Never> {
        self.inner.notes.send_modify(|notes| notes.push(it.note));
        Ok(())
    }

    #[responder]
    async fn tell_in_vain(&self, _: TellInVain) -> Result<(), FailError> {
        Err(FailError::NoSuchThing("a listener".to_owned()))
    }

    #[responder]
    async fn who_asks(&self, _: WhoAsks, peer: &Peer) -> Result<Asker, Never> {
        let role = peer.role().map(|role| role.to_string());
        Ok(Asker { ident: peer.ident(), role })
    }

    #[responder]
    async fn ask_back(&self, it: AskBack, peer: &Peer) -> Result<Total, Failure<Never>> {
        let sum = Sum { a: it.a, b: it.b };
        let total = match peer.role() {
            Some(RoleName::Cluster) => peer.client::<Cluster>().expect("the asker").call(sum).await,
            _ => peer.client::<Region>().expect("the asker").call(sum).await,
        };
        total.map_err(Failure::undeclared)
    }
}

amp_proto::assert_answers!(
    Desk: Echo, Sum, Wait, Hold, Fail, Grow, Tell, TellInVain, WhoAsks, AskBack
);
