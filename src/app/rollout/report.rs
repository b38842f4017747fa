//! The alert about a rollback.

use crate::app::context::Context;
use crate::app::settings::Repository;
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::rollout::{Cause, Rollback, Trigger};
use crate::ports::Failure;

/// Raises the alert with the evidence, once.
pub(super) async fn report(ctx: &Context, repository: &Repository, rollback: &Rollback) -> Result<(), Failure> {
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

/// Raises the alert although routing is still on, so that a person can switch it off.
pub(super) async fn report_failure(
    ctx: &Context,
    repository: &Repository,
    rollback: &Rollback,
    failure: &Failure,
) -> Result<(), Failure> {
    let key = AlertKey::new(AlertKind::Rollback, Some(&repository.name));
    let summary = format!(
        "self-hosted routing must be switched off because of {}, and this fails: {failure}; run `jitgate routing disable`",
        rollback.cause.trigger.as_str()
    );
    ctx.alerts
        .raise_once(Alert::new(&key, None, &summary, rollback.at))
        .await
}
