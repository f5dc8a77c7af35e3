//! Twisted's `StartTLS`: what begins in the clear goes on in TLS, with certificates.
//!
//! Where a process has a certificate for it, nothing else is asked or answered in the clear:
//! whoever dials asks `StartTLS` before anything, whoever accepts answers that and nothing before.
//! With the answer both begin TLS at the same byte. What stands behind the ask, or behind the
//! answer, was said in the clear by anybody, so it is not read: it ends the connection
//! (CVE-2011-0411).

use std::time::Duration;

use amp_proto::{AskEvent, AskStopped, Command as _, Escaped, Lost, Moment};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout_at;

use super::handshake::{HandshakeError, Handshaking};
use crate::commands::{StartTls, TLS_REQUIRED};
use crate::transport::BoxStream;
use crate::x509::{X509Identity, words_of};

/// How long a peer is waited for that is being told why it is refused.
const FAREWELL: Duration = Duration::from_secs(1);

/// Which part of TLS is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Client,
    Server,
}

impl Handshaking<BoxStream> {
    /// Asks the peer, which was dialled, to go on in TLS, and does so.
    ///
    /// # Limits
    /// [`Limits::handshake_timeout`](amp_proto::Limits::handshake_timeout) from the beginning of
    /// the handshake, which goes on after this.
    ///
    /// # Errors
    /// [`HandshakeError`]; the stream is closed.
    ///
    /// # Cancellation
    /// Dropping the future closes the stream.
    pub(crate) async fn ask_start_tls(self, x509: &X509Identity) -> Result<Self, HandshakeError> {
        Box::pin(self.start_tls(x509, Part::Client)).await
    }

    /// Waits for the peer, which dialled, to ask to go on in TLS, and does so. See
    /// [`Handshaking::ask_start_tls`].
    pub(crate) async fn answer_start_tls(
        self,
        x509: &X509Identity,
    ) -> Result<Self, HandshakeError> {
        Box::pin(self.start_tls(x509, Part::Server)).await
    }

    async fn start_tls(mut self, x509: &X509Identity, part: Part) -> Result<Self, HandshakeError> {
        let after = self.limits.handshake_timeout;
        let agreed = timeout_at(self.until, async {
            match part {
                Part::Client => self.agree_on_tls_as_client().await,
                Part::Server => self.agree_on_tls_as_server().await,
            }
        });
        let agreed = agreed.await.unwrap_or(Err(HandshakeError::TimedOut { after }));
        if let Err(error) = agreed {
            // Whether the peer hears why is its affair.
            let _told = tokio::time::timeout(FAREWELL, async {
                self.flush().await?;
                self.stream.shutdown().await.map_err(|_| HandshakeError::Lost(Lost::ClosedHere))
            });
            let _told = _told.await;
            return Err(error);
        }
        let Self { stream, connection, mut peer, limits, until, received_bytes, .. } = self;
        let secured = timeout_at(until, async {
            match part {
                Part::Client => x509.connect(stream).await,
                Part::Server => x509.accept(stream).await,
            }
        });
        let secured = secured.await.map_err(|_| HandshakeError::TimedOut { after })?;
        let stream = secured.map_err(|error| of_tls(&error))?;
        tracing::debug!(peer = peer.address, "the connection goes on in TLS");
        peer.is_encrypted = true;
        Ok(Self {
            stream,
            connection,
            peer,
            limits,
            until,
            held: Vec::new(),
            received_bytes,
            failed: None,
        })
    }

    /// Asks, and takes the answer.
    async fn agree_on_tls_as_client(&mut self) -> Result<(), HandshakeError> {
        let deadline = Moment::START.after(self.limits.handshake_timeout);
        let asked = self.connection.ask(&StartTls, deadline);
        let mut asked = Some(asked.map_err(|_| HandshakeError::Lost(Lost::ClosedHere))?);
        self.flush().await?;
        loop {
            // What is wrong behind the answer is behind the answer, before it is wrong.
            let event = self.poll_event();
            match (self.poll_asked(&mut asked), event) {
                (Some(Ok(_)), Ok(None)) if !self.connection.has_unread() => return Ok(()),
                (Some(Ok(_)), _) => return Err(HandshakeError::ClearBehindStartTls),
                (Some(Err(AskStopped::Error { code, description })), _) => {
                    return Err(HandshakeError::StartTlsRefused { code, description });
                }
                (_, Err(misbehaved)) => return Err(misbehaved),
                (Some(Err(AskStopped::Lost { lost, .. })), _) => {
                    return Err(HandshakeError::Lost(lost));
                }
                (Some(Err(_)), _) => return Err(HandshakeError::Lost(Lost::ClosedHere)),
                (None, Ok(Some(event))) => return Err(self.refuse_in_the_clear(&event)),
                (None, Ok(None)) => self.read().await?,
            }
        }
    }

    /// Waits to be asked, and answers.
    async fn agree_on_tls_as_server(&mut self) -> Result<(), HandshakeError> {
        let event = loop {
            match self.poll_event()? {
                Some(event) => break event,
                None => self.read().await?,
            }
        };
        let is_start_tls = event.command == StartTls::NAME.as_bytes();
        // Without a tag there is no answer, and so no byte at which TLS begins.
        let Some(tag) = event.tag.as_deref().filter(|_| is_start_tls) else {
            return Err(self.refuse_in_the_clear(&event));
        };
        if self.connection.has_unread() {
            return Err(HandshakeError::ClearBehindStartTls);
        }
        if self.connection.answer(Some(tag), &()).is_err() {
            return Err(HandshakeError::Lost(Lost::ClosedHere));
        }
        self.flush().await
    }

    /// Says what is missing; the connection is closed afterwards.
    fn refuse_in_the_clear(&mut self, event: &AskEvent) -> HandshakeError {
        let words = "nothing is answered in the clear here: whoever dials asks StartTLS first";
        self.connection.refuse(event.tag.as_deref(), TLS_REQUIRED, words);
        let asked = Escaped(&event.command).to_string();
        HandshakeError::StartTlsRequired { asked }
    }
}

/// A failure of TLS, or of the stream below it.
pub(super) fn of_tls(error: &std::io::Error) -> HandshakeError {
    match words_of(error) {
        Some(reason) => HandshakeError::Tls { reason },
        None => HandshakeError::Lost(Lost::Broken { reason: error.to_string() }),
    }
}
