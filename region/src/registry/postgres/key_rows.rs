//! What is asked of and written to the tables of keys and invites. Whatever changes something is
//! called within a transaction that nobody else is at work in.

use std::time::SystemTime;

use mesh::{InviteHash, InviteId, PublicKey};
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};

use super::session::Trouble;
use super::{limit, text};
use crate::registry::keys::rules::{self, Columns, KeptInvite, Standing, Succession};
use crate::registry::keys::{Enrolment, INVITES_MAX, Invite, KEPT_FOR, KeyEntry};
use crate::registry::{from_ms, to_ms};

fn entry_of(row: &Row) -> Result<Option<KeyEntry>, tokio_postgres::Error> {
    let columns = Columns {
        key: row.try_get(0)?,
        role: row.try_get(1)?,
        ident: row.try_get(2)?,
        name: row.try_get(3)?,
        since_ms: row.try_get(4)?,
        revoked_ms: row.try_get(5)?,
        is_revoked: row.try_get(6)?,
    };
    Ok(columns.entry())
}

/// The entries that stand in rows, without those that this program cannot have written.
pub(super) fn entries_of(rows: &[Row]) -> Result<Vec<KeyEntry>, tokio_postgres::Error> {
    let entries = rows.iter().map(entry_of).collect::<Result<Vec<_>, _>>()?;
    Ok(entries.into_iter().flatten().collect())
}

/// The entry of a key, if it has one.
pub(super) async fn find(
    client: &impl GenericClient,
    key: &PublicKey,
) -> Result<Option<KeyEntry>, Trouble> {
    let sql = format!("SELECT {} FROM ampmesh_keys WHERE key = $1", Columns::NAMES);
    let rows = client.query_typed(&sql, &[(&key.to_string(), Type::TEXT)]).await?;
    Ok(rows.first().map(entry_of).transpose()?.flatten())
}

/// So many entries, sorted by their keys, from the one after this on. A database that is sorted by
/// a language sorts keys in one way as well.
pub(super) async fn list_after(
    client: &impl GenericClient,
    after: Option<&PublicKey>,
    max: usize,
) -> Result<Vec<KeyEntry>, Trouble> {
    let names = Columns::NAMES;
    let sql = format!("SELECT {names} FROM ampmesh_keys WHERE key > $1 ORDER BY key LIMIT $2");
    let mut after = after.map(ToString::to_string).unwrap_or_default();
    let mut entries = Vec::new();
    while entries.len() < max {
        let most = limit(max.saturating_sub(entries.len()));
        let rows = client.query_typed(&sql, &[(&after, Type::TEXT), (&most, Type::INT8)]).await?;
        // Without those that this program cannot have written there may be too few.
        let Some(last) = rows.last() else { break };
        after = last.try_get(0)?;
        entries.extend(entries_of(&rows)?);
    }
    Ok(entries)
}

async fn write(client: &impl GenericClient, entry: &KeyEntry) -> Result<(), Trouble> {
    let Columns { key, role, ident, name, since_ms, revoked_ms, is_revoked } = Columns::of(entry);
    let sql = format!(
        "INSERT INTO ampmesh_keys ({}) VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (key) DO UPDATE SET revoked_ms = $6",
        Columns::NAMES
    );
    client
        .execute_typed(
            &sql,
            &[
                (&key, Type::TEXT),
                (&role, Type::TEXT),
                (&text(&ident), Type::TEXT),
                (&text(&name), Type::TEXT),
                (&since_ms, Type::INT8),
                (&revoked_ms, Type::INT8),
                (&is_revoked, Type::BOOL),
            ],
        )
        .await?;
    Ok(())
}

/// What stands here about a key of the same owner as `entry`.
async fn standing(
    client: &impl GenericClient,
    key: &PublicKey,
    entry: &KeyEntry,
    now: SystemTime,
) -> Result<Standing, Trouble> {
    let row = client
        .query_typed(
            "SELECT (SELECT count(*) FROM ampmesh_keys WHERE key = $1),
                 (SELECT count(*) FROM ampmesh_keys WHERE role = $2 AND ident = $3
                     AND NOT is_revoked AND (revoked_ms IS NULL OR revoked_ms > $4)),
                 (SELECT count(*) FROM ampmesh_keys)",
            &[
                (&key.to_string(), Type::TEXT),
                (&entry.role.as_str(), Type::TEXT),
                (&text(&entry.ident), Type::TEXT),
                (&to_ms(now), Type::INT8),
            ],
        )
        .await?;
    let count = |column: usize| -> Result<usize, tokio_postgres::Error> {
        let count = row.first().map_or(Ok(0), |row| row.try_get::<_, i64>(column))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    };
    Ok(Standing { is_known: count(0)? > 0, good: count(1)?, entries: count(2)? })
}

/// Enrols a key, if that is allowed.
pub(super) async fn enrol(
    client: &impl GenericClient,
    entry: &KeyEntry,
) -> Result<Enrolment, Trouble> {
    let outcome = rules::enrol(standing(client, &entry.key, entry, entry.since).await?);
    if outcome == Enrolment::Enrolled {
        write(client, entry).await?;
    }
    Ok(outcome)
}

/// An invite, if it is written down.
pub(super) async fn kept(
    client: &impl GenericClient,
    invite: &InviteId,
) -> Result<Option<KeptInvite>, Trouble> {
    let sql = "SELECT hash, expires_ms, used_ms FROM ampmesh_invites WHERE id = $1";
    let rows = client.query_typed(sql, &[(&invite.to_string(), Type::TEXT)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    // What this program cannot have written is no invite.
    let Ok(hash) = row.try_get::<_, &[u8]>(0)?.try_into() else { return Ok(None) };
    let used_ms: Option<i64> = row.try_get(2)?;
    Ok(Some(KeptInvite {
        hash: InviteHash::from_bytes(hash),
        expires: from_ms(row.try_get(1)?),
        is_used: used_ms.is_some(),
    }))
}

/// Enrols a key by an invite, if that is allowed, and uses the invite up.
pub(super) async fn join(
    client: &impl GenericClient,
    invite: &InviteId,
    hash: &InviteHash,
    entry: &KeyEntry,
) -> Result<Enrolment, Trouble> {
    if let Err(refused) = rules::admit(kept(client, invite).await?.as_ref(), hash, entry.since) {
        return Ok(refused);
    }
    let enrolled = enrol(client, entry).await?;
    if enrolled == Enrolment::Enrolled {
        client
            .execute_typed(
                "UPDATE ampmesh_invites SET used_ms = $2 WHERE id = $1",
                &[(&invite.to_string(), Type::TEXT), (&to_ms(entry.since), Type::INT8)],
            )
            .await?;
    }
    Ok(enrolled)
}

/// Has a key followed by the next, if that is allowed.
pub(super) async fn succeed(
    client: &impl GenericClient,
    present: &PublicKey,
    next: &PublicKey,
    now: SystemTime,
    until: SystemTime,
) -> Result<Enrolment, Trouble> {
    let Some(entry) = find(client, present).await? else { return Ok(Enrolment::Superseded) };
    let of_next = standing(client, next, &entry, now).await?;
    let Succession { present, next } = match rules::succeed(Some(entry), of_next, next, now, until)
    {
        Ok(succession) => succession,
        Err(refused) => return Ok(refused),
    };
    client
        .execute_typed(
            "DELETE FROM ampmesh_keys WHERE role = $1 AND ident = $2 AND revoked_ms <= $3",
            &[
                (&next.role.as_str(), Type::TEXT),
                (&next.ident, Type::TEXT),
                (&to_ms(now - KEPT_FOR), Type::INT8),
            ],
        )
        .await?;
    write(client, &present).await?;
    write(client, &next).await?;
    Ok(Enrolment::Enrolled)
}

/// Revokes all keys of the owner of this one, and gives those that were not revoked before.
pub(super) async fn revoke(
    client: &impl GenericClient,
    key: &PublicKey,
    now: SystemTime,
) -> Result<Vec<KeyEntry>, Trouble> {
    let Some(named) = find(client, key).await? else { return Ok(Vec::new()) };
    let sql = format!(
        "UPDATE ampmesh_keys SET is_revoked = true, revoked_ms = least(revoked_ms, $3)
         WHERE role = $1 AND ident = $2 AND NOT is_revoked
         RETURNING {}",
        Columns::NAMES
    );
    let rows = client
        .query_typed(
            &sql,
            &[
                (&named.role.as_str(), Type::TEXT),
                (&named.ident, Type::TEXT),
                (&to_ms(now), Type::INT8),
            ],
        )
        .await?;
    Ok(entries_of(&rows)?)
}

/// Writes an invite down, and forgets those that are of no use any more.
pub(super) async fn invite(
    client: &impl GenericClient,
    invite: &Invite,
    now: SystemTime,
) -> Result<(), Trouble> {
    let Invite { id, hash, expires } = invite;
    client
        .execute_typed(
            "DELETE FROM ampmesh_invites WHERE expires_ms <= $1",
            &[(&to_ms(now - KEPT_FOR), Type::INT8)],
        )
        .await?;
    let written = client
        .execute_typed(
            "INSERT INTO ampmesh_invites (id, hash, expires_ms)
             SELECT $1, $2, $3 WHERE (SELECT count(*) FROM ampmesh_invites) < $4",
            &[
                (&id.to_string(), Type::TEXT),
                (&hash.as_bytes().as_slice(), Type::BYTEA),
                (&to_ms(*expires), Type::INT8),
                (&limit(INVITES_MAX), Type::INT8),
            ],
        )
        .await?;
    if written == 0 {
        return Err(Trouble::TooMany { what: "invites", max: INVITES_MAX });
    }
    Ok(())
}
