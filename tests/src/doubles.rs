//! Doubles: a responder that keeps what it was asked, and a client whose peer is in the test.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amp_proto::{
    Answered, Command, CommandError as _, Entry, Fields, Limits, Peer, Refusal, Reply,
    ResponderTable, Responders, Role, RoleName,
};
use mesh::{Client, connect_trusted, run_trusted};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How many bytes may be on their way between a [`ClientDouble`] and its peer.
const STREAM_BYTES: usize = 64 * 1024;

type Answer<C> =
    dyn Fn(&C) -> Result<<C as Command>::Response, <C as Command>::Error> + Send + Sync;

/// Answers one command, and keeps every one that it was sent.
///
/// # Examples
/// ```
/// use std::sync::Arc;
///
/// use amp_proto::{Cluster, Command};
/// use mesh_harness::{ClientDouble, Recorder, TestResult};
///
/// #[derive(Clone, Debug, PartialEq, Command)]
/// #[command(answered_by = Cluster)]
/// struct Knock {
///     times: u8,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> TestResult {
/// let door = Arc::new(Recorder::answering(|_: &Knock| Ok(())));
/// let client = ClientDouble::<Cluster>::answered_by(Arc::clone(&door));
/// client.call(Knock { times: 3 }).await?;
/// assert_eq!(door.commands(), [Knock { times: 3 }]);
/// # Ok(())
/// # }
/// ```
pub struct Recorder<C: Command> {
    kept: Mutex<Vec<C>>,
    count: watch::Sender<usize>,
    answer: Box<Answer<C>>,
}

impl<C: Command + Clone> Recorder<C> {
    /// Answers every command as `answer` says.
    #[must_use]
    pub fn answering(
        answer: impl Fn(&C) -> Result<C::Response, C::Error> + Send + Sync + 'static,
    ) -> Self {
        Self { kept: Mutex::default(), count: watch::Sender::new(0), answer: Box::new(answer) }
    }

    /// What came so far, in the order of arrival.
    #[must_use]
    pub fn commands(&self) -> Vec<C> {
        self.kept().clone()
    }

    /// Waits until `count` commands have come, and gives them.
    ///
    /// # Cancellation
    /// Dropping the future only ends the waiting.
    pub async fn wait_for(&self, count: usize) -> Vec<C> {
        let mut counted = self.count.subscribe();
        // The sender lives in `self`, so this never fails.
        let _enough = counted.wait_for(|counted| *counted >= count).await;
        self.commands()
    }
}

impl<C: Command> Recorder<C> {
    fn kept(&self) -> MutexGuard<'_, Vec<C>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, command: C) -> Result<C::Response, C::Error> {
        let answer = (self.answer)(&command);
        self.kept().push(command);
        self.count.send_modify(|count| *count += 1);
        answer
    }
}

impl<C: Command> ResponderTable for Recorder<C> {
    const TABLE: &'static [Entry<Self>] = &[Entry { schema: C::SCHEMA, respond: respond::<C> }];
}

fn respond<C: Command>(recorder: &Arc<Recorder<C>>, fields: &Fields<'_>, _: &Peer) -> Reply {
    let command = match C::decode(fields) {
        Ok(command) => command,
        Err(error) => return Reply::Ready(Err(Refusal::BadArgument(error))),
    };
    Reply::Ready(match recorder.take(command) {
        Ok(response) => Ok(Answered { fields: Box::new(response), afterwards: C::AFTERWARDS }),
        Err(error) => {
            let (schema, description) = (error.code(), error.wire_description());
            Err(Refusal::Declared { code: schema.code, description, fatal: schema.fatal })
        }
    })
}

impl<C: Command> fmt::Debug for Recorder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("command", &C::NAME)
            .field("commands", &self.kept().len())
            .finish_non_exhaustive()
    }
}

/// A client whose peer is a set of responders in the same test: code that takes a [`Client`] can be
/// tested without a mesh.
#[derive(Debug)]
pub struct ClientDouble<R> {
    client: Client<R>,
    _connection: JoinSet<()>,
}

impl<R: Role> ClientDouble<R> {
    /// A client whose calls `responder` answers. The connection lives as long as this value.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "one responder table has no command twice")]
    #[expect(clippy::expect_used, reason = "one responder table has no command twice")]
    pub fn answered_by<S: ResponderTable>(responder: Arc<S>) -> Self {
        let mut responders = Responders::new();
        responders.add(responder).expect("the first responders of all");
        let (near, far) = tokio::io::duplex(STREAM_BYTES);
        let nobody = Arc::new(Responders::new());
        let (client, driving) = connect_trusted::<R, _>(near, nobody, Limits::default());
        let asker = match R::NAME {
            RoleName::Region => RoleName::Cluster,
            RoleName::Cluster => RoleName::Region,
        };
        let responders = Arc::new(responders);
        let (_, answering) = run_trusted(far, asker, "test", responders, Limits::default());
        let mut connection = JoinSet::new();
        connection.spawn(async { drop(driving.await) });
        connection.spawn(async { drop(answering.await) });
        Self { client, _connection: connection }
    }
}

impl<R> Deref for ClientDouble<R> {
    type Target = Client<R>;

    fn deref(&self) -> &Client<R> {
        &self.client
    }
}
