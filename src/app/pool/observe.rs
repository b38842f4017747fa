//! What a pass sees, and what follows from it: records and slots in, tasks out.

use super::memory::View;
use super::task::{Task, job_key, slot_key};
use crate::app::context::Gate;
use crate::app::quarantine::{self, GroupRecord, Waiter};
use crate::app::records::{self, JobRecord, RunnerRecord, Want};
use crate::app::runners::sweep;
use crate::domain::ids::JobId;
use crate::domain::job::Service;
use crate::domain::pool::{self, PlanStep, PoolSlot, Usage, WaitingJob};
use crate::domain::runner::{Outcome, RunnerState};
use crate::domain::runner_task::{self, RunnerTask, WatchedRunner};
use crate::domain::slot::{Slot, SlotState};
use crate::ports::{Event, Failure, RunnerHost};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Two records that belong together are no further apart than that, unless a crash came between.
const SETTLED_AFTER: TimeDelta = TimeDelta::seconds(5);

/// What is to be done.
pub(super) struct Pass {
    /// The tasks, none about what others are about.
    pub(super) tasks: Vec<Task>,
    /// Whether runners live or jobs wait, so that the next pass should not be long in coming.
    pub(super) watch: bool,
}

/// What there is.
struct Sight {
    now: DateTime<Utc>,
    slots: Vec<Slot>,
    /// Runners of this instance.
    runners: Vec<RunnerRecord>,
    wants: Vec<Want>,
    /// The untrusted jobs of the runner groups that are waited for.
    groups: HashMap<String, GroupRecord>,
    memory: View,
}

impl Gate {
    /// Gathers and plans.
    pub(super) async fn look(&self, host: &dyn RunnerHost) -> Result<Pass, Failure> {
        let now = self.clock.now();
        let began = self.pool.moment();
        let slots = host.list().await?;
        for took in self.pool.booted(&slots, now) {
            self.observer.observe(&Event::SlotReady { took });
        }
        let mut runners: Vec<RunnerRecord> = records::all(self.ledger.as_ref()).await?;
        runners.retain(|runner| runner.instance == self.settings.instance);
        let wants: Vec<Want> = records::all(self.ledger.as_ref()).await?;
        let sight = Sight {
            now,
            slots,
            runners,
            groups: self.groups_of(&wants).await?,
            wants,
            memory: self.pool.view(began, now),
        };
        let strays = self.strays(&sight).await?;
        let mut tasks = self.runner_tasks(&sight, &strays);
        let slots = self.pool_slots(&sight, &mut tasks);
        if slots.iter().any(|slot| slot.usage == Usage::Free) {
            self.pool.allow_boots();
        }
        let waiting = self.waiting(&sight, &mut tasks);
        let plan = pool::plan(&waiting, &slots, sight.memory.coming, &self.settings.pool, now);
        tasks.extend(plan.into_iter().map(|step| task(step, &sight.wants)));
        let pass = TimeDelta::from_std(self.settings.pool_interval).unwrap_or(TimeDelta::MAX);
        if sweep::is_due(sight.memory.swept, pass, now) {
            tasks.push(Task::Sweep);
        }
        tasks.retain(|task| sight.memory.allows(task));
        Ok(Pass {
            tasks,
            watch: !sight.runners.is_empty() || !waiting.is_empty(),
        })
    }

    async fn groups_of(&self, wants: &[Want]) -> Result<HashMap<String, GroupRecord>, Failure> {
        let mut groups = HashMap::new();
        for want in wants {
            let Some(repository) = self.settings.repository(want.repository.as_str()) else {
                continue;
            };
            if let Entry::Vacant(place) = groups.entry(repository.group_key()) {
                let group = quarantine::of_group(self.ledger.as_ref(), place.key()).await?;
                place.insert(group);
            }
        }
        Ok(groups)
    }

    /// Until when a job is held because untrusted ones could take its runner.
    fn quarantined_until(&self, sight: &Sight, want: &Want) -> Option<DateTime<Utc>> {
        let repository = self.settings.repository(want.repository.as_str())?;
        let waiter = Waiter::of(repository, want.event.job.id, want.received_at);
        sight
            .groups
            .get(&repository.group_key())?
            .holds_until(waiter, sight.now)
    }

    /// Runners that wait for a job which has another one, or none any more. No idle runner is to stay registered.
    async fn strays(&self, sight: &Sight) -> Result<HashSet<String>, Failure> {
        let mut strays = HashSet::new();
        for runner in &sight.runners {
            let idle = matches!(runner.state, RunnerState::Booting | RunnerState::Online) && runner.taken_by.is_none();
            let settled = runner.since().is_some_and(|since| sight.now - since > SETTLED_AFTER);
            if !idle || !settled {
                continue;
            }
            let job = self.job(runner.job).await?;
            let waits =
                |job: &JobRecord| job.service == Service::Serving && job.runner.as_deref() == Some(&runner.name);
            if !job.as_ref().is_some_and(waits) {
                strays.insert(runner.name.clone());
            }
        }
        Ok(strays)
    }

    fn runner_tasks(&self, sight: &Sight, strays: &HashSet<String>) -> Vec<Task> {
        let mut tasks = Vec::new();
        for runner in &sight.runners {
            let is_its = |slot: &&Slot| slot.id.0 == runner.slot && slot.runner.as_ref() == Some(&runner.name);
            let slot = sight.slots.iter().find(is_its);
            let watched = WatchedRunner {
                state: runner.state,
                taken_at: runner.taken_at,
                slot,
            };
            let task = if strays.contains(&runner.name) {
                let why = slot.and_then(|slot| slot.state.boot_failure());
                Some(RunnerTask::End(Outcome::Cancelled, why))
            } else {
                runner_task::next_task(watched, &self.settings.deadlines, sight.now)
            };
            tasks.extend(task.map(|task| Task::Runner(task, Box::new(runner.clone()))));
        }
        tasks
    }

    /// Returns the use of each slot. A slot that belongs to nothing is discarded.
    fn pool_slots(&self, sight: &Sight, tasks: &mut Vec<Task>) -> Vec<PoolSlot> {
        let mut slots = Vec::new();
        for slot in &sight.slots {
            let owner = sight.runners.iter().find(|runner| runner.slot == slot.id.0);
            let being_taken = sight.memory.taken_for(&slot_key(&slot.id.0));
            let boots = slot.state == SlotState::Booting && sight.now - slot.since <= self.settings.deadlines.boot;
            let usage = match (owner, being_taken) {
                (Some(owner), _) => Usage::Taken(Some(owner.repository.to_string())),
                (None, Some(repository)) => Usage::Taken(repository),
                (None, None) if boots => Usage::Booting,
                (None, None) if slot.state == SlotState::Ready => Usage::Free,
                (None, None) => {
                    tasks.push(Task::Discard(slot.id.clone(), slot.state.boot_failure()));
                    Usage::Taken(None)
                }
            };
            let id = slot.id.clone();
            slots.push(PoolSlot { id, usage });
        }
        slots
    }

    /// The jobs that wait. One whose runner never came to be is let go of first.
    fn waiting(&self, sight: &Sight, tasks: &mut Vec<Task>) -> Vec<WaitingJob> {
        let mut waiting = Vec::new();
        let overdue = self.settings.deadlines.boot + self.settings.deadlines.gate;
        for want in &sight.wants {
            let job = want.event.job.id;
            let lives = |name: &str| sight.runners.iter().any(|runner| runner.name == name);
            match &want.holder {
                None if !sight.memory.is_busy(&job_key(job)) => waiting.push(WaitingJob {
                    job,
                    repository: want.repository.to_string(),
                    since: want.since,
                    not_before: want.not_before.max(self.quarantined_until(sight, want)),
                }),
                Some(holder) if holder.instance == self.settings.instance && !lives(&holder.runner) => {
                    tasks.push(Task::Release(job, holder.runner.clone()));
                }
                // Whoever holds it has had all the time a runner has, and more.
                Some(holder) if sight.now - holder.since > overdue && holder.instance != self.settings.instance => {
                    tasks.push(Task::TakeOver(Box::new(want.clone()), holder.clone()));
                }
                _ => {}
            }
        }
        waiting
    }
}

fn task(step: PlanStep, wants: &[Want]) -> Task {
    let repository_of = |job: JobId| {
        let want = wants.iter().find(|want| want.event.job.id == job);
        want.map_or_else(String::new, |want| want.repository.to_string())
    };
    match step {
        PlanStep::Boot => Task::Boot,
        PlanStep::Discard(slot) => Task::Discard(slot, None),
        PlanStep::Serve { job, slot } => Task::Serve {
            job,
            slot,
            repository: repository_of(job),
        },
    }
}
