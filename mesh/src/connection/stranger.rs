//! Peers that may ask one thing, once: those whose key nobody knows.

use std::time::Duration;

use amp_proto::{AskEvent, Command, CommandError as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::handshake::{HandshakeError, Handshaking};
use crate::clock::later;

/// How long the end of a stream may take, of what the handshake has left. Fixed: the answer has
/// been sent by then, and nothing is waited for but the peer's reading it.
const FAREWELL: Duration = Duration::from_secs(1);

/// How an ask is refused that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedAsk {
    /// The code on the wire.
    pub code: &'static str,
    /// What the peer is told.
    pub description: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Handshaking<S> {
    /// Waits for the peer's first ask. If it is a `C`, it is answered with `answer`; any other is
    /// refused. Then the connection is closed, whatever else was asked.
    ///
    /// # Limits
    /// As [`Handshaking::authenticate`].
    ///
    /// # Errors
    /// [`HandshakeError`] when the peer asks nothing, or nothing that can be understood.
    ///
    /// # Cancellation
    /// Dropping the future closes the stream; `answer` is dropped where it stands.
    pub async fn answer_one<C, F>(
        mut self,
        answer: impl FnOnce(C) -> F,
        refusal: RefusedAsk,
    ) -> Result<(), HandshakeError>
    where
        C: Command,
        F: Future<Output = Result<C::Response, C::Error>>,
    {
        let after = self.limits.handshake_timeout;
        let answering = timeout_at(self.until, async {
            let ask = self.first_ask().await?;
            let tag = ask.tag.as_deref();
            let refused = match judge(&ask, answer, refusal).await {
                Ok(response) if tag.is_some() => {
                    let answered = self.connection.answer(tag, &response);
                    answered.err().map(|error| unknown(&error))
                }
                Ok(_) => None,
                Err(refused) => Some(refused),
            };
            if let Some(RefusedAsk { code, description }) = refused {
                self.connection.refuse(tag, code, &description);
            }
            self.flush().await
        });
        let answered = answering.await.unwrap_or(Err(HandshakeError::TimedOut { after }));
        // The answer is on its way; whether the peer takes it is its affair.
        let until = self.until.min(later(Instant::now(), FAREWELL));
        let _closed = timeout_at(until, self.stream.shutdown()).await;
        answered
    }

    async fn first_ask(&mut self) -> Result<AskEvent, HandshakeError> {
        loop {
            if let Some(event) = self.poll_event()? {
                return Ok(event);
            }
            self.read().await?;
        }
    }
}

async fn judge<C, F>(
    ask: &AskEvent,
    answer: impl FnOnce(C) -> F,
    refusal: RefusedAsk,
) -> Result<C::Response, RefusedAsk>
where
    C: Command,
    F: Future<Output = Result<C::Response, C::Error>>,
{
    if ask.command != C::NAME.as_bytes() {
        return Err(refusal);
    }
    let asked = C::decode(&ask.received.fields()).map_err(|error| unknown(&error))?;
    answer(asked).await.map_err(|declared| RefusedAsk {
        code: declared.code().code,
        description: declared.wire_description(),
    })
}

fn unknown(error: &dyn std::fmt::Display) -> RefusedAsk {
    RefusedAsk { code: "UNKNOWN", description: format!("Unknown Error: {error}") }
}
