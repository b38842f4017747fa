//! The alerts about a rollback: that routing was switched off, and that this fails.

use crate::app::context::Context;
use crate::app::settings::Repository;
use crate::domain::alert::{Alert, AlertKey, AlertKind, inert};
use crate::domain::rollout::{Cause, Rollback, Trigger};
use crate::ports::Failure;

/// Maximum length of the evidence and of the failure in one alert.
pub(super) const MAX_PART_CHARS: usize = 150;

/// Raises the alert with the evidence, once, and ends the one about a write that failed before.
pub(super) async fn report(ctx: &Context, repository: &Repository, rollback: &Rollback) -> Result<(), Failure> {
    end_failure(ctx, repository).await?;
    let Cause {
        trigger, evidence, job, ..
    } = &rollback.cause;
    let key = AlertKey::new(AlertKind::Rollback, Some(&repository.name));
    let is_about_a_job = *trigger == Trigger::RouteMismatch;
    let job = job.filter(|_| is_about_a_job);
    let summary = match is_about_a_job {
        true => format!("self-hosted routing was switched off: {}", evidence.summary),
        // The time distinguishes it from an earlier alert with the same evidence.
        false => format!(
            "self-hosted routing was switched off at {} because of {}: {}",
            rollback.at.format("%Y-%m-%dT%H:%M:%SZ"),
            trigger.as_str(),
            evidence.summary
        ),
    };
    let mut alert = Alert::new(&key, job, &summary, rollback.at);
    let verdict = evidence.items.first().filter(|_| is_about_a_job);
    alert.verdict = verdict.map_or_else(|| trigger.as_str().to_owned(), |item| item.detail.clone());
    match job {
        Some(_) => ctx.alerts.raise(alert).await,
        None => ctx.alerts.raise_once(alert).await,
    }
}

/// Raises an alert of its own while routing cannot be switched off, so that a person can do it.
pub(super) async fn report_failure(ctx: &Context, repository: &Repository, rollback: &Rollback) -> Result<(), Failure> {
    let Some(failing) = &rollback.failing else {
        return Ok(());
    };
    let Cause { trigger, evidence, .. } = &rollback.cause;
    let summary = format!(
        "self-hosted routing is still on, and the write that switches it off fails since {}: run `jitgate routing disable`. \
         Trigger: {}, {}. Failure: {}",
        failing.since.format("%Y-%m-%dT%H:%M:%SZ"),
        trigger.as_str(),
        inert(&evidence.summary, MAX_PART_CHARS),
        failing.what,
    );
    let mut alert = Alert::new(&failure_key(repository), None, &summary, ctx.clock.now());
    trigger.as_str().clone_into(&mut alert.verdict);
    ctx.alerts.raise_once(alert).await
}

/// Ends the alert about a write that failed.
pub(super) async fn end_failure(ctx: &Context, repository: &Repository) -> Result<(), Failure> {
    ctx.alerts.over(&failure_key(repository), None).await
}

fn failure_key(repository: &Repository) -> AlertKey {
    AlertKey::new(AlertKind::Rollback, Some(&repository.name)).caused_by("write")
}
