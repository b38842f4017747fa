//! The queue's statements that write. Each runs inside a transaction of the writer, after [`expire`].
//!
//! One column says when an unfinished delivery may be claimed. A claim only moves it to the end of the lease, so an
//! expired lease needs no clean-up. The pair of place and attempts never occurs twice, so it identifies a lease.

use super::body::StoredBody;
use super::time::{earlier, from_ms, later, to_ms};
use crate::domain::event::Action;
use crate::domain::ids::{DeliveryId, JobId};
use crate::ports::queue::{Accepted, Bounds, Lease, Priority};
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};
use std::time::Duration;

/// An arrival with a packed body.
pub(super) struct Incoming {
    pub(super) id: DeliveryId,
    pub(super) event: String,
    pub(super) received_at: DateTime<Utc>,
    pub(super) work: Option<IncomingWork>,
}

/// The part of an arrival that is queued or becomes a dead letter at once.
pub(super) struct IncomingWork {
    pub(super) action: Option<Action>,
    pub(super) repository: Option<String>,
    pub(super) job: Option<JobId>,
    pub(super) treatment: Treatment,
    pub(super) body_bytes: u64,
    pub(super) body: StoredBody,
}

/// The treatment of an arrival with a body.
pub(super) enum Treatment {
    Queued(Priority),
    /// A dead letter with this cause.
    Dead(String),
}

/// A claimed delivery without its body.
pub(super) struct Claimed {
    place: i64,
    number: i64,
    lease: Lease,
}

/// Removes the deliveries that finished longer ago than the retention.
pub(super) fn expire(connection: &Connection, now: i64, retention: Duration) -> rusqlite::Result<()> {
    let mut forget = connection.prepare_cached("DELETE FROM deliveries WHERE finished_at <= ?1")?;
    forget.execute([earlier(now, retention)])?;
    Ok(())
}

pub(super) fn accept(
    connection: &Connection,
    now: i64,
    bounds: &Bounds,
    incoming: &Incoming,
) -> rusqlite::Result<Accepted> {
    let mut select = connection.prepare_cached("SELECT state FROM deliveries WHERE id = ?1")?;
    let known: Option<String> = select.query_row([incoming.id.as_str()], |row| row.get(0)).optional()?;
    let priority = match incoming.work.as_ref().map(|work| &work.treatment) {
        Some(Treatment::Queued(priority)) => Some(*priority),
        Some(Treatment::Dead(_)) | None => None,
    };
    match (known.as_deref(), priority) {
        (None, _) | (Some("dead"), Some(_)) => {}
        (Some(_), _) => return Ok(Accepted::AlreadySeen),
    }
    if let (Some(work), Some(priority)) = (&incoming.work, priority)
        && !has_room(connection, bounds, priority, work.body_bytes)?
    {
        return Ok(Accepted::Full);
    }
    if known.is_some() {
        let mut delete = connection.prepare_cached("DELETE FROM deliveries WHERE id = ?1")?;
        delete.execute([incoming.id.as_str()])?;
    }
    insert(connection, now, incoming)?;
    if let Some(work) = &incoming.work {
        let mut insert =
            connection.prepare_cached("INSERT INTO bodies (number, encoding, bytes) VALUES (?1, ?2, ?3)")?;
        insert.execute((connection.last_insert_rowid(), work.body.encoding, &work.body.bytes))?;
        make_room(connection, bounds)?;
    }
    Ok(Accepted::Taken)
}

fn has_room(connection: &Connection, bounds: &Bounds, priority: Priority, body_bytes: u64) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached("SELECT unfinished, unfinished_bytes FROM totals")?;
    let (unfinished, bytes): (i64, i64) = select.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (unfinished, bytes) = (unfinished.cast_unsigned(), bytes.cast_unsigned());
    Ok(bounds.have_room(priority, body_bytes, unfinished, bytes))
}

fn insert(connection: &Connection, now: i64, incoming: &Incoming) -> rusqlite::Result<()> {
    let work = incoming.work.as_ref();
    let (state, due_at, finished_at, cause) = match work.map(|work| &work.treatment) {
        Some(Treatment::Queued(_)) => ("queued", Some(now), None, None),
        Some(Treatment::Dead(cause)) => ("dead", None, Some(now), Some(cause)),
        None => ("ignored", None, Some(now), None),
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO deliveries
             (place, id, event, action, repository, job, received_at, state, due_at, finished_at, cause, body_bytes)
         VALUES (:place, :id, :event, :action, :repository, :job, :received_at, :state, :due_at, :finished_at, :cause,
             :body_bytes)",
    )?;
    insert.execute(named_params! {
        ":place": next_place(connection)?,
        ":id": incoming.id.as_str(),
        ":event": incoming.event,
        ":action": work.and_then(|work| work.action).map(Action::as_str),
        ":repository": work.and_then(|work| work.repository.as_deref()),
        ":job": work.and_then(|work| work.job).map(|job| job.0.cast_signed()),
        ":received_at": to_ms(incoming.received_at),
        ":state": state,
        ":due_at": due_at,
        ":finished_at": finished_at,
        ":cause": cause,
        ":body_bytes": work.map_or(0, |work| work.body_bytes.cast_signed()),
    })?;
    Ok(())
}

fn next_place(connection: &Connection) -> rusqlite::Result<i64> {
    let mut next = connection.prepare_cached("UPDATE totals SET last_place = last_place + 1 RETURNING last_place")?;
    next.query_row([], |row| row.get(0))
}

/// Drops bodies of finished deliveries until the rest fits.
fn make_room(connection: &Connection, bounds: &Bounds) -> rusqlite::Result<()> {
    let max = i64::try_from(bounds.bodies_max_bytes).unwrap_or(i64::MAX);
    // This is a statement of its own. A join would compare the total with every finished delivery at every arrival.
    let mut is_too_much = connection.prepare_cached("SELECT body_bytes > ?1 FROM totals")?;
    let mut oldest = connection.prepare_cached(
        "SELECT number FROM deliveries WHERE finished_at IS NOT NULL AND body_bytes > 0
         ORDER BY state = 'dead', place LIMIT 1",
    )?;
    let mut drop_body = connection.prepare_cached("DELETE FROM bodies WHERE number = ?1")?;
    let mut forget_size = connection.prepare_cached("UPDATE deliveries SET body_bytes = 0 WHERE number = ?1")?;
    while is_too_much.query_row([max], |row| row.get(0))?
        && let Some(number) = oldest.query_row([], |row| row.get::<_, i64>(0)).optional()?
    {
        drop_body.execute([number])?;
        forget_size.execute([number])?;
    }
    Ok(())
}

/// The oldest due delivery of each job that has no leased delivery.
pub(super) const NEXT_OF_EACH_JOB: &str = "FROM deliveries AS this
    WHERE finished_at IS NULL AND due_at <= :now AND NOT EXISTS (
        SELECT 1 FROM deliveries AS other
        WHERE other.finished_at IS NULL AND other.job = this.job
            AND iif(other.due_at <= :now, other.place < this.place, other.state = 'leased'))";

/// Claims the next deliveries with their packed bodies, in the order of their places.
pub(super) fn claim(
    connection: &Connection,
    now: i64,
    limit: usize,
    lease_for: Duration,
) -> rusqlite::Result<Vec<(Lease, StoredBody)>> {
    let mut lease = connection.prepare_cached(&format!(
        "UPDATE deliveries SET state = 'leased', due_at = :until, attempts = attempts + 1
         WHERE number IN (SELECT number {NEXT_OF_EACH_JOB} ORDER BY place LIMIT :limit)
         RETURNING number, place, id, received_at, attempts"
    ))?;
    let rows = lease.query_map(
        named_params! {
            ":now": now,
            ":until": later(now, lease_for),
            ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
        },
        claimed,
    )?;
    let mut claimed = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    claimed.sort_unstable_by_key(|claimed| claimed.place);
    let mut body = connection.prepare_cached("SELECT encoding, bytes FROM bodies WHERE number = ?1")?;
    let with_body = |claimed: Claimed| Ok((claimed.lease, body.query_row([claimed.number], StoredBody::read)?));
    claimed.into_iter().map(with_body).collect()
}

fn claimed(row: &Row<'_>) -> rusqlite::Result<Claimed> {
    let place: i64 = row.get("place")?;
    let attempts: u32 = row.get("attempts")?;
    let lease = Lease {
        id: delivery_id(row)?,
        received_at: from_ms(row.get("received_at")?),
        attempts: attempts.saturating_sub(1),
        body: Vec::new(),
        token: format!("{place}.{attempts}"),
    };
    let number = row.get("number")?;
    Ok(Claimed { place, number, lease })
}

/// Parses the column `id`.
pub(super) fn delivery_id(row: &Row<'_>) -> rusqlite::Result<DeliveryId> {
    let text: String = row.get("id")?;
    DeliveryId::parse(&text).ok_or_else(|| rusqlite::Error::InvalidColumnName(format!("id {text:?}")))
}

pub(super) fn hold(
    connection: &Connection,
    now: i64,
    id: &DeliveryId,
    token: &str,
    lease_for: Duration,
) -> rusqlite::Result<bool> {
    let until = later(now, lease_for);
    change_if_held(connection, now, id, token, "due_at = :until", &[(":until", &until)])
}

pub(super) fn ack(connection: &Connection, now: i64, lease: &Lease) -> rusqlite::Result<()> {
    change_leased(
        connection,
        now,
        lease,
        "state = 'done', due_at = NULL, finished_at = :now",
        &[],
    )
}

pub(super) fn retry(
    connection: &Connection,
    now: i64,
    lease: &Lease,
    delay: Duration,
    cause: &str,
) -> rusqlite::Result<()> {
    let due_at = later(now, delay);
    change_leased(
        connection,
        now,
        lease,
        "state = 'queued', due_at = :due_at, cause = :cause",
        &[(":due_at", &due_at), (":cause", &cause)],
    )
}

pub(super) fn dead_letter(connection: &Connection, now: i64, lease: &Lease, cause: &str) -> rusqlite::Result<()> {
    change_leased(
        connection,
        now,
        lease,
        "state = 'dead', due_at = NULL, finished_at = :now, cause = :cause",
        &[(":cause", &cause)],
    )
}

fn change_leased(
    connection: &Connection,
    now: i64,
    lease: &Lease,
    change: &str,
    values: &[(&str, &dyn ToSql)],
) -> rusqlite::Result<()> {
    change_if_held(connection, now, &lease.id, &lease.token, change, values).map(drop)
}

/// Changes a leased delivery if the lease still holds it. Returns whether it does.
fn change_if_held(
    connection: &Connection,
    now: i64,
    id: &DeliveryId,
    token: &str,
    change: &str,
    values: &[(&str, &dyn ToSql)],
) -> rusqlite::Result<bool> {
    let mut update = connection.prepare_cached(&format!(
        "UPDATE deliveries SET {change}
         WHERE id = :id AND place || '.' || attempts = :token AND state = 'leased' AND due_at > :now"
    ))?;
    let id = id.as_str();
    let mut all: Vec<(&str, &dyn ToSql)> = vec![(":id", &id), (":token", &token), (":now", &now)];
    all.extend_from_slice(values);
    Ok(update.execute(&*all)? > 0)
}

pub(super) fn requeue(connection: &Connection, now: i64, bounds: &Bounds, id: &DeliveryId) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached(
        "SELECT finished_at IS NULL, bodies.number IS NOT NULL
         FROM deliveries LEFT JOIN bodies USING (number) WHERE id = ?1",
    )?;
    let found = select.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)));
    match found.optional()? {
        Some((true, _)) => Ok(true),
        None | Some((false, false)) => Ok(false),
        Some((false, true)) => {
            let mut update = connection.prepare_cached(
                "UPDATE deliveries SET place = :place, state = 'queued', attempts = 0, due_at = :now,
                     finished_at = NULL, cause = NULL
                 WHERE id = :id",
            )?;
            update.execute(named_params! {":place": next_place(connection)?, ":now": now, ":id": id.as_str()})?;
            make_room(connection, bounds)?;
            Ok(true)
        }
    }
}

pub(super) fn forget_dead(connection: &Connection, id: &DeliveryId) -> rusqlite::Result<bool> {
    let mut delete = connection.prepare_cached("DELETE FROM deliveries WHERE id = ?1 AND state = 'dead'")?;
    Ok(delete.execute([id.as_str()])? > 0)
}
