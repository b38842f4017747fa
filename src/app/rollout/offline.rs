//! Watches the runners that should be online: the slots of this host, and the operator's base runners.
//!
//! Each worker records what it misses, so a restart does not reset the time. Missing slots are booted again at once.
//! jitgate cannot start the service of a base runner; it looks again and reports the runner.

use crate::app::context::Context;
use crate::app::pool::bounds;
use crate::app::records::{self, OfflineRecord};
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::rollout::offline::{self, Missing, Observed};
use crate::domain::rollout::{Offline, Outage};
use crate::domain::slot::{Slot, SlotState};
use crate::ports::ledger::Kind;
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, Utc};

/// Maximum number of workers on one store that are compared.
const MAX_WORKERS: usize = 1000;
/// Maximum number of runner names in one text.
const MAX_NAMED: usize = 8;

/// Observes the runners of this worker, and makes a recovery attempt if one is due.
///
/// # Errors
/// The failure of the ledger.
pub async fn observe(ctx: &Context) -> Result<(), Failure> {
    let now = ctx.clock.now();
    ctx.pool.watches_since(now);
    let known = own_record(ctx).await?;
    let slots = match &ctx.host {
        // A host that cannot list its slots has none.
        Some(host) => Some(host.list().await.unwrap_or_default()),
        None => None,
    };
    let slots = match slots {
        Some(slots) => offline::observe(known.slots.as_ref(), missing_slots(ctx, &slots), now),
        None => unchanged(known.slots.as_ref()),
    };
    let base = match ctx.pool.missing_base_runners() {
        Some(missing) => offline::observe(known.base.as_ref(), missing_base(missing), now),
        None => unchanged(known.base.as_ref()),
    };
    let (must_boot, must_look) = (slots.must_recover, base.must_recover);
    let new = OfflineRecord {
        slots: slots.state,
        base: base.state,
    };
    // The alerts end before the record does, so that a crash in between leaves none open.
    report(ctx, "slots", known.slots.as_ref(), new.slots.as_ref()).await?;
    report(ctx, "base", known.base.as_ref(), new.base.as_ref()).await?;
    if new != known {
        store(ctx, new).await?;
    }
    if must_boot {
        tracing::warn!("recovery attempt: broken slots are discarded, and new ones boot at once");
        ctx.pool.boot_at_once();
    }
    if must_look {
        ctx.pool.sweep_at_once();
    }
    Ok(())
}

fn unchanged(known: Option<&Offline>) -> Observed {
    Observed {
        state: known.cloned(),
        must_recover: false,
    }
}

fn missing_slots(ctx: &Context, slots: &[Slot]) -> Option<Missing> {
    let is_up = |slot: &&Slot| !matches!(slot.state, SlotState::Booting | SlotState::Ended(_));
    let (up, min) = (slots.iter().filter(is_up).count(), bounds::in_effect(ctx).min);
    let is_short = u32::try_from(up).is_ok_and(|up| up < min);
    is_short.then(|| Missing {
        what: format!(
            "{up} of at least {min} slots of worker {} are up",
            ctx.settings.instance
        ),
        runners: Vec::new(),
    })
}

fn missing_base(mut missing: Vec<String>) -> Option<Missing> {
    missing.sort_unstable();
    let named: Vec<&str> = missing.iter().map(String::as_str).take(MAX_NAMED).collect();
    let is = if missing.len() == 1 { "runner is" } else { "runners are" };
    (!missing.is_empty()).then(|| Missing {
        what: format!("{} base {is} not online: {}", missing.len(), named.join(", ")),
        runners: missing.clone(),
    })
}

/// Raises an alert about missing runners after the recovery attempt, and ends it when they are back.
async fn report(ctx: &Context, what: &str, known: Option<&Offline>, new: Option<&Offline>) -> Result<(), Failure> {
    let key = AlertKey::new(AlertKind::RunnerBootFailure, None);
    let key = key.caused_by(&format!("{what}-{}", ctx.settings.instance));
    let Some(offline) = new else {
        return match known {
            Some(_) => ctx.alerts.over(&key, None).await,
            None => Ok(()),
        };
    };
    if offline.recovery_attempted_at.is_none() {
        return Ok(());
    }
    let remedy = match what {
        "slots" => "jitgate boots new ones; see the log of the runner host",
        _ => "start the service of each of them on its machine, because jitgate does not start services",
    };
    let since = offline.since.format("%Y-%m-%dT%H:%M:%SZ");
    let summary = format!("{} since {since}; {remedy}", offline.what);
    ctx.alerts
        .raise_once(Alert::new(&key, None, &summary, ctx.clock.now()))
        .await
}

async fn own_record(ctx: &Context) -> Result<OfflineRecord, Failure> {
    let record = records::load(ctx.ledger.as_ref(), &ctx.settings.instance).await?;
    Ok(record.unwrap_or_default())
}

async fn store(ctx: &Context, new: OfflineRecord) -> Result<(), Failure> {
    let (ledger, id) = (ctx.ledger.as_ref(), ctx.settings.instance.as_str());
    if new == OfflineRecord::default() {
        return records::remove::<OfflineRecord>(ledger, id).await;
    }
    records::update(ledger, id, ctx.settings.retention, |record| *record = Some(new.clone())).await
}

/// Returns the outage of the runners that should be online, for the rollback trigger. Slots count as missing only if no
/// living worker has its slots.
///
/// # Errors
/// The failure of the ledger.
pub async fn outage(ctx: &Context) -> Result<Option<Outage>, Failure> {
    let own = own_record(ctx).await?;
    let mut found: Vec<Offline> = Vec::new();
    if own.slots.is_some() {
        found.extend(offline::of_all(&slots_of_all(ctx, own.slots).await?));
    }
    found.extend(own.base);
    let is_judged = |offline: &Offline| is_judged(ctx, offline, ctx.clock.now());
    found.retain(is_judged);
    Ok(first(found))
}

/// Returns the outage that the living workers have recorded, for commands.
///
/// # Errors
/// The failure of the ledger.
pub async fn recorded_outage(ledger: &dyn Ledger) -> Result<Option<Outage>, Failure> {
    let (mut slots, mut found) = (Vec::new(), Vec::new());
    for (instance, _) in ledger.list(Kind::Instance, None, MAX_WORKERS).await? {
        let record: Option<OfflineRecord> = records::load(ledger, &instance).await?;
        let OfflineRecord { slots: missing, base } = record.unwrap_or_default();
        slots.push(missing);
        found.extend(base);
    }
    found.extend(offline::of_all(&slots));
    Ok(first(found))
}

/// Returns the outage with the earliest recovery attempt.
fn first(found: Vec<Offline>) -> Option<Outage> {
    let first = found.iter().min_by_key(|offline| {
        let attempted = offline.recovery_attempted_at;
        (attempted.is_none(), attempted)
    });
    first.map(Offline::outage)
}

/// A worker that has just started first has the time of a boot. What an earlier process missed counts after that.
fn is_judged(ctx: &Context, offline: &Offline, now: DateTime<Utc>) -> bool {
    let watched_since = ctx.pool.watches_since(now);
    let attempted = offline.recovery_attempted_at;
    attempted.is_none_or(|at| at >= watched_since) || now - watched_since >= ctx.settings.deadlines.boot
}

/// Returns the slots that each living worker misses.
async fn slots_of_all(ctx: &Context, own: Option<Offline>) -> Result<Vec<Option<Offline>>, Failure> {
    let mut all = vec![own];
    let living = ctx.ledger.list(Kind::Instance, None, MAX_WORKERS).await?;
    for (instance, _) in living {
        if instance != ctx.settings.instance {
            let record: Option<OfflineRecord> = records::load(ctx.ledger.as_ref(), &instance).await?;
            all.push(record.and_then(|record| record.slots));
        }
    }
    Ok(all)
}
