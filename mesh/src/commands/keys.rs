//! What makes processes known to each other by their keys.

use std::fmt;

use amp_proto::{Arguments, Command, CommandError, PublicKey};
use bytes::Bytes;

/// The code by which every ask is refused of a cluster whose key is not enrolled.
pub const NOT_ENROLLED: &str = "NOT_ENROLLED";
/// The code by which every ask is refused of a cluster whose key was revoked.
pub const KEY_REVOKED: &str = "KEY_REVOKED";

/// The code by which every ask is refused of whoever has a key that the region cannot look up now.
/// Come again later.
pub const KEYS_UNAVAILABLE: &str = "KEYS_UNAVAILABLE";

/// A cluster whose key nobody knows shows an invite, and is known from then on. Answered on TLS
/// connections only, and nothing else is to such a cluster.
#[derive(Clone, PartialEq, Eq, Command)]
#[command(answered_by = Region, response = Joined, errors = CannotJoin)]
pub struct Join {
    /// Which invite it is.
    pub invite: Bytes,
    /// The secret of the invite.
    pub secret: Bytes,
    /// The uuid that the key is to stand for.
    pub uuid: String,
    /// A name for people.
    pub name: String,
}

/// A cluster has joined.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct Joined {
    /// The keys of all region processes.
    pub keys: Vec<PublicKey>,
    /// Where the region processes are that are up.
    pub addresses: Vec<String>,
}

/// Why a cluster has not joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
#[non_exhaustive]
pub enum CannotJoin {
    /// There is no such invite, or the secret is another.
    #[error("there is no such invite")]
    #[code("NO_SUCH_INVITE")]
    NoSuchInvite,
    /// The invite was used before.
    #[error("the invite was used before: ask for a new one")]
    #[code("INVITE_USED")]
    Used,
    /// The invite was not used in time.
    #[error("the invite has expired: ask for a new one")]
    #[code("INVITE_EXPIRED")]
    Expired,
    /// The key is known already, under another identity, or was revoked.
    #[error("the key is known already, and cannot join again: make a new one")]
    #[code("KEY_TAKEN")]
    KeyTaken,
    /// Another key stands for the uuid.
    #[error("another key stands for this uuid: revoke that one first")]
    #[code("UUID_TAKEN")]
    UuidTaken,
    /// The uuid is none, or the name is too long.
    #[error("{0}")]
    #[code("BAD_IDENTITY")]
    BadIdentity(String),
    /// The connection is not one on which a key was shown.
    #[error("a cluster joins with a key, by TLS")]
    #[code("NO_KEY")]
    NoKey,
    /// The region cannot reach the store of its keys. Ask again later.
    #[error("the region cannot look its keys up now")]
    #[code("KEYS_UNAVAILABLE")]
    Unavailable,
}

/// Asks for the keys of all region processes, those that are down included.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Region, response = RegionKeys)]
pub struct ListRegionKeys;

/// The keys of all region processes. Whoever shows another is none.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct RegionKeys {
    /// The keys.
    pub keys: Vec<PublicKey>,
}

/// A region tells a cluster which keys regions have, whenever that changes.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Cluster)]
pub struct RegionKeysChanged {
    /// All of them.
    pub keys: Vec<PublicKey>,
}

/// A cluster says which key it will have next. Both are good for a while.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Region, response = KeyAnnounced, errors = CannotAnnounceKey)]
pub struct AnnounceKey {
    /// The next key.
    pub next: PublicKey,
    /// Made with the next key, over the present one: whoever announces it has it.
    pub signature: Bytes,
}

/// The next key of a cluster is known.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct KeyAnnounced {
    /// How long the present key is good beside it, in seconds.
    pub overlap_s: u32,
}

/// Why the next key of a cluster is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
#[non_exhaustive]
pub enum CannotAnnounceKey {
    /// The connection is not one on which a key was shown.
    #[error("the present key is not known on this connection")]
    #[code("NO_KEY")]
    NoKey,
    /// The signature was not made with the next key over the present one.
    #[error("the signature is not that of the next key")]
    #[code("BAD_SIGNATURE")]
    BadSignature,
    /// Somebody has the next key already.
    #[error("the key is known already")]
    #[code("KEY_TAKEN")]
    KeyTaken,
    /// The present key was revoked, or is about to be because another follows it already.
    #[error("the present key was revoked, or another follows it already")]
    #[code("KEY_SUPERSEDED")]
    Superseded,
    /// The region cannot reach the store of its keys. Ask again later.
    #[error("the region cannot look its keys up now")]
    #[code("KEYS_UNAVAILABLE")]
    Unavailable,
}

/// A region asks a cluster to make itself a new key.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Cluster, response = KeyRotated, errors = CannotRotateKey)]
pub struct RotateKey;

/// A cluster has a new key.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub struct KeyRotated {
    /// The key.
    pub key: PublicKey,
}

/// Why a cluster keeps its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
#[non_exhaustive]
pub enum CannotRotateKey {
    /// It has none, or nowhere to keep another.
    #[error("the cluster has no key that could be changed")]
    #[code("NO_KEY")]
    NoKey,
    /// The region did not take the new key, or the new key cannot be written down.
    #[error("{0}")]
    #[code("CANNOT_ROTATE_KEY")]
    Failed(String),
}

impl AnnounceKey {
    /// What [`AnnounceKey::signature`] is made for.
    pub const PURPOSE: &str = "next key";
}

impl fmt::Debug for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join")
            .field("invite", &self.invite)
            .field("uuid", &self.uuid)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
