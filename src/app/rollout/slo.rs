//! The service levels of a repository: their report, and the alert when a breach begins.

use crate::app::context::Context;
use crate::app::records::{self, VerdictsRecord};
use crate::app::rollout::refresh;
use crate::domain::alert::{Alert, AlertKey, AlertKind, AlertState};
use crate::domain::ids::RepositoryName;
use crate::domain::rollout::slo::{self, SloReport, TargetReport};
use crate::domain::rollout::{MeasuredRun, SloPolicy};
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;

/// Returns the service levels from the ledger, without changing anything.
///
/// # Errors
/// The failure of the ledger.
pub async fn report(
    ledger: &dyn Ledger,
    repository: &RepositoryName,
    policy: &SloPolicy,
    now: DateTime<Utc>,
) -> Result<SloReport, Failure> {
    let runs = refresh::newest(ledger, repository, now, refresh::runs_for(policy.window)).await?;
    let verdicts = verdicts(ledger, repository).await?;
    Ok(slo::report(repository, &runs, verdicts.tally, policy, now))
}

/// Raises `slo-breach` for each objective whose breach begins, and ends the alert of each one that is met again. Each
/// state is stored after its alert, so that a crash repeats the alert and does not lose it.
///
/// # Errors
/// The failure of the ledger.
pub async fn check(ctx: &Context, repository: &RepositoryName, runs: &[MeasuredRun]) -> Result<(), Failure> {
    let (ledger, now) = (ctx.ledger.as_ref(), ctx.clock.now());
    let verdicts = verdicts(ledger, repository).await?;
    let report = slo::report(repository, runs, verdicts.tally, &ctx.settings.slo, now);
    if !report.enough {
        return Ok(());
    }
    let mut missed: BTreeSet<String> = verdicts.missed.clone();
    for target in &report.targets {
        let name = target.name.as_str();
        let key = AlertKey::new(AlertKind::SloBreach, Some(repository)).caused_by(name);
        match target.met {
            Some(false) if missed.insert(name.to_owned()) => begin(ctx, &key, &report, target, now).await?,
            Some(true) if missed.remove(name) => ctx.alerts.over(&key, None).await?,
            _ => {}
        }
    }
    if missed == verdicts.missed {
        return Ok(());
    }
    let retention = ctx.settings.retention;
    records::update(
        ledger,
        repository.as_str(),
        retention,
        |record: &mut Option<VerdictsRecord>| {
            record.get_or_insert_default().missed.clone_from(&missed);
        },
    )
    .await
}

async fn begin(
    ctx: &Context,
    key: &AlertKey,
    report: &SloReport,
    target: &TargetReport,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let known: Option<Alert> = records::load(ctx.ledger.as_ref(), &key.id()).await?;
    if known.is_some_and(|known| known.state != AlertState::Resolved) {
        // A crash came between the alert and the state.
        return Ok(());
    }
    let mut summary = summary(report, target);
    if let Some(worst) = report.worst.first() {
        summary.push_str(&format!("; worst: job {}: {}", worst.job, worst.why));
    }
    ctx.alerts.raise(Alert::new(key, None, &summary, now)).await
}

/// Returns one sentence about a missed target.
fn summary(report: &SloReport, target: &TargetReport) -> String {
    let (name, sample) = (target.name.as_str(), target.sample);
    let value = target.value.unwrap_or_default();
    let bound = if target.name.is_share() { "below" } else { "above" };
    format!(
        "{}: {name} is {value:.3}, {bound} the target {} over the newest {} trusted runs (sample {sample})",
        report.repository, target.target, report.window
    )
}

async fn verdicts(ledger: &dyn Ledger, repository: &RepositoryName) -> Result<VerdictsRecord, Failure> {
    let verdicts: Option<VerdictsRecord> = records::load(ledger, repository.as_str()).await?;
    Ok(verdicts.unwrap_or_default())
}
