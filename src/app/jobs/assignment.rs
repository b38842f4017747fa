//! The assignment: the relation between a job and the runner that serves it. All its changes are made here.
//!
//! Three records store the assignment: the waiting job names its holder (a worker and a runner), the job names its
//! runner, and the runner names its job. No store changes them together, so each operation writes them one after the
//! other, and a crash can separate any two writes. Three rules make every such state repairable:
//!
//! - The holder is a lock. It is set first and freed last, so no two runners are made for one job.
//! - A runner is destroyed only after its job is released. The list of runners therefore contains every unfinished
//!   operation, and a repetition finds the earlier writes done.
//! - A job that needs a runner has the record of a waiting job, which is deleted last.
//!
//! Several workers change the same jobs at once, also on other machines. Each operation therefore reads what it depends
//! on again after its own first write: [`assign`] its holder, and [`swap`] the runner that it handed over. A runner is
//! ended for its job only while it is assigned to that job.
//!
//! | operation | order of writes | repair after a crash |
//! |---|---|---|
//! | [`assign`] | 1. holder, 2. runner, 3. job | after 1 the holder names no runner, and the pool calls [`take_over`]; after 2 the runner ends at its deadline, and [`release`] frees the holder |
//! | [`swap`] | 1. its holder, 2. spare runner, 3. other job, 4. the holder of that, 5. job, 6. runner | the delivery is processed again, and until 6 the runner names the other job; a spare runner that no job names is a stray, which the pool ends |
//! | [`start`] | 1. job, 2. waiting job deleted | the runner's own record shows that it passed the gate; its [`release`] closes the job and deletes the waiting job |
//! | [`release`] | 1. job, 2. holder freed or waiting job deleted | the runner is not destroyed yet, and the pool repeats its removal |
//! | [`take_over`] | 1. job, 2. holder freed | the holder is unchanged, and the pool repeats the operation |
//! | [`close`] | 1. job, 2. waiting job deleted | the pool finds a waiting job that is closed, and deletes it |

use super::record::change_job;
use super::waiting;
use crate::app::context::Context;
use crate::app::pool::memory::SlotTimes;
use crate::app::records::{self, Holder, JobRecord, RunnerRecord, WaitingRecord};
use crate::app::runners::record::change_runner;
use crate::domain::facts::Admitted;
use crate::domain::ids::JobId;
use crate::domain::job::{Progress, Service, ServiceEvent};
use crate::domain::runner::{Outcome, runner_name};
use crate::domain::slot::SlotId;
use crate::ports::Failure;
use chrono::{DateTime, Utc};

/// The result of [`assign`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::app) enum Assigned {
    /// The job has this runner, which is not requested yet.
    Runner(String),
    /// Another worker makes a runner for the job.
    Held,
    /// The job ended or received another runner meanwhile. The caller ends the named runner, which has a record, unless it
    /// was handed over to another job.
    Overtaken(String),
}

/// Assigns the next runner to a job. The name of the runner is stored before GitHub is asked for it.
pub(in crate::app) async fn assign(
    ctx: &Context,
    waiting: &WaitingRecord,
    job: &JobRecord,
    slot: &SlotId,
) -> Result<Assigned, Failure> {
    let (settings, now) = (&ctx.settings, ctx.clock.now());
    let number = job.mints + 1;
    let name = runner_name(&settings.name_prefix, &settings.instance, job.id, number);
    let holder = Holder {
        instance: settings.instance.clone(),
        runner: name.clone(),
        since: now,
    };
    let is_ours = waiting::change(ctx, job.id, |waiting| {
        let is_free = waiting.holder.is_none();
        waiting.holder.get_or_insert_with(|| holder.clone());
        is_free
    });
    if is_ours.await? != Some(true) {
        return Ok(Assigned::Held);
    }
    let repository = waiting.repository.clone();
    let mut runner = RunnerRecord {
        size: waiting.size.clone(),
        ..RunnerRecord::named(name.clone(), &settings.instance, repository, job.id, &slot.0, now)
    };
    let SlotTimes { made, booted } = ctx.pool.slot_times(slot);
    (runner.evidence.made, runner.evidence.booted) = (made, booted);
    records::update(ctx.ledger.as_ref(), &name, settings.retention, |record| {
        *record = Some(runner.clone());
    })
    .await?;
    // A swap replaces the holder before it looks for the record of a spare runner.
    let still_holds = waiting::change(ctx, job.id, |waiting| waiting.holder.as_ref() == Some(&holder)).await?;
    let is_named = change_job(ctx, job.id, |job| {
        if job.mints + 1 != number {
            return false;
        }
        // The name is used up, even if the runner serves another job.
        job.mints = number;
        let is_named =
            still_holds == Some(true) && job.advance(ServiceEvent::Name, now, format!("runner {name} is made"));
        if is_named {
            job.take_runner(&name);
        } else {
            job.mints_stolen += 1;
        }
        is_named
    });
    match is_named.await? {
        Some(true) => Ok(Assigned::Runner(name)),
        Some(false) | None => Ok(Assigned::Overtaken(name)),
    }
}

/// Assigns a runner to the trusted job that took it from another job. The other job receives a spare runner, if there is one,
/// or waits for a new one.
pub(in crate::app) async fn swap(ctx: &Context, runner: &RunnerRecord, job: JobId) -> Result<(), Failure> {
    let (name, other, now) = (runner.name.as_str(), runner.job, ctx.clock.now());
    let holder = Holder {
        instance: runner.instance.clone(),
        runner: name.to_owned(),
        since: now,
    };
    waiting::change(ctx, job, |waiting| waiting.holder = Some(holder.clone())).await?;
    let mut lost = name.to_owned();
    loop {
        let spare = spare_for(ctx, runner, job).await?;
        replace(
            ctx,
            other,
            &lost,
            spare.as_deref(),
            &format!("job {job} took its runner {name}"),
        )
        .await?;
        match spare {
            // Another swap took the spare runner before the job could name it.
            Some(spare) if !is_assigned(ctx, &spare, other).await? => lost = spare,
            Some(_) | None => break,
        }
    }
    change_job(ctx, job, |record| {
        record.take_runner(name);
        let what = format!("took runner {name}, made for job {other}");
        record.advance(ServiceEvent::Name, now, what);
    })
    .await?;
    change_runner(ctx, name, |record| record.job = job).await?;
    ctx.pool.wake();
    Ok(())
}

/// Replaces the runner that a job lost by a spare one, or lets the job wait for a new one.
async fn replace(ctx: &Context, job: JobId, lost: &str, spare: Option<&str>, why: &str) -> Result<(), Failure> {
    let now = ctx.clock.now();
    let is_over = change_job(ctx, job, |record| {
        if record.runner.as_deref() == Some(lost) {
            record.runner = None;
            if let Some(spare) = spare {
                record.take_runner(spare);
            } else if record.advance(ServiceEvent::Lose, now, why) {
                // The runner was taken from it, which costs it no attempt.
                record.mints_stolen += 1;
            }
        }
        record.service == Service::Wanted && record.progress.is_past_queued()
    })
    .await?;
    waiting::change(ctx, job, |waiting| {
        if let Some(holder) = waiting.holder.take_if(|holder| holder.runner == lost) {
            waiting.holder = spare.map(|spare| Holder {
                runner: spare.to_owned(),
                ..holder
            });
        }
    })
    .await?;
    if is_over == Some(true) {
        close(ctx, job, "is over").await?;
    }
    Ok(())
}

/// Hands a runner of `job` over to the job that loses the `taken` runner, and returns its name. If a third job has taken the
/// runner of `job`, the runner of that job is spare instead, and so on: jobs that take each other's runners need no further
/// one. Returns none and changes nothing if there is no spare runner.
async fn spare_for(ctx: &Context, taken: &RunnerRecord, job: JobId) -> Result<Option<String>, Failure> {
    loop {
        let runners: Vec<RunnerRecord> = records::all(ctx.ledger.as_ref()).await?;
        let Some(spare) = find_spare(&runners, taken, job) else {
            return Ok(None);
        };
        if hand_over(ctx, &spare.name, spare.job, taken.job).await? {
            return Ok(Some(spare.name.clone()));
        }
    }
}

fn find_spare<'r>(runners: &'r [RunnerRecord], taken: &RunnerRecord, job: JobId) -> Option<&'r RunnerRecord> {
    // An interrupted swap has handed over a runner already.
    let mut jobs = vec![taken.job, job];
    let mut next = 0;
    while let Some(from) = jobs.get(next).copied() {
        // GitHub would give the job no runner of another size.
        let fits = |runner: &&RunnerRecord| {
            let is_candidate = runner.job == from && runner.name != taken.name;
            is_candidate && runner.state.is_alive() && runner.size == taken.size
        };
        for runner in runners.iter().filter(fits) {
            match runner.taken_by {
                Some(third) if third != taken.job && jobs.contains(&third) => {}
                Some(third) if third != taken.job => jobs.push(third),
                Some(_) | None => return Some(runner),
            }
        }
        next += 1;
    }
    None
}

/// Hands a runner over from one job to another. Returns false if it has ended or belongs to a third job meanwhile.
async fn hand_over(ctx: &Context, runner: &str, from: JobId, to: JobId) -> Result<bool, Failure> {
    let now = ctx.clock.now();
    let handed_over = change_runner(ctx, runner, |runner| {
        let is_spare = runner.state.is_alive() && runner.job == from && runner.taken_by.is_none_or(|by| by == to);
        if is_spare && from != to {
            runner.job = to;
            runner.handed_over_at = Some(now);
        }
        is_spare
    });
    Ok(handed_over.await? == Some(true))
}

async fn is_assigned(ctx: &Context, runner: &str, job: JobId) -> Result<bool, Failure> {
    let runner: Option<RunnerRecord> = records::load(ctx.ledger.as_ref(), runner).await?;
    Ok(runner.is_some_and(|runner| runner.job == job))
}

/// Records that a job passed the gate of its runner, with its verdict.
pub(in crate::app) async fn start(
    ctx: &Context,
    runner: &RunnerRecord,
    job: JobId,
    admitted: &Admitted,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    change_job(ctx, job, |record| {
        record.progress = record.progress.max(Progress::InProgress);
        record.admitted = Some(admitted.clone());
        let what = format!("let through the gate of runner {}", runner.name);
        record.advance(ServiceEvent::Begin, now, what);
    })
    .await?;
    waiting::forget(ctx, job).await
}

/// The result of [`release`].
#[derive(Debug, Clone, Copy)]
pub(in crate::app) struct Released {
    /// The outcome of the runner as it counts for its job.
    pub(in crate::app) outcome: Outcome,
    /// The job has no attempt left.
    pub(in crate::app) gave_up: bool,
    /// GitHub has refused a runner for so long that an operator must know.
    pub(in crate::app) refused_for_long: bool,
}

/// Releases the job of an ended runner: the job is closed, waits for its next runner, or is given up. Returns none if
/// the job is unknown.
pub(in crate::app) async fn release(ctx: &Context, runner: &RunnerRecord) -> Result<Option<Released>, Failure> {
    let (now, settings) = (ctx.clock.now(), &ctx.settings);
    let served = runner.has_served_its_job();
    // A stolen runner can end in more than one way. None of them is a fault of its job or of the host, and neither is a
    // swap, which is no theft.
    let taken = runner.was_stolen() || (runner.passed_gate && !served);
    let stolen = taken.then_some(Outcome::Stolen);
    let outcome = stolen.or(runner.outcome).unwrap_or(Outcome::Died);
    let changed = change_job(ctx, runner.job, |job| {
        let mut released = Released {
            outcome,
            gave_up: false,
            refused_for_long: false,
        };
        let mut wait = None;
        let is_its = job.runner.as_deref() == Some(&runner.name);
        let what = format!(
            "runner {} has ended: {}{}",
            runner.name,
            outcome.as_str(),
            runner.more()
        );
        let is_over = job.progress.is_past_queued() || outcome == Outcome::Cancelled || served;
        if is_its && is_over {
            job.advance(ServiceEvent::Close, now, what);
        } else if is_its && job.advance(ServiceEvent::Lose, now, what) {
            wait = job.lose_runner(outcome, runner.named_at().unwrap_or(now), now);
            if job.attempts_left(settings.attempts) == 0 {
                let what = format!("got no runner in {} attempts", settings.attempts);
                released.gave_up = job.advance(ServiceEvent::GiveUp, now, what);
            }
            released.refused_for_long = outcome.is_no_runner_from_github() && job.is_refused_for_long(now);
            job.was_given_up |= released.gave_up || released.refused_for_long;
        }
        let has_no_other = job.runner.as_ref().is_none_or(|name| *name == runner.name);
        (released, job.service == Service::Wanted, has_no_other, wait)
    })
    .await?;
    let Some((released, is_wanted, has_no_other, wait)) = changed else {
        return Ok(None);
    };
    if is_wanted {
        waiting::change(ctx, runner.job, |waiting| {
            if waiting.holder.take_if(|holder| holder.runner == runner.name).is_some() {
                waiting.not_before = wait.map(|wait| now + wait);
            }
        })
        .await?;
    } else if has_no_other {
        waiting::forget(ctx, runner.job).await?;
    }
    Ok(Some(released))
}

/// Takes a job from a holder whose runner never comes up, so that any worker can make another runner for it.
pub(in crate::app) async fn take_over(ctx: &Context, job: JobId, holder: &Holder, why: &str) -> Result<(), Failure> {
    let now = ctx.clock.now();
    change_job(ctx, job, |record| {
        if record.runner.as_ref() == Some(&holder.runner) && record.advance(ServiceEvent::Lose, now, why) {
            record.runner = None;
        }
    })
    .await?;
    waiting::change(ctx, job, |waiting| {
        waiting.holder.take_if(|held| held == holder);
    })
    .await?;
    Ok(())
}

/// Closes a job that is over or no longer admitted.
pub(in crate::app) async fn close(ctx: &Context, job: JobId, why: &str) -> Result<(), Failure> {
    let now = ctx.clock.now();
    change_job(ctx, job, |record| record.advance(ServiceEvent::Close, now, why)).await?;
    waiting::forget(ctx, job).await
}
