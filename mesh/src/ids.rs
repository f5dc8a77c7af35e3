//! Who is who: the identities of clusters and region processes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use amp_proto::{Argument, ArgumentType, EncodeError, Value, ValueError};
use uuid::Uuid;

/// The identity of a cluster process, the same for as long as it keeps its data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub Uuid);

impl ClusterId {
    /// A new identity.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Uuid> for ClusterId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for ClusterId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// As text on the wire: `0b5e7c1e-6d3f-4a0e-9c3e-2f1d5a7b9c11`.
impl Argument for ClusterId {
    const TYPE: ArgumentType = ArgumentType::Text;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.to_string().encode(out)
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        let text = std::str::from_utf8(value.bytes()).ok();
        let cluster = text.and_then(|text| text.parse().ok());
        cluster.ok_or_else(|| ValueError::malformed("a uuid", value.bytes()))
    }
}

/// The identity of a region process: a uuid for ours, and whatever a stock region says it is, such
/// as `host:pid=123`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionId(Arc<str>);

impl RegionId {
    /// A new identity.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4().to_string().into())
    }

    /// The identity as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RegionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<&str> for RegionId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for RegionId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}
