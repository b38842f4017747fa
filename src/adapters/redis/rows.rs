//! The answers of the scripts, converted to the types of the port. An unexpected value is a [`Failure::Permanent`].

use super::body;
use crate::domain::event::Action;
use crate::domain::ids::{DeliveryId, JobId};
use crate::ports::Failure;
use crate::ports::queue::{Delivery, DeliveryState, Lease};
use chrono::{DateTime, SecondsFormat, Utc};
use redis::{FromRedisValue, ParsingError, Value};

/// A delivery as `describe` in shard.lua returns it: id, event, action, repository, job, received, state, attempts,
/// until, cause, placed.
pub(super) type DeliveryRow = (
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    String,
    String,
    u32,
    Option<i64>,
    Option<String>,
    i64,
);

/// Returns a delivery and the time at which it got its place in the order of arrival (ms, server's clock).
pub(super) fn delivery(row: DeliveryRow) -> Result<(i64, Delivery), Failure> {
    let (id, event, action, repository, job, received, state, attempts, until, cause, placed) = row;
    let state = DeliveryState::parse(&state).ok_or_else(|| unknown("state", &state))?;
    let id = guid(&id)?;
    let delivery = Delivery {
        synthesized: id.is_synthesized(),
        id,
        event,
        action: action.as_deref().and_then(Action::parse),
        repository: repository.filter(|name| !name.is_empty()),
        // The field is empty if the job could not be parsed.
        job: job.and_then(|id| id.parse().ok()).map(JobId),
        received_at: moment(&received)?,
        state,
        attempts,
        due_at: until
            .filter(|_| state == DeliveryState::Queued)
            .and_then(DateTime::from_timestamp_millis),
        cause,
    };
    Ok((placed, delivery))
}

/// A lease as claim.lua returns it: id, received, attempts before, token, packed body.
pub(super) type LeaseRow = (String, String, u32, String, Vec<u8>);

pub(super) fn lease((id, received, attempts, token, packed): LeaseRow) -> Result<Lease, Failure> {
    let body = body::unpack(&packed).unwrap_or_else(|| {
        // Without a body it becomes a dead letter, which an operator sees.
        tracing::error!(
            delivery = id,
            "the body of delivery {id} is missing or damaged in Redis"
        );
        Vec::new()
    });
    Ok(Lease {
        id: guid(&id)?,
        received_at: moment(&received)?,
        attempts,
        body,
        token,
    })
}

/// The depth of one shard, as depth.lua returns it.
pub(super) struct ShardDepth {
    pub(super) unfinished: u64,
    pub(super) leased: u64,
    pub(super) delayed: u64,
    pub(super) dead: u64,
    pub(super) unfinished_bytes: u64,
    pub(super) body_bytes: u64,
    /// The time at which the oldest unfinished delivery was received.
    pub(super) oldest: Option<String>,
}

impl FromRedisValue for ShardDepth {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (unfinished, leased, delayed, dead, unfinished_bytes, body_bytes, oldest) = redis::from_redis_value(value)?;
        Ok(Self {
            unfinished,
            leased,
            delayed,
            dead,
            unfinished_bytes,
            body_bytes,
            oldest,
        })
    }
}

/// Formats a time for the store; [`moment`] parses it.
pub(super) fn stored_moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

pub(super) fn moment(stored: &str) -> Result<DateTime<Utc>, Failure> {
    let parsed = DateTime::parse_from_rfc3339(stored).map_err(|_| unknown("time", stored))?;
    Ok(parsed.to_utc())
}

fn guid(text: &str) -> Result<DeliveryId, Failure> {
    DeliveryId::parse(text).ok_or_else(|| unknown("GUID", text))
}

fn unknown(what: &str, text: &str) -> Failure {
    Failure::Permanent(format!("invalid {what} in Redis: {text:?}"))
}
