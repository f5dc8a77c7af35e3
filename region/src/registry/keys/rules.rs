//! What may be done with keys and invites, wherever they are kept. A store looks up what stands in
//! it, asks here, and writes down what it is told, all of it in one transaction.

use std::time::SystemTime;

use amp_proto::RoleName;
use mesh::{InviteHash, PublicKey};

use super::{Enrolment, KEYS_MAX, KEYS_PER_IDENT_MAX, KeyEntry};
use crate::registry::{from_ms, to_ms};

/// What stands in a store about a key that is to be enrolled.
#[derive(Clone, Copy, Debug)]
pub(in crate::registry) struct Standing {
    /// Whether the key has an entry, good or not.
    pub(in crate::registry) is_known: bool,
    /// How many good keys its owner has.
    pub(in crate::registry) good: usize,
    /// How many entries there are in all.
    pub(in crate::registry) entries: usize,
}

/// An invite, as it stands in a store.
#[derive(Clone, Debug)]
pub(in crate::registry) struct KeptInvite {
    pub(in crate::registry) hash: InviteHash,
    pub(in crate::registry) expires: SystemTime,
    pub(in crate::registry) is_used: bool,
}

/// Two entries to write when a key is followed by the next.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Succession {
    pub(in crate::registry) present: KeyEntry,
    pub(in crate::registry) next: KeyEntry,
}

/// Whether a key may be enrolled.
pub(in crate::registry) fn enrol(standing: Standing) -> Enrolment {
    match standing {
        Standing { is_known: true, .. } => Enrolment::KeyTaken,
        Standing { good: 1.., .. } => Enrolment::IdentTaken,
        Standing { entries: KEYS_MAX.., .. } => Enrolment::Full,
        Standing { .. } => Enrolment::Enrolled,
    }
}

/// Whether whoever comes with the hash of this secret is invited.
///
/// # Errors
/// Why not. Whoever has another secret is told no more than that there is no such invite.
pub(in crate::registry) fn admit(
    kept: Option<&KeptInvite>,
    hash: &InviteHash,
    now: SystemTime,
) -> Result<(), Enrolment> {
    match kept {
        Some(kept) if kept.hash != *hash => Err(Enrolment::NoSuchInvite),
        Some(kept) if kept.is_used => Err(Enrolment::InviteUsed),
        Some(kept) if now >= kept.expires => Err(Enrolment::InviteExpired),
        Some(_) => Ok(()),
        None => Err(Enrolment::NoSuchInvite),
    }
}

/// Whether a key, if it has an entry, may be followed by a next one, for which `of_next` stands.
///
/// # Errors
/// Why not.
pub(in crate::registry) fn succeed(
    present: Option<KeyEntry>,
    of_next: Standing,
    next: &PublicKey,
    now: SystemTime,
    until: SystemTime,
) -> Result<Succession, Enrolment> {
    let Some(present) = present.filter(|present| present.is_good(now)) else {
        return Err(Enrolment::Superseded);
    };
    match of_next {
        // Whoever announces again what is enrolled already is to find that out first.
        Standing { is_known: true, .. } => return Err(Enrolment::KeyTaken),
        Standing { good: KEYS_PER_IDENT_MAX.., .. } => return Err(Enrolment::Superseded),
        Standing { entries: KEYS_MAX.., .. } => return Err(Enrolment::Full),
        Standing { .. } => {}
    }
    let next = KeyEntry { key: *next, since: now, revoked: None, ..present.clone() };
    let revoked = present.revoked.map_or(until, |revoked| revoked.min(until));
    Ok(Succession { present: KeyEntry { revoked: Some(revoked), ..present }, next })
}

/// An entry as the columns of a table.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Columns {
    pub(in crate::registry) key: String,
    pub(in crate::registry) role: String,
    pub(in crate::registry) ident: String,
    pub(in crate::registry) name: String,
    pub(in crate::registry) since_ms: i64,
    pub(in crate::registry) revoked_ms: Option<i64>,
    pub(in crate::registry) is_revoked: bool,
}

impl Columns {
    /// In this order.
    pub(in crate::registry) const NAMES: &str =
        "key, role, ident, name, since_ms, revoked_ms, is_revoked";

    pub(in crate::registry) fn of(entry: &KeyEntry) -> Self {
        Self {
            key: entry.key.to_string(),
            role: entry.role.as_str().to_owned(),
            ident: entry.ident.clone(),
            name: entry.name.clone(),
            since_ms: to_ms(entry.since),
            revoked_ms: entry.revoked.map(to_ms),
            is_revoked: entry.is_revoked,
        }
    }

    /// `None` for a row that this program cannot have written.
    pub(in crate::registry) fn entry(self) -> Option<KeyEntry> {
        let roles = [RoleName::Region, RoleName::Cluster];
        Some(KeyEntry {
            key: self.key.parse().ok()?,
            role: roles.into_iter().find(|role| role.as_str() == self.role)?,
            ident: self.ident,
            name: self.name,
            since: from_ms(self.since_ms),
            is_revoked: self.is_revoked,
            revoked: self.revoked_ms.map(from_ms),
        })
    }
}

/// Sorts entries as [`super::Keys::list`] gives them: by their bytes, whatever a database thinks of
/// its language.
pub(in crate::registry) fn sort(entries: &mut [KeyEntry]) {
    entries.sort_by(|a, b| order(a).cmp(&order(b)));
}

fn order(entry: &KeyEntry) -> (&str, &str, &str, SystemTime, PublicKey) {
    (entry.role.as_str(), &entry.name, &entry.ident, entry.since, entry.key)
}
