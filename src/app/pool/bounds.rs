//! The bounds in effect: those that an operator stored, otherwise the configured ones. Every pass reads them, so a change
//! needs no restart.

use super::memory::Limits;
use crate::app::context::Context;
use crate::app::records::{self, BoundsRecord};
use crate::domain::pool::Bounds;
use crate::ports::Failure;
use std::collections::BTreeSet;
use std::time::Duration;

/// Interval at which a resting pool looks for a change of the stored bounds.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Reads the bounds and remembers them for [`in_effect`]. Bounds that this version cannot read do not apply.
pub(super) async fn read(ctx: &Context) -> Result<Limits, Failure> {
    let limits = load(ctx).await?;
    ctx.pool.note_limits(limits.clone());
    Ok(limits)
}

/// Returns the bounds that the last pass used.
pub(in crate::app) fn in_effect(ctx: &Context) -> Bounds {
    ctx.pool.limits().map_or(ctx.settings.pool, |limits| limits.bounds)
}

/// Returns when the stored bounds have changed since the last pass.
pub(super) async fn until_changed(ctx: &Context) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        if let (Ok(stored), Some(used)) = (load(ctx).await, ctx.pool.limits())
            && stored != used
        {
            return;
        }
    }
}

async fn load(ctx: &Context) -> Result<Limits, Failure> {
    let stored: Option<BoundsRecord> = match records::load(ctx.ledger.as_ref(), &ctx.settings.pool_name).await {
        Err(failure @ Failure::Permanent(_)) => {
            tracing::error!(%failure, "the stored bounds of the pool are unreadable, and the configured ones apply");
            None
        }
        stored => stored?,
    };
    let configured = &ctx.settings.pool;
    Ok(match stored {
        None => Limits {
            bounds: *configured,
            remove: BTreeSet::new(),
            why: String::new(),
        },
        Some(stored) => Limits {
            bounds: stored.bounds(configured),
            why: why(&stored),
            remove: stored.remove.into_iter().collect(),
        },
    })
}

fn why(stored: &BoundsRecord) -> String {
    let by = stored.origin.by.as_deref().unwrap_or("an operator");
    let why = stored
        .origin
        .why
        .as_ref()
        .map_or_else(String::new, |why| format!(": {why}"));
    format!("{by} removed its busy slot{why}")
}
