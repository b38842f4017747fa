//! Rollback: switches self-hosted routing off after a job was routed wrongly.

use crate::app::context::Context;
use crate::app::events::refusal::passing;
use crate::app::records::{self, RepositoryRecord, RolledBack, RunRecord};
use crate::app::settings::Repository;
use crate::domain::alert::{AlertKey, AlertKind};
use crate::domain::decision::Decision;
use crate::domain::facts::Facts;
use crate::ports::Failure;

/// Switches self-hosted routing off, once for a run, so that late events do not undo a later change by an operator. It
/// is recorded first, so that no queued job is served in between.
pub(in crate::app) async fn roll_back(
    ctx: &Context,
    repository: &Repository,
    decision: &Decision,
) -> Result<(), Failure> {
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    let (name, job, run) = (&repository.name, decision.job.id, decision.job.run_id.to_string());
    let done: Option<RunRecord> = records::load(ledger, &run).await?;
    if done.is_some_and(|record| record.rolled_back) {
        return Ok(());
    }
    let at = ctx.clock.now();
    records::update(
        ledger,
        name.as_str(),
        retention,
        |record: &mut Option<RepositoryRecord>| {
            let rolled_back = &mut record.get_or_insert_default().rolled_back;
            rolled_back.get_or_insert(RolledBack { at, job });
        },
    )
    .await?;
    let set = ctx.github.set_variable(name, &repository.variable, "false").await;
    set.map_err(passing)?;
    ctx.github_cache.forget_variable(name);
    tracing::error!(repository = %name, job = job.0, "switched self-hosted routing of {name} off");
    ctx.alerts.raise(decision.alert(AlertKind::Rollback)).await?;
    records::update(ledger, &run, retention, |record: &mut Option<RunRecord>| {
        record.get_or_insert_default().rolled_back = true;
    })
    .await
}

/// After an operator has switched routing on, an earlier rollback is over: a later change to off lets waiting jobs
/// drain.
pub(in crate::app) async fn forget_rollback(
    ctx: &Context,
    repository: &Repository,
    facts: &Facts,
) -> Result<(), Failure> {
    let switched_on = facts.variable.known().filter(|variable| variable.is_true());
    let (true, Some(on_since)) = (facts.ledger.rolled_back, switched_on.and_then(|on| on.updated_at)) else {
        return Ok(());
    };
    // An answer from before the rollback shows nothing about the state after it.
    let is_over = |record: &RepositoryRecord| record.rolled_back.as_ref().is_some_and(|it| it.at < on_since);
    let (ledger, name) = (ctx.ledger.as_ref(), &repository.name);
    if !records::load(ledger, name.as_str())
        .await?
        .is_some_and(|record| is_over(&record))
    {
        return Ok(());
    }
    let key = AlertKey::new(AlertKind::Rollback, Some(name));
    ctx.alerts.over(&key, None).await?;
    let retention = ctx.settings.retention;
    records::change(ledger, name.as_str(), retention, |record: &mut RepositoryRecord| {
        if is_over(record) {
            record.rolled_back = None;
        }
    })
    .await?;
    Ok(())
}
