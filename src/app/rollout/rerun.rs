//! Re-runs a run exactly once.
//!
//! GitHub's own counter of attempts shows whether the re-run has happened, so a crash between the request and the mark
//! in the ledger causes no second one. GitHub refuses to re-run a run that has not ended, so of two requests at the same
//! time only one takes effect.

use crate::app::context::Context;
use crate::app::events::refusal::passing;
use crate::app::records::{self, RunRecord};
use crate::domain::ids::{RepositoryName, RunId};
use crate::ports::Failure;
use crate::ports::github::{Purpose, RunCommand};

/// The result of [`rerun_once`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Rerun {
    /// A newer attempt exists, by this call or an earlier one.
    Done,
    /// The run has not ended yet.
    Running,
    /// GitHub does not show the run.
    Gone,
    /// The attempt is itself a re-run by jitgate, and another one would end the same way.
    Futile,
}

/// Re-runs a whole run, unless it has an attempt after `attempt` already.
pub(in crate::app) async fn rerun_once(
    ctx: &Context,
    repository: &RepositoryName,
    run: RunId,
    attempt: u32,
) -> Result<Rerun, Failure> {
    let record = record_of(ctx, run).await?;
    if record.rerun_attempt >= Some(attempt) {
        return Ok(Rerun::Done);
    }
    if is_futile(&record, attempt) {
        // The workflow ignores the variable, so another re-run would ask for our runners again.
        tracing::warn!(run = run.0, %repository, "run {run} requests self-hosted runners again after its re-run");
        return Ok(Rerun::Futile);
    }
    if let Some(known) = look(ctx, repository, run, attempt).await? {
        return Ok(known);
    }
    match ctx.github.rerun_run(repository, run).await.map_err(passing)? {
        RunCommand::Accepted => {
            tracing::info!(run = run.0, %repository, "re-ran run {run}");
            mark(ctx, run, attempt).await?;
            Ok(Rerun::Done)
        }
        RunCommand::Gone => Ok(Rerun::Gone),
        RunCommand::TooLate => match look(ctx, repository, run, attempt).await? {
            Some(known) => Ok(known),
            None => Err(Failure::Transient(format!(
                "GitHub refuses to re-run run {run} of {repository}"
            ))),
        },
    }
}

/// Reports whether the attempt is a re-run by jitgate.
pub(in crate::app) fn is_futile(record: &RunRecord, attempt: u32) -> bool {
    record.rerun_attempt.is_some_and(|before| before + 1 == attempt)
}

/// Returns what is already done to a run.
pub(in crate::app) async fn record_of(ctx: &Context, run: RunId) -> Result<RunRecord, Failure> {
    let record = records::load(ctx.ledger.as_ref(), &run.to_string()).await?;
    Ok(record.unwrap_or_default())
}

/// Returns the result if GitHub's current record of the run makes a request unnecessary or impossible.
async fn look(ctx: &Context, repository: &RepositoryName, run: RunId, attempt: u32) -> Result<Option<Rerun>, Failure> {
    let shown = ctx.github.run_progress(repository, run, Purpose::Admit).await;
    Ok(match shown.map_err(passing)? {
        None => Some(Rerun::Gone),
        Some(shown) if shown.attempt > attempt => Some(Rerun::Done),
        Some(shown) if !shown.is_over => Some(Rerun::Running),
        Some(_) => None,
    })
}

async fn mark(ctx: &Context, run: RunId, attempt: u32) -> Result<(), Failure> {
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    records::update(ledger, &run.to_string(), retention, |record: &mut Option<RunRecord>| {
        let record = record.get_or_insert_default();
        record.rerun_attempt = record.rerun_attempt.max(Some(attempt));
    })
    .await
}
