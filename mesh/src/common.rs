//! What every process of the mesh answers, whatever the application adds.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use amp_proto::{
    CommandSchema, ErrorSchema, Failure, FieldSchema, Lost, Never, Peer, RoleName, responders,
};

use crate::agreement::terms_of;
use crate::commands::{
    Authenticate, Authenticated, CommandRow, Commands, Describe, FieldRow, Ident, Identify, Leave,
    Negotiate, Ping, Terms,
};
use crate::connection::{is_challenge_of, proof};
use crate::lifetime::Lifetime;
use crate::peer::PeerExt as _;
use crate::secret::Secret;

/// Answers [`Identify`], [`Ping`], [`Describe`], [`Leave`], and [`Authenticate`] from peers that
/// ask for a proof once more.
#[derive(Debug)]
pub struct Common {
    role: RoleName,
    ident: Ident,
    secret: Option<Secret>,
    schemas: OnceLock<Vec<&'static CommandSchema>>,
    /// How long a peer that says that it leaves may stay, and who sees to it.
    departures: Option<(Duration, Arc<Lifetime>)>,
}

impl Common {
    /// Answers for a process of this role and identity. Without a secret `Authenticate` is
    /// refused.
    #[must_use]
    pub fn new(role: RoleName, ident: Ident, secret: Option<Secret>) -> Self {
        Self { role, ident, secret, schemas: OnceLock::new(), departures: None }
    }

    /// Closes a connection whose peer said that it leaves and is still there after `stay_max`, as
    /// soon as nothing is under way on it: nothing can be asked on it any more, and nobody would
    /// look for a better one. Without this such a peer may stay as long as it likes.
    #[must_use]
    pub fn close_left_after(self, stay_max: Duration, lifetime: Arc<Lifetime>) -> Self {
        Self { departures: Some((stay_max, lifetime)), ..self }
    }

    /// Says what commands the process answers, sorted by name. Until then [`Describe`] gives
    /// none.
    pub fn describe_as(&self, schemas: Vec<&'static CommandSchema>) {
        self.schemas.get_or_init(|| schemas);
    }
}

/// A page of descriptions is closed when it holds about this many bytes, so that it fits a value.
const PAGE_BYTES: usize = 32 * 1024;

#[responders]
impl Common {
    #[responder]
    async fn identify(&self, _: Identify) -> Result<Ident, Never> {
        Ok(self.ident.clone())
    }

    #[responder]
    async fn ping(&self, _: Ping) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn negotiate(&self, it: Negotiate, peer: &Peer) -> Result<Terms, Failure<Never>> {
        let link = peer.link().ok_or_else(|| Failure::undeclared(Gone))?;
        link.agree(&it.into());
        Ok(terms_of(link.limits()))
    }

    #[responder]
    async fn leave(&self, _: Leave, peer: &Peer) -> Result<(), Never> {
        let Some(link) = peer.link() else { return Ok(()) };
        let is_first = link.is_open();
        link.leave(Lost::PeerLeaving);
        if let Some((stay_max, lifetime)) = self.departures.as_ref().filter(|_| is_first) {
            let stay_max = *stay_max;
            lifetime.run_until_aborted(async move {
                if tokio::time::timeout(stay_max, link.closed()).await.is_err() {
                    // Calls that the peer still answers have time-outs of their own.
                    link.drain(Lost::PeerLeaving);
                }
            });
        }
        Ok(())
    }

    #[responder]
    async fn authenticate(
        &self,
        it: Authenticate,
        peer: &Peer,
    ) -> Result<Authenticated, Failure<Never>> {
        // Whoever has a key may not know the secret, and could pass the proof off as its own.
        let secret = self.secret.as_ref().filter(|_| peer.key().is_none());
        let secret = secret.ok_or_else(|| Failure::undeclared(NoSecret))?;
        if is_challenge_of(&it.message, secret, self.role) {
            return Err(Failure::undeclared(ReflectedChallenge));
        }
        Ok(proof(secret, &it.message))
    }

    #[responder]
    async fn describe(&self, it: Describe) -> Result<Commands, Never> {
        let after = it.after.as_deref();
        let schemas = self.schemas.get().map(Vec::as_slice).unwrap_or_default();
        let mut commands = Vec::new();
        let mut bytes = 0;
        for schema in schemas.iter().filter(|schema| after.is_none_or(|name| schema.name > name)) {
            let row = row_of(schema);
            bytes += size_of_row(&row);
            if bytes > PAGE_BYTES && !commands.is_empty() {
                return Ok(Commands { commands, more: true });
            }
            commands.push(row);
        }
        Ok(Commands { commands, more: false })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection is gone")]
struct Gone;

#[derive(Debug, thiserror::Error)]
#[error("there is no shared secret to prove here")]
struct NoSecret;

#[derive(Debug, thiserror::Error)]
#[error("the peer sent a challenge of our own side back to us")]
struct ReflectedChallenge;

fn row_of(schema: &CommandSchema) -> CommandRow {
    CommandRow {
        name: schema.name.to_owned(),
        doc: schema.doc.to_owned(),
        answered_by: schema.answered_by.iter().map(ToString::to_string).collect(),
        arguments: schema.arguments.iter().map(field_of).collect(),
        response: schema.response.iter().map(field_of).collect(),
        errors: schema.errors.iter().map(error_of).collect(),
        requires_answer: schema.requires_answer,
    }
}

fn field_of(field: &FieldSchema) -> FieldRow {
    FieldRow {
        name: field.name.to_owned(),
        kind: field.kind.to_string(),
        optional: field.optional,
        doc: field.doc.to_owned(),
    }
}

fn error_of(error: &ErrorSchema) -> String {
    format!("{}{}", error.code, if error.fatal { "!" } else { "" })
}

/// About how many bytes a row takes on the wire.
fn size_of_row(row: &CommandRow) -> usize {
    const OVERHEAD: usize = 64;
    let field = |field: &FieldRow| OVERHEAD + field.name.len() + field.kind.len() + field.doc.len();
    let fields = row.arguments.iter().chain(&row.response).map(field).sum::<usize>();
    let errors = row.errors.iter().map(|code| code.len() + 2).sum::<usize>();
    OVERHEAD * 2 + row.name.len() + row.doc.len() + fields + errors
}
