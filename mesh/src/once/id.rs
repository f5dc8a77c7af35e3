//! The name of one call.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use uuid::{Timestamp, Uuid};

/// Names one call, however often it is tried: the peer carries it out at most once.
///
/// It is a UUID of version 7, so it says when it was made. That is how a peer knows an id that it
/// has forgotten from one that it has never seen. Keep it with the work that the call is part of,
/// and use the same one when you try again, also after a restart.
///
/// # Examples
/// ```
/// use mesh::CallId;
///
/// let id = CallId::generate();
/// let kept = id.to_string();
/// assert_eq!(kept.parse(), Ok(id));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(Uuid);

/// A text or a UUID that names no call: it is not a UUID of version 7, which says when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID of version 7")]
pub struct NotACallId;

impl CallId {
    /// A new id, made now.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// An id as if made at this time after 1970. For tests, and for calls that are named after
    /// something that happened then.
    #[must_use]
    pub fn made_at(since_epoch: Duration) -> Self {
        let (seconds, nanos) = (since_epoch.as_secs(), since_epoch.subsec_nanos());
        Self(Uuid::new_v7(Timestamp::from_unix(uuid::NoContext, seconds, nanos)))
    }

    /// When it was made, in time after 1970, to the millisecond.
    #[must_use]
    pub fn made(self) -> Duration {
        let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |made| made.to_unix());
        Duration::new(seconds, nanos)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, NotACallId> {
        Uuid::from_slice(bytes).map_err(|_| NotACallId)?.try_into()
    }
}

impl TryFrom<Uuid> for CallId {
    type Error = NotACallId;

    fn try_from(uuid: Uuid) -> Result<Self, NotACallId> {
        if uuid.get_version_num() == 7 { Ok(Self(uuid)) } else { Err(NotACallId) }
    }
}

impl From<CallId> for Uuid {
    fn from(CallId(uuid): CallId) -> Self {
        uuid
    }
}

impl FromStr for CallId {
    type Err = NotACallId;

    fn from_str(text: &str) -> Result<Self, NotACallId> {
        text.parse::<Uuid>().map_err(|_| NotACallId)?.try_into()
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_when_it_was_made() {
        let made = Duration::from_millis(1_700_000_000_123);
        let id = CallId::made_at(made);
        assert_eq!(id.made(), made);
        assert_ne!(id, CallId::made_at(made));
        assert_eq!(CallId::from_bytes(id.as_bytes()), Ok(id));
    }

    #[test]
    fn a_uuid_that_does_not_say_when_it_was_made_names_no_call() {
        assert_eq!(CallId::try_from(Uuid::new_v4()), Err(NotACallId));
        assert_eq!("snow".parse::<CallId>(), Err(NotACallId));
        assert_eq!(CallId::from_bytes(&[0; 3]), Err(NotACallId));
    }
}
