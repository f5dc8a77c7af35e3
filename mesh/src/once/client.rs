//! A client for one call that is carried out once.

use std::fmt;
use std::time::Duration;

use amp_proto::{AnsweredBy, CallError, PassedError, ReceivedBox, Role};

use crate::client::Client;

/// A handle to ask one peer of role `R` one thing, as often as it takes. Made by [`Client::once`].
/// Cheap to clone.
///
/// There is no stream here and nothing without an answer: neither can be carried out once.
pub struct OnceClient<R> {
    client: Client<R>,
}

impl<R: Role> OnceClient<R> {
    /// `client` has the id.
    pub(crate) const fn new(client: Client<R>) -> Self {
        Self { client }
    }

    /// As [`Client::within`]: how long this try may take. The run goes on behind it.
    #[must_use]
    pub fn within(self, timeout: Duration) -> Self {
        Self { client: self.client.within(timeout) }
    }

    /// As [`Client::call`], but that the command is carried out once for all calls with this id.
    ///
    /// # Errors
    /// [`CallError`]; those of a call that is made once are told of at [`Client::once`].
    ///
    /// # Cancellation
    /// Dropping the future gives up waiting. The command goes on.
    pub async fn call<C>(&self, command: C) -> Result<C::Response, CallError<C::Error>>
    where
        C: AnsweredBy<R> + Sync,
    {
        self.client.call(command).await
    }

    /// As [`Client::call_encoded`], but that the command is carried out once for all calls with
    /// this id.
    ///
    /// # Errors
    /// [`CallError`]; those of a call that is made once are told of at [`Client::once`].
    ///
    /// # Cancellation
    /// Dropping the future gives up waiting. The command goes on.
    pub async fn call_encoded(
        &self,
        name: &str,
        fields: &[(String, Vec<u8>)],
    ) -> Result<ReceivedBox, CallError<PassedError>> {
        self.client.call_encoded(name, fields).await
    }
}

impl<R> Clone for OnceClient<R> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone() }
    }
}

impl<R> fmt::Debug for OnceClient<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceClient").field(&self.client).finish()
    }
}
