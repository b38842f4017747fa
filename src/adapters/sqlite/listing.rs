//! The queue's statements that read. They skip expired rows, even if those are still in the file.

use super::body::StoredBody;
use super::deliveries::{NEXT_OF_EACH_JOB, delivery_id};
use super::time::{from_ms, to_ms};
use crate::domain::event::Action;
use crate::domain::ids::{DeliveryId, JobId};
use crate::ports::queue::{Delivery, DeliveryState, Depth, Filter};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params};

/// The times that a read uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: i64,
    /// Deliveries that finished at this time or before have expired.
    pub(super) forgotten: i64,
}

pub(super) fn one(connection: &Connection, at: Moment, id: &DeliveryId) -> rusqlite::Result<Option<Delivery>> {
    let mut select = connection.prepare_cached(
        "SELECT * FROM deliveries WHERE id = :id AND (finished_at IS NULL OR finished_at > :forgotten)",
    )?;
    select
        .query_row(named_params! {":id": id.as_str(), ":forgotten": at.forgotten}, |row| {
            delivery(row, at.now)
        })
        .optional()
}

pub(super) fn newest(
    connection: &Connection,
    at: Moment,
    filter: &Filter,
    limit: usize,
) -> rusqlite::Result<Vec<Delivery>> {
    let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    // These words are constants, so they need no quoting. The index of unfinished deliveries is used only if the
    // condition is literal.
    let only_unfinished = !states.is_empty() && states.iter().all(|state| matches!(*state, "queued" | "leased"));
    let kept = if only_unfinished {
        "finished_at IS NULL"
    } else {
        "(finished_at IS NULL OR finished_at > :forgotten)"
    };
    let of_state = if states.is_empty() {
        String::new()
    } else {
        let states = states.join("', '");
        format!("AND iif(state = 'leased' AND due_at <= :now, 'queued', state) IN ('{states}')")
    };
    let of_job = if filter.job.is_some() { "AND job = :job" } else { "" };
    let mut select = connection.prepare_cached(&format!(
        "SELECT * FROM deliveries
         WHERE {kept} {of_state} {of_job}
             AND (:repository IS NULL OR repository = :repository COLLATE NOCASE)
             AND (:since IS NULL OR received_at >= :since)
         ORDER BY place DESC LIMIT :limit"
    ))?;
    let values: [(&str, &dyn ToSql); 6] = [
        (":now", &at.now),
        (":forgotten", &at.forgotten),
        (":job", &filter.job.map(|job| job.0.cast_signed())),
        (":repository", &filter.repository),
        (":since", &filter.since.map(to_ms)),
        (":limit", &i64::try_from(limit).unwrap_or(i64::MAX)),
    ];
    for (name, value) in values {
        if let Some(index) = select.parameter_index(name)? {
            select.raw_bind_parameter(index, value)?;
        }
    }
    let rows = select.raw_query();
    rows.mapped(|row| delivery(row, at.now)).collect()
}

pub(super) fn body(connection: &Connection, at: Moment, id: &DeliveryId) -> rusqlite::Result<Option<StoredBody>> {
    let mut select = connection.prepare_cached(
        "SELECT encoding, bytes FROM deliveries JOIN bodies USING (number)
         WHERE id = :id AND (finished_at IS NULL OR finished_at > :forgotten)",
    )?;
    select
        .query_row(
            named_params! {":id": id.as_str(), ":forgotten": at.forgotten},
            StoredBody::read,
        )
        .optional()
}

pub(super) fn depth(connection: &Connection, at: Moment) -> rusqlite::Result<Depth> {
    let mut select = connection.prepare_cached(
        "SELECT count(*) FILTER (WHERE due_at <= :now) AS ready,
                count(*) FILTER (WHERE due_at > :now AND state = 'queued') AS delayed,
                count(*) FILTER (WHERE due_at > :now AND state = 'leased') AS leased,
                (SELECT count(*) FROM deliveries WHERE finished_at > :forgotten AND state = 'dead') AS dead,
                (SELECT body_bytes FROM totals)
                    - (SELECT coalesce(sum(body_bytes), 0) FROM deliveries WHERE finished_at <= :forgotten) AS body_bytes,
                min(received_at) AS oldest
         FROM deliveries WHERE finished_at IS NULL",
    )?;
    let count = |row: &Row<'_>, name| row.get::<_, i64>(name).map(i64::cast_unsigned);
    select.query_row(named_params! {":now": at.now, ":forgotten": at.forgotten}, |row| {
        Ok(Depth {
            ready: count(row, "ready")?,
            delayed: count(row, "delayed")?,
            leased: count(row, "leased")?,
            dead: count(row, "dead")?,
            body_bytes: count(row, "body_bytes")?,
            oldest: row.get::<_, Option<i64>>("oldest")?.map(from_ms),
        })
    })
}

/// Returns the time of the next due delivery: a retry or the end of a lease.
pub(super) fn next_due(connection: &Connection, now: i64) -> rusqlite::Result<Option<i64>> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT iif(EXISTS (SELECT 1 {NEXT_OF_EACH_JOB}), :now,
                    (SELECT min(due_at) FROM deliveries WHERE finished_at IS NULL AND due_at > :now))"
    ))?;
    select.query_row(named_params! {":now": now}, |row| row.get(0))
}

fn delivery(row: &Row<'_>, now: i64) -> rusqlite::Result<Delivery> {
    let due_at: Option<i64> = row.get("due_at")?;
    let state = match row.get_ref("state")?.as_str()? {
        "leased" if due_at.is_some_and(|until| until > now) => DeliveryState::Leased,
        "queued" | "leased" => DeliveryState::Queued,
        "done" => DeliveryState::Done,
        "ignored" => DeliveryState::Ignored,
        _ => DeliveryState::Dead,
    };
    let action: Option<String> = row.get("action")?;
    let id = delivery_id(row)?;
    Ok(Delivery {
        synthesized: id.is_synthesized(),
        id,
        event: row.get("event")?,
        action: action.as_deref().and_then(Action::parse),
        repository: row.get("repository")?,
        job: row.get::<_, Option<i64>>("job")?.map(|job| JobId(job.cast_unsigned())),
        received_at: from_ms(row.get("received_at")?),
        state,
        attempts: row.get("attempts")?,
        due_at: due_at.filter(|_| state == DeliveryState::Queued).map(from_ms),
        cause: row.get("cause")?,
    })
}
