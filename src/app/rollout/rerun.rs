//! Re-runs a run exactly once.
//!
//! GitHub's own counter of attempts shows whether the re-run has happened, so a crash between the request and the mark
//! in the ledger causes no second one. GitHub refuses to re-run a run that has not ended, so of two requests at the same
//! time only one takes effect.
//!
//! The ledger shows before the request that a run is re-run because a job was lost, because the events of the new attempt
//! can arrive before the answer to the request. With the mark, the new attempt may use our runners (`domain::own_rerun`).

use crate::app::context::Context;
use crate::app::events::refusal::passing;
use crate::app::records::{self, RunRecord};
use crate::domain::ids::{RepositoryName, RunId};
use crate::ports::Failure;
use crate::ports::github::{Purpose, RunCommand};

/// The reason for a re-run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Why {
    /// A job was lost with its machine.
    Lost,
    /// Routing was switched off, and the run waits for a self-hosted runner.
    RolledBack,
}

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
    why: Why,
) -> Result<Rerun, Failure> {
    let record = record_of(ctx, run).await?;
    if record.rerun_attempt >= Some(attempt) {
        return Ok(Rerun::Done);
    }
    if is_futile(&record, attempt, why) {
        tracing::warn!(run = run.0, %repository, ?why, "run {run} is not re-run again: attempt {attempt} is a re-run itself");
        return Ok(Rerun::Futile);
    }
    if let Some(known) = look(ctx, repository, run, attempt).await? {
        return Ok(known);
    }
    if why == Why::Lost {
        change(ctx, run, |record| {
            record.rerun_lost_attempt = record.rerun_lost_attempt.max(Some(attempt));
        })
        .await?;
    }
    match ctx.github.rerun_run(repository, run).await.map_err(passing)? {
        RunCommand::Accepted => {
            tracing::info!(run = run.0, %repository, "re-ran run {run}");
            change(ctx, run, |record| {
                record.rerun_attempt = record.rerun_attempt.max(Some(attempt));
            })
            .await?;
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

/// Reports whether the attempt is a re-run by jitgate, and another one for this reason would end the same way: a second
/// machine is lost, or the workflow ignores the variable. A re-run after a loss was not routed anew because of a rollback.
pub(in crate::app) fn is_futile(record: &RunRecord, attempt: u32, why: Why) -> bool {
    let follows = |before: Option<u32>| before.and_then(|before| before.checked_add(1)) == Some(attempt);
    let follows_a_loss = follows(record.rerun_lost_attempt);
    match why {
        Why::Lost => follows_a_loss || follows(record.rerun_attempt),
        Why::RolledBack => !follows_a_loss && follows(record.rerun_attempt),
    }
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

async fn change(ctx: &Context, run: RunId, change: impl Fn(&mut RunRecord) + Send + Sync) -> Result<(), Failure> {
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    records::update(ledger, &run.to_string(), retention, |record: &mut Option<RunRecord>| {
        change(record.get_or_insert_default());
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_re_run_once_and_a_re_run_after_a_loss_can_still_be_rolled_back() {
        for (lost, reran, attempt, why, futile) in [
            (None, None, 1, Why::Lost, false),
            (Some(1), None, 1, Why::Lost, false),
            (Some(1), Some(1), 2, Why::Lost, true),
            // The answer to the request got lost.
            (Some(1), None, 2, Why::Lost, true),
            (Some(1), Some(1), 3, Why::Lost, false),
            (None, Some(1), 2, Why::Lost, true),
            (None, Some(1), 2, Why::RolledBack, true),
            (Some(1), Some(1), 2, Why::RolledBack, false),
            (Some(1), Some(2), 3, Why::RolledBack, true),
        ] {
            let record = RunRecord {
                rerun_lost_attempt: lost,
                rerun_attempt: reran,
                ..RunRecord::default()
            };
            assert_eq!(is_futile(&record, attempt, why), futile, "{record:?} {attempt} {why:?}");
        }
    }
}
