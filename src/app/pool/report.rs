//! The record of the last pass, for commands beside the worker. It is written when the slots change and in intervals, and
//! nothing depends on it except the places of the slots after a restart.

use crate::app::context::Context;
use crate::app::records::{self, PoolRecord};
use crate::domain::place::{PlacedSlot, assign_places};
use crate::domain::pool::{Bounds, PoolSlot, Usage};
use crate::domain::slot::Slot;
use chrono::TimeDelta;
use std::collections::BTreeMap;

/// Interval between two writes without a change.
const REPORT_INTERVAL: TimeDelta = TimeDelta::seconds(15);
/// Minimum time between two writes, because a crowd of jobs must not occupy the store.
const MIN_INTERVAL: TimeDelta = TimeDelta::seconds(1);

/// Returns the place of each slot, by its id. The first pass recalls the places from before a restart.
pub(super) async fn places(ctx: &Context, slots: &[Slot]) -> BTreeMap<String, u32> {
    let known = match ctx.pool.places() {
        Some(known) => known,
        None => recalled(ctx).await,
    };
    let places = assign_places(&known, slots.iter().map(|slot| slot.id.0.as_str()));
    ctx.pool.note_places(places.clone());
    places
}

async fn recalled(ctx: &Context) -> BTreeMap<String, u32> {
    let last = records::load::<PoolRecord>(ctx.ledger.as_ref(), &ctx.settings.instance).await;
    let slots = last.ok().flatten().map(|last| last.slots).unwrap_or_default();
    slots.into_iter().map(|slot| (slot.slot, slot.index)).collect()
}

/// Returns the record of a pass. `used` has the use of each slot, in the same order.
pub(super) fn record(
    ctx: &Context,
    bounds: &Bounds,
    slots: &[Slot],
    used: &[PoolSlot],
    runner_of: &dyn Fn(&str) -> Option<String>,
) -> PoolRecord {
    let places = ctx.pool.places().unwrap_or_default();
    let placed = |(slot, used): (&Slot, &PoolSlot)| PlacedSlot {
        index: places.get(&slot.id.0).copied().unwrap_or_default(),
        slot: slot.id.0.clone(),
        size: slot.size.clone(),
        state: slot.state.as_str().to_owned(),
        busy: matches!(used.usage, Usage::Taken(_)),
        ended: used.usage == Usage::Leaving,
        runner: runner_of(&slot.id.0),
    };
    PoolRecord {
        instance: ctx.settings.instance.clone(),
        pool: ctx.settings.pool_name.clone(),
        at: ctx.clock.now(),
        min: bounds.min,
        max: bounds.max,
        target: bounds.target,
        slots: slots.iter().zip(used).map(placed).collect(),
        kept_disks: Vec::new(),
    }
}

/// Writes the record if it is due. Returns true if a change waits for the next write.
pub(super) async fn publish(ctx: &Context, record: PoolRecord) -> bool {
    let last = ctx.pool.published();
    let elapsed = last.as_ref().map_or(TimeDelta::MAX, |last| record.at - last.at);
    let is_changed = last.as_ref().is_none_or(|last| {
        let same_time = PoolRecord {
            at: last.at,
            ..record.clone()
        };
        same_time != *last
    });
    if is_changed && elapsed < MIN_INTERVAL {
        return true;
    }
    if is_changed || elapsed >= REPORT_INTERVAL {
        write(ctx, record).await;
    }
    false
}

/// Writes the record.
pub(super) async fn write(ctx: &Context, record: PoolRecord) {
    let (ledger, id) = (ctx.ledger.as_ref(), ctx.settings.instance.as_str());
    let stored = records::update(ledger, id, ctx.settings.retention, |stored| {
        *stored = Some(record.clone())
    })
    .await;
    match stored {
        Ok(()) => ctx.pool.note_published(record),
        Err(failure) => tracing::debug!(%failure, "failed to record the pass of the pool"),
    }
}
