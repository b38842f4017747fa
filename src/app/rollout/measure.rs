//! The measurements of a decision, before its delivery is acknowledged: the job is listed in its measured run, or it is
//! counted in the tally of its repository.
//!
//! Everything else about a measured run is derived from the records of its jobs and runners later, in
//! [`super::refresh`], so that a crash loses nothing.
//!
//! A verdict that accuses is kept: the variable is switched off after it, and the verdict of the next event of the same
//! job rests on the new value.

use super::tally::TallyChange;
use crate::app::context::Context;
use crate::app::records::{self, CountChange, Counted, Entry, JobRecord, MeasuredRecord, VerdictsRecord};
use crate::app::settings::Repository;
use crate::domain::decision::{Action, Decision};
use crate::domain::event::MISSING_ATTEMPT;
use crate::domain::facts::Fact;
use crate::domain::labels::LabelsClass;
use crate::domain::rollout::{Lifecycle, MeasuredJob, MeasuredRun, Mismatch, WaitParts};
use crate::domain::routing::RoutingVerdict;
use crate::domain::trust::Trust;
use crate::ports::Failure;
use chrono::{DateTime, Utc};

/// Maximum number of jobs in a measured run. GitHub permits a matrix of 256 jobs.
const MAX_JOBS: usize = 256;

/// The consequences of a stored decision for the measurements.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::app) struct Measured {
    run_created_at: Option<DateTime<Utc>>,
    job_created_at: Option<DateTime<Utc>>,
    /// The pull request of the run, if the job belongs into a measured run.
    pull_request: Option<u64>,
    count: Option<CountChange>,
}

impl Measured {
    /// Derives the consequences from the record of the job, and marks the job as counted there.
    pub(in crate::app) fn of(repository: &Repository, entry: &Entry, record: &mut JobRecord) -> Self {
        let decision = &entry.decision;
        // A delivery can name a job that does not exist. Its run would wait for it for ever.
        let exists = entry.facts.live_job != Fact::Gone;
        let pull_request = measured_pull_request(repository, decision, record).filter(|_| exists);
        Self {
            run_created_at: record.run().and_then(|run| run.created_at),
            job_created_at: record.timing.created_at,
            pull_request,
            count: count(decision, record, pull_request.is_some()),
        }
    }
}

/// Returns the pull request if the job belongs into a measured run: it is trusted, its workflow follows the routing
/// variable, and it is on labels of the pool or should be.
fn measured_pull_request(repository: &Repository, decision: &Decision, record: &JobRecord) -> Option<u64> {
    let run = record.run()?;
    // A later verdict on a job that was not routed rests on the variable after a rollback.
    let was_unrouted = |entry: &Entry| entry.decision.routing.verdict == RoutingVerdict::NotRouted;
    let belongs_here = decision.labels_class == LabelsClass::Pool || record.decisions.iter().any(was_unrouted);
    let is_measured = decision.trust.verdict == Trust::Trusted
        && run.event == "pull_request"
        && repository.policy.routing.routes(&run.path)
        && belongs_here;
    decision.trust.pull_request.filter(|_| is_measured)
}

/// Returns the change of the tally, and marks it in the record of the job. The mark is stored with the decision, before
/// the tally: a delivery that is processed again finds its own mark, and the tally shows whether it knows the change.
fn count(decision: &Decision, record: &mut JobRecord, is_measured: bool) -> Option<CountChange> {
    let known = record.counted.as_ref();
    let old = known.and_then(|counted| counted.verdict);
    let verdict = decision.routing.verdict;
    let is_judged = matches!(decision.trust.verdict, Trust::Trusted | Trust::Untrusted);
    let new = match verdict {
        _ if old.is_some_and(accuses) => old,
        _ if is_measured => None,
        RoutingVerdict::Correct if is_judged => Some(verdict),
        RoutingVerdict::Misroute | RoutingVerdict::NotRouted => Some(verdict),
        _ => old,
    };
    let change = |from, is_redo| CountChange {
        job: decision.job.id,
        from,
        to: new,
        is_redo,
    };
    if let Some(known) = known.filter(|known| known.by == decision.delivery && known.verdict == new) {
        return Some(change(known.previous, true));
    }
    if new == old {
        return None;
    }
    record.counted = Some(Counted {
        verdict: new,
        previous: old,
        by: decision.delivery.clone(),
    });
    Some(change(old, false))
}

/// Returns true if the verdict is a mismatch.
fn accuses(verdict: RoutingVerdict) -> bool {
    matches!(verdict, RoutingVerdict::Misroute | RoutingVerdict::NotRouted)
}

/// Stores the measurements of a decision and wakes the rollout. A decision that changes nothing costs one read for a
/// job of a measured run, and nothing for other jobs.
pub(in crate::app) async fn note(
    ctx: &Context,
    repository: &Repository,
    decision: &Decision,
    measured: &Measured,
) -> Result<(), Failure> {
    let is_mismatch = [&decision.actions, &decision.would]
        .iter()
        .any(|actions| actions.contains(&Action::Rollback));
    let mismatch = is_mismatch.then_some(Mismatch {
        job: decision.job.id,
        run: decision.job.run_id,
        pull_request: decision.trust.pull_request,
        verdict: decision.routing.verdict,
        run_created_at: measured.run_created_at,
        at: decision.decided_at,
    });
    let is_listed = list_job(ctx, repository, decision, measured).await?;
    if measured.count.is_some() || mismatch.is_some() {
        let change = TallyChange {
            count: measured.count,
            mismatch,
        };
        let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
        ctx.tallies.write(ledger, &repository.name, retention, change).await?;
    }
    if is_listed || is_mismatch {
        ctx.rollout_woken.notify_one();
    }
    Ok(())
}

/// Lists the job in its measured run. Returns false if it belongs to none.
async fn list_job(
    ctx: &Context,
    repository: &Repository,
    decision: &Decision,
    measured: &Measured,
) -> Result<bool, Failure> {
    let (Some(pull_request), Some(created_at)) = (measured.pull_request, measured.run_created_at) else {
        return Ok(false);
    };
    let (ledger, job, name) = (ctx.ledger.as_ref(), &decision.job, &repository.name);
    let attempt = if job.run_attempt == MISSING_ATTEMPT {
        1
    } else {
        job.run_attempt
    };
    let id = MeasuredRecord::id(name, created_at, job.run_id, attempt);
    let known: Option<MeasuredRecord> = records::load(ledger, &id).await?;
    let verdict_of = |run: &MeasuredRun| settled(run.jobs.get(&job.id), decision.routing.verdict);
    let is_known = |known: &MeasuredRecord| {
        let listed = known.0.jobs.get(&job.id);
        listed.is_some_and(|listed| listed.verdict == verdict_of(&known.0))
    };
    if known.as_ref().is_some_and(is_known) {
        return Ok(true);
    }
    let tally_before = match known {
        Some(known) => known.0.tally_before,
        None => {
            let verdicts: Option<VerdictsRecord> = records::load(ledger, name.as_str()).await?;
            verdicts.unwrap_or_default().tally
        }
    };
    records::update(
        ledger,
        &id,
        ctx.settings.retention,
        |record: &mut Option<MeasuredRecord>| {
            let MeasuredRecord(run) = record.get_or_insert_with(|| {
                MeasuredRecord(MeasuredRun {
                    run: job.run_id,
                    attempt,
                    pull_request,
                    created_at,
                    jobs: std::collections::BTreeMap::new(),
                    tally_before,
                })
            });
            let verdict = verdict_of(run);
            if run.jobs.len() < MAX_JOBS || run.jobs.contains_key(&job.id) {
                run.jobs
                    .entry(job.id)
                    .or_insert_with(|| new_job(measured, verdict))
                    .verdict = verdict;
            }
        },
    )
    .await?;
    Ok(true)
}

/// Returns the verdict of a listed job after another decision. An accusation stays, and a missing fact changes nothing.
fn settled(listed: Option<&MeasuredJob>, new: RoutingVerdict) -> RoutingVerdict {
    match listed.map(|listed| listed.verdict) {
        Some(old) if accuses(old) || new == RoutingVerdict::Unjudged => old,
        _ => new,
    }
}

fn new_job(measured: &Measured, verdict: RoutingVerdict) -> MeasuredJob {
    MeasuredJob {
        verdict,
        created_at: measured.job_created_at,
        started_at: None,
        ended_at: None,
        parts: WaitParts::default(),
        setup_ms: None,
        lifecycle: match verdict {
            RoutingVerdict::NotRouted => Lifecycle::Elsewhere,
            _ => Lifecycle::Waiting,
        },
        live: None,
    }
}
