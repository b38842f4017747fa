//! The plan of a pass: from records and slots to tasks.

use super::memory::{Limits, View};
use super::task::{FailedBoot, Task, job_key, slot_key};
use super::{bounds, report};
use crate::app::context::Context;
use crate::app::jobs::record::load_job;
use crate::app::quarantine::{self, GroupRecord};
use crate::app::records::{self, JobRecord, PoolRecord, RunnerRecord, WaitingRecord};
use crate::app::runners::thefts::Waiter;
use crate::domain::ids::JobId;
use crate::domain::job::Service;
use crate::domain::pool::{self, PlanStep, PoolSlot, Usage, WaitingJob};
use crate::domain::runner::{Outcome, RunnerState};
use crate::domain::runner_task::{self, RunnerTask, WatchedRunner};
use crate::domain::slot::{Slot, SlotSize, SlotState};
use crate::ports::{Event, Failure, RunnerHost};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Maximum time between the writes of two related records, unless a crash came in between.
const SETTLE_TIMEOUT: TimeDelta = TimeDelta::seconds(5);

/// A plan.
pub(super) struct Pass {
    /// The tasks, with distinct subjects.
    pub(super) tasks: Vec<Task>,
    /// True if runners are alive or jobs wait, so that the next pass must follow soon.
    pub(super) watch: bool,
    /// True if a slot boots, or a runner is not yet at work.
    pub(super) is_starting: bool,
    /// The pool as this pass sees it.
    pub(super) seen: PoolRecord,
}

/// The gathered state.
struct Observed {
    now: DateTime<Utc>,
    slots: Vec<Slot>,
    /// The runners of this instance.
    runners: Vec<RunnerRecord>,
    waiting_jobs: Vec<WaitingRecord>,
    /// The untrusted jobs of the runner groups of waiting jobs.
    groups: HashMap<String, GroupRecord>,
    memory: View,
    limits: Limits,
}

/// Gathers the state and plans the tasks.
pub(super) async fn plan_pass(ctx: &Context, host: &dyn RunnerHost) -> Result<Pass, Failure> {
    let now = ctx.clock.now();
    let began = ctx.pool.moment();
    let mut slots = host.list().await?;
    ctx.pool.note_slot_times(&slots);
    let kept = host.kept_disks().await.unwrap_or_else(|failure| {
        tracing::warn!(%failure, "the disks of failed slots are not listed");
        Vec::new()
    });
    let places = report::places(ctx, &slots).await;
    // The lowest place is served first, and the highest is discarded first.
    slots.sort_by_key(|slot| places.get(&slot.id.0).copied());
    for took in ctx.pool.booted(&slots, now) {
        ctx.observer.observe(&Event::SlotReady { took });
    }
    let mut runners: Vec<RunnerRecord> = records::all(ctx.ledger.as_ref()).await?;
    runners.retain(|runner| runner.instance == ctx.settings.instance);
    let waiting_jobs: Vec<WaitingRecord> = records::all(ctx.ledger.as_ref()).await?;
    let observed = Observed {
        now,
        slots,
        runners,
        groups: groups_of(ctx, &waiting_jobs).await?,
        waiting_jobs,
        memory: ctx.pool.view(began, now),
        limits: bounds::read(ctx).await?,
    };
    let strays = strays(ctx, &observed).await?;
    let mut tasks = runner_tasks(ctx, &observed, &strays);
    let slots = pool_slots(ctx, &observed, &mut tasks);
    let runner_of = |slot: &str| {
        let mut runners = observed.runners.iter();
        let owner = runners.find(|runner| runner.slot == slot);
        owner.map(|owner| owner.name.clone())
    };
    let seen = PoolRecord {
        kept_disks: kept,
        ..report::record(ctx, &observed.limits.bounds, &observed.slots, &slots, &runner_of)
    };
    for free in slots.iter().filter(|slot| slot.usage == Usage::Free) {
        ctx.pool.allow_boots(&free.size);
    }
    let waiting = unserved_jobs(ctx, &observed, &mut tasks);
    let plan = pool::plan(&waiting, &slots, &observed.memory.coming, &observed.limits.bounds, now);
    tasks.extend(plan.into_iter().map(|step| task(step, &observed.waiting_jobs)));
    let pass = TimeDelta::from_std(ctx.settings.pool_interval).unwrap_or(TimeDelta::MAX);
    if observed.memory.is_sweep_due(pass, now) {
        tasks.push(Task::Sweep);
    }
    tasks.retain(|task| observed.memory.allows(task));
    Ok(Pass {
        tasks,
        watch: !observed.runners.is_empty() || !waiting.is_empty(),
        is_starting: is_starting(&observed),
        seen,
    })
}

fn is_starting(observed: &Observed) -> bool {
    let boots = |slot: &Slot| slot.state == SlotState::Booting;
    let starts = |runner: &RunnerRecord| runner.state.is_alive() && runner.state != RunnerState::Running;
    !observed.memory.coming.is_empty() || observed.slots.iter().any(boots) || observed.runners.iter().any(starts)
}

async fn groups_of(ctx: &Context, waiting_jobs: &[WaitingRecord]) -> Result<HashMap<String, GroupRecord>, Failure> {
    let mut groups = HashMap::new();
    for waiting in waiting_jobs {
        let Some(repository) = ctx.settings.repository(waiting.repository.as_str()) else {
            continue;
        };
        if let Entry::Vacant(place) = groups.entry(repository.group_key()) {
            let group = quarantine::of_group(ctx.ledger.as_ref(), place.key()).await?;
            place.insert(group);
        }
    }
    Ok(groups)
}

/// Returns the end of the hold on a job whose runner an untrusted job could take.
fn quarantined_until(ctx: &Context, observed: &Observed, waiting: &WaitingRecord) -> Option<DateTime<Utc>> {
    let repository = ctx.settings.repository(waiting.repository.as_str())?;
    let waiter = Waiter::of(repository, waiting.event.job.id, waiting.received_at);
    observed
        .groups
        .get(&repository.group_key())?
        .holds_until(waiter, observed.now)
}

/// Returns the runners whose job has another runner or needs none. No idle runner stays registered.
async fn strays(ctx: &Context, observed: &Observed) -> Result<HashSet<String>, Failure> {
    let mut strays = HashSet::new();
    for runner in observed.runners.iter().filter(|runner| is_idle(runner, observed.now)) {
        let job = load_job(ctx, runner.job).await?;
        let waits = |job: &JobRecord| job.service == Service::Serving && job.runner.as_deref() == Some(&runner.name);
        if !job.as_ref().is_some_and(waits) && is_still_idle(ctx, runner, observed.now).await? {
            strays.insert(runner.name.clone());
        }
    }
    Ok(strays)
}

/// Returns true if a runner has no job at GitHub, and all records about its assignment are written.
fn is_idle(runner: &RunnerRecord, now: DateTime<Utc>) -> bool {
    let is_idle = matches!(runner.state, RunnerState::Booting | RunnerState::Online) && runner.taken_by.is_none();
    let since = runner.since().max(runner.handed_over_at);
    is_idle && since.is_some_and(|since| now - since > SETTLE_TIMEOUT)
}

/// Reads a listed runner again. A swap changes a spare runner before it changes jobs, so a runner that was handed over
/// meanwhile is not mistaken for a stray.
async fn is_still_idle(ctx: &Context, listed: &RunnerRecord, now: DateTime<Utc>) -> Result<bool, Failure> {
    let runner: Option<RunnerRecord> = records::load(ctx.ledger.as_ref(), &listed.name).await?;
    Ok(runner.is_some_and(|runner| runner.job == listed.job && is_idle(&runner, now)))
}

fn runner_tasks(ctx: &Context, observed: &Observed, strays: &HashSet<String>) -> Vec<Task> {
    let mut tasks = Vec::new();
    for runner in &observed.runners {
        let is_its = |slot: &&Slot| slot.id.0 == runner.slot && slot.runner.as_ref() == Some(&runner.name);
        let slot = observed.slots.iter().find(is_its);
        let watched = WatchedRunner {
            state: runner.state,
            taken_at: runner.taken_at,
            start_is_known: runner.evidence.started.is_some(),
            slot,
        };
        let is_removed = runner.state.is_alive() && observed.limits.remove.contains(&runner.slot);
        let task = if is_removed {
            Some(RunnerTask::End(Outcome::Removed, Some(observed.limits.why.clone())))
        } else if strays.contains(&runner.name) {
            let why = slot.and_then(|slot| slot.state.boot_failure());
            Some(RunnerTask::End(Outcome::Cancelled, why))
        } else {
            runner_task::next_task(watched, &ctx.settings.deadlines, observed.now)
        };
        tasks.extend(task.map(|task| Task::Runner(task, Box::new(runner.clone()))));
    }
    tasks
}

/// Returns the use of each slot. A slot that belongs to nothing is discarded.
fn pool_slots(ctx: &Context, observed: &Observed, tasks: &mut Vec<Task>) -> Vec<PoolSlot> {
    let mut slots = Vec::new();
    for slot in &observed.slots {
        let owner = observed.runners.iter().find(|runner| runner.slot == slot.id.0);
        let used = observed.memory.usage_of(&slot_key(&slot.id.0));
        let boots = slot.state == SlotState::Booting && observed.now - slot.since <= ctx.settings.deadlines.boot;
        let usage = match (owner, used) {
            (Some(owner), _) => Usage::Taken(Some(owner.repository.to_string())),
            (None, Some(usage)) => usage,
            (None, None) if boots => Usage::Booting,
            (None, None) if slot.state == SlotState::Ready => Usage::Free,
            (None, None) => {
                let size = slot.size.clone();
                let failed = slot.state.boot_failure().map(|why| FailedBoot { size, why });
                tasks.push(Task::Discard(slot.id.clone(), failed));
                Usage::Leaving
            }
        };
        slots.push(PoolSlot {
            id: slot.id.clone(),
            size: slot.size.clone(),
            usage,
        });
    }
    slots
}

/// Returns the size that the job requests, if it still exists. Otherwise the next decision shows that the job gets no runner.
fn current_size(ctx: &Context, waiting: &WaitingRecord) -> SlotSize {
    let repository = ctx.settings.repository(waiting.repository.as_str())?;
    repository.policy.labels.size_of(&waiting.event.job.labels)
}

/// Returns the waiting jobs. A job whose runner was never created is freed first.
fn unserved_jobs(ctx: &Context, observed: &Observed, tasks: &mut Vec<Task>) -> Vec<WaitingJob> {
    let mut jobs = Vec::new();
    let overdue = ctx.settings.deadlines.boot + ctx.settings.deadlines.gate;
    for waiting in &observed.waiting_jobs {
        let job = waiting.event.job.id;
        let lives = |name: &str| observed.runners.iter().any(|runner| runner.name == name);
        match &waiting.holder {
            None if !observed.memory.is_busy(&job_key(job)) => {
                let size = current_size(ctx, waiting);
                // A size that does not boot takes no place from other jobs until it is tried again.
                let held = (size.is_some() && observed.memory.holds_boots(&size)).then_some(DateTime::<Utc>::MAX_UTC);
                jobs.push(WaitingJob {
                    job,
                    repository: waiting.repository.to_string(),
                    size,
                    since: waiting.since,
                    not_before: waiting
                        .not_before
                        .max(quarantined_until(ctx, observed, waiting))
                        .max(held),
                });
            }
            Some(holder) if holder.instance == ctx.settings.instance && !lives(&holder.runner) => {
                tasks.push(Task::Release(job, holder.clone()));
            }
            // The holder has had more than the whole time of a runner.
            Some(holder) if observed.now - holder.since > overdue && holder.instance != ctx.settings.instance => {
                tasks.push(Task::TakeOver(Box::new(waiting.clone()), holder.clone()));
            }
            _ => {}
        }
    }
    jobs
}

fn task(step: PlanStep, waiting_jobs: &[WaitingRecord]) -> Task {
    let repository_of = |job: JobId| {
        let waiting = waiting_jobs.iter().find(|waiting| waiting.event.job.id == job);
        waiting.map_or_else(String::new, |waiting| waiting.repository.to_string())
    };
    match step {
        PlanStep::Boot(size) => Task::Boot(size),
        PlanStep::Discard(slot) => Task::Discard(slot, None),
        PlanStep::Serve { job, slot } => Task::Serve {
            job,
            slot,
            repository: repository_of(job),
        },
    }
}
