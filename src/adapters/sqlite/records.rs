//! The statements of the ledger.

use super::time::later;
use crate::ports::ledger::{Keep, Key, Kind, Put, Stored};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

pub(super) fn expire(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    let mut forget = connection.prepare_cached("DELETE FROM records WHERE expires_at <= ?1")?;
    forget.execute([now])?;
    Ok(())
}

pub(super) fn get(connection: &Connection, now: i64, key: &Key) -> rusqlite::Result<Option<Stored>> {
    let mut select = connection.prepare_cached(
        "SELECT version, value FROM records
         WHERE kind = :kind AND id = :id AND (expires_at IS NULL OR expires_at > :now)",
    )?;
    select
        .query_row(
            named_params! {":kind": key.kind.as_str(), ":id": key.id, ":now": now},
            stored,
        )
        .optional()
}

pub(super) fn put(
    connection: &Connection,
    now: i64,
    key: &Key,
    value: &str,
    expected: Option<u64>,
    keep: Keep,
    max_spare: u64,
) -> rusqlite::Result<Put> {
    let found = get(connection, now, key)?.map(|stored| stored.version);
    if found != expected {
        return Ok(Put::Conflict);
    }
    let version = found.unwrap_or_default() + 1;
    let expires_at = match keep {
        Keep::Forever => None,
        Keep::For(time) | Keep::Spare(time) => Some(later(now, time)),
    };
    let spare_since = match keep {
        Keep::Forever | Keep::For(_) => None,
        Keep::Spare(_) => Some(next_spare(connection)?),
    };
    let mut upsert = connection.prepare_cached(
        "INSERT INTO records (kind, id, version, value, expires_at, spare_since)
             VALUES (:kind, :id, :version, :value, :expires_at, :spare_since)
         ON CONFLICT DO UPDATE SET
             version = :version, value = :value, expires_at = :expires_at, spare_since = :spare_since",
    )?;
    upsert.execute(named_params! {
        ":kind": key.kind.as_str(),
        ":id": key.id,
        ":version": version.cast_signed(),
        ":value": value,
        ":expires_at": expires_at,
        ":spare_since": spare_since,
    })?;
    if spare_since.is_some() {
        make_room(connection, max_spare)?;
    }
    Ok(Put::Written(version))
}

fn next_spare(connection: &Connection) -> rusqlite::Result<i64> {
    let mut last =
        connection.prepare_cached("SELECT coalesce(max(spare_since), 0) FROM records WHERE spare_since IS NOT NULL")?;
    last.query_row([], |row| row.get::<_, i64>(0))
        .map(|last| last.saturating_add(1))
}

/// Removes spare records until the rest fits.
fn make_room(connection: &Connection, max_spare: u64) -> rusqlite::Result<()> {
    let max = i64::try_from(max_spare).unwrap_or(i64::MAX);
    let mut count = connection.prepare_cached("SELECT spare_records FROM totals")?;
    let surplus = count.query_row([], |row| row.get::<_, i64>(0))?.saturating_sub(max);
    if surplus > 0 {
        let mut forget = connection.prepare_cached(
            "DELETE FROM records WHERE spare_since IN (
                 SELECT spare_since FROM records WHERE spare_since IS NOT NULL ORDER BY spare_since LIMIT ?1)",
        )?;
        forget.execute([surplus])?;
    }
    Ok(())
}

pub(super) fn remove(connection: &Connection, key: &Key) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM records WHERE kind = ?1 AND id = ?2")?;
    delete.execute((key.kind.as_str(), &key.id))?;
    Ok(())
}

pub(super) fn list(
    connection: &Connection,
    now: i64,
    kind: Kind,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<(String, Stored)>> {
    let mut select = connection.prepare_cached(
        "SELECT id, version, value FROM records
         WHERE kind = :kind AND id >= :from AND id IS NOT :after AND (expires_at IS NULL OR expires_at > :now)
         ORDER BY id LIMIT :limit",
    )?;
    let rows = select.query_map(
        named_params! {
            ":kind": kind.as_str(),
            ":from": after.unwrap_or_default(),
            ":after": after,
            ":now": now,
            ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
        },
        |row| Ok((row.get("id")?, stored(row)?)),
    )?;
    rows.collect()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        version: row.get::<_, i64>("version")?.cast_unsigned(),
        value: row.get("value")?,
    })
}
