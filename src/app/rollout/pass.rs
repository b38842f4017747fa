//! The loop of the rollout: gather the measured runs, judge the triggers, and roll back, report or go on.
//!
//! A pass has no input. Events and a timer only wake it. Each change is recorded by compare-and-set before its effect, so
//! several workers on one store, and a crash at any point, cause no second change.

use crate::app::context::Context;
use crate::app::records::{self, RolloutRecord, VerdictsRecord};
use crate::app::rollout::{confirm, offline, refresh, rollback, slo, stop, switch};
use crate::app::settings::Repository;
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::rollout::{
    Doubt, Grounds, MeasuredRun, Mismatch, Outage, Plan, Report, Reports, Situation, Trigger, Waits, decided, judge,
    plan,
};
use crate::ports::Failure;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use std::time::Duration;

/// Interval between passes without an event: a wait can exceed its limit without one.
const INTERVAL: Duration = Duration::from_secs(3);
/// Minimum time between two passes. A pass reads every job that waits or runs, so a crowd of events must not occupy the store.
const MIN_INTERVAL: Duration = Duration::from_secs(2);

/// Runs passes until `stop` resolves.
pub async fn run(ctx: &Context, stop: impl Future<Output = ()>) {
    let passes = async {
        loop {
            run_once(ctx).await;
            tokio::time::sleep(MIN_INTERVAL).await;
            tokio::select! {
                () = ctx.rollout_woken.notified() => {}
                () = tokio::time::sleep(INTERVAL - MIN_INTERVAL) => {}
            }
        }
    };
    // The next start repeats the steps of an interrupted pass.
    tokio::select! {
        () = stop => {}
        () = passes => {}
    }
}

/// Runs one pass over all repositories. Returns the number of steps that did something. A failure of one repository does
/// not prevent the others.
pub async fn run_once(ctx: &Context) -> usize {
    if let Err(failure) = offline::observe(ctx).await {
        tracing::warn!(%failure, "failed to observe the runners that should be online");
    }
    let passes = ctx.settings.repositories.iter().map(|repository| async move {
        let mut done = finish(ctx, repository).await;
        match go_on(ctx, repository).await {
            Ok(steps) => done += steps,
            Err(failure) => log_failure(repository, &failure),
        }
        done
    });
    join_all(passes).await.into_iter().sum()
}

/// Takes the due steps of an unfinished rollback and of an unfinished stop.
async fn finish(ctx: &Context, repository: &Repository) -> usize {
    let mut done = 0;
    for step in [
        rollback::resume(ctx, repository).await,
        stop::resume(ctx, repository).await,
    ] {
        match step {
            Ok(has_worked) => done += usize::from(has_worked),
            Err(failure) => log_failure(repository, &failure),
        }
    }
    done
}

fn log_failure(repository: &Repository, failure: &Failure) {
    tracing::warn!(repository = %repository.name, %failure, "a step of the rollout failed and is repeated");
}

/// The facts of a pass.
struct Gathered {
    runs: Vec<MeasuredRun>,
    /// The doubt about their queue waits.
    doubt: Option<Doubt>,
    mismatches: Vec<Mismatch>,
    outage: Option<Outage>,
    now: DateTime<Utc>,
}

/// Judges the triggers and takes the next steps.
async fn go_on(ctx: &Context, repository: &Repository) -> Result<usize, Failure> {
    let gathered = gather(ctx, repository).await?;
    let outage = gathered.outage.as_ref();
    if outage.is_some_and(|outage| outage.recovery_attempted_at.is_some())
        && let Err(failure) = switch::look(ctx, repository).await
    {
        // Without runners there may be no job whose decision shows that routing is on.
        tracing::warn!(repository = %repository.name, %failure, "failed to check whether routing is on during the outage");
    }
    let (plan, changed) = record_plan(ctx, repository, &gathered).await?;
    let mut done = usize::from(changed);
    for change in &plan.changes {
        let (what, why) = (change.what.as_str(), change.why.as_deref().unwrap_or_default());
        tracing::info!(repository = %repository.name, what, why, would = change.would, "rollout of {}: {what}", repository.name);
    }
    done += report(ctx, repository, &plan.reports).await?;
    if let Some(cause) = plan.roll_back {
        rollback::begin(ctx, repository, cause).await?;
        done += 1 + usize::from(rollback::resume(ctx, repository).await?);
    }
    if plan.stop {
        done += usize::from(stop::resume(ctx, repository).await?);
    }
    slo::check(ctx, &repository.name, &gathered.runs).await?;
    Ok(done)
}

async fn gather(ctx: &Context, repository: &Repository) -> Result<Gathered, Failure> {
    let mut runs = refresh::refresh(ctx, &repository.name).await?;
    let doubt = confirm::confirm(ctx, repository, &mut runs).await?;
    let verdicts: Option<VerdictsRecord> = records::load(ctx.ledger.as_ref(), repository.name.as_str()).await?;
    Ok(Gathered {
        runs,
        doubt,
        mismatches: verdicts.unwrap_or_default().mismatches,
        outage: offline::outage(ctx).await?,
        now: ctx.clock.now(),
    })
}

/// Plans the next steps and records them. Also returns true if the record has changed.
async fn record_plan(ctx: &Context, repository: &Repository, gathered: &Gathered) -> Result<(Plan, bool), Failure> {
    let (id, retention) = (repository.name.as_str(), ctx.settings.retention);
    records::update(ctx.ledger.as_ref(), id, retention, |stored| {
        let mut record: RolloutRecord = stored.clone().unwrap_or_default();
        let plan = plan_for(ctx, repository, gathered, &record);
        record.follow(&plan, gathered.now);
        record.doubt = gathered.doubt;
        let changed = record != stored.clone().unwrap_or_default();
        if changed {
            *stored = Some(record);
        }
        (plan, changed)
    })
    .await
}

fn plan_for(ctx: &Context, repository: &Repository, gathered: &Gathered, record: &RolloutRecord) -> Plan {
    let policy = &ctx.settings.rollout;
    let period = record.period();
    let judgements = judge(
        policy,
        &Grounds {
            period,
            runs: &gathered.runs,
            mismatches: &gathered.mismatches,
            outage: gathered.outage.as_ref(),
            waits: gathered
                .doubt
                .map_or(Waits::Confirmed, |doubt| doubt.waits(gathered.now)),
            now: gathered.now,
        },
    );
    let situation = Situation {
        mode: repository.policy.mode,
        policy,
        judgements: &judgements,
        decided: &decided(period, &gathered.runs),
        now: gathered.now,
    };
    plan(&record.canary, &record.reports, &situation)
}

/// Opens and ends the alerts about rollbacks that the mode `observe` only reports. Returns the number of changed alerts.
async fn report(ctx: &Context, repository: &Repository, reports: &Reports) -> Result<usize, Failure> {
    let mut changed = 0;
    for (trigger, report) in reports {
        let is_needed = report.needs_alert(*trigger);
        if is_needed == report.told {
            continue;
        }
        let key = AlertKey::new(AlertKind::Rollback, Some(&repository.name)).caused_by(trigger.as_str());
        match is_needed {
            true => ctx.alerts.raise_once(alert(&key, *trigger, report)).await?,
            false => ctx.alerts.over(&key, None).await?,
        }
        let (id, retention) = (repository.name.as_str(), ctx.settings.retention);
        records::change(ctx.ledger.as_ref(), id, retention, |record: &mut RolloutRecord| {
            if let Some(known) = record.reports.get_mut(trigger).filter(|known| known.at == report.at) {
                known.told = is_needed;
            }
        })
        .await?;
        changed += 1;
    }
    Ok(changed)
}

fn alert(key: &AlertKey, trigger: Trigger, report: &Report) -> Alert {
    // The time distinguishes it from an earlier alert with the same evidence.
    let summary = format!(
        "jitgate would switch self-hosted routing off at {} because of {}: {}",
        report.at.format("%Y-%m-%dT%H:%M:%SZ"),
        trigger.as_str(),
        report.summary
    );
    Alert::new(key, None, &summary, report.at)
}
