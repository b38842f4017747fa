//! The capacity of the pool.

use super::{bounds, task::slot_key};
use crate::app::context::Context;
use crate::domain::slot::Slot;
use crate::ports::Failure;

/// Returns true if all slots are in use, by runners or by jobs that are about to get one.
pub(in crate::app) async fn is_full(ctx: &Context) -> Result<bool, Failure> {
    let Some(host) = &ctx.host else { return Ok(false) };
    let slots = host.list().await?;
    let memory = ctx.pool.view(ctx.pool.moment(), ctx.clock.now());
    let taken = |slot: &&Slot| slot.runner.is_some() || memory.is_busy(&slot_key(&slot.id.0));
    let taken = slots.iter().filter(taken).count();
    Ok(u32::try_from(taken).map_or(true, |taken| taken >= bounds::in_effect(ctx).max))
}
