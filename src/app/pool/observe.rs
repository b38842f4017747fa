//! What a pass sees, and what follows from it: records and environments in, tasks out.

use super::memory::View;
use super::task::{RunnerTask, Task, job_key, slot_key};
use crate::app::context::Gate;
use crate::app::quarantine::{self, GroupRecord, Waiter};
use crate::app::records::{self, JobRecord, RunnerRecord, Want};
use crate::app::runners::sweep;
use crate::domain::care::{self, Care, Environment, Watched};
use crate::domain::ids::JobId;
use crate::domain::job::Service;
use crate::domain::pool::{self, Seat, Step, Taken, Waiting};
use crate::domain::runner::{Outcome, RunnerState};
use crate::ports::runner_host::{Ending, Hello, Slot, SlotId, SlotState};
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
        let mut tasks = self.care_for_runners(&sight, &strays);
        let seats = self.seats(&sight, &mut tasks);
        if seats.iter().any(|seat| seat.taken == Taken::Free) {
            self.pool.allow_boots();
        }
        let waiting = self.waiting(&sight, &mut tasks);
        let plan = pool::plan(&waiting, &seats, sight.memory.coming, &self.settings.pool, now);
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

    fn care_for_runners(&self, sight: &Sight, strays: &HashSet<String>) -> Vec<Task> {
        let mut tasks = Vec::new();
        for runner in &sight.runners {
            let is_its = |slot: &&Slot| slot.id.0 == runner.slot && slot.runner.as_ref() == Some(&runner.name);
            let slot = sight.slots.iter().find(is_its);
            let watched = Watched {
                state: runner.state,
                since: runner.since().unwrap_or(sight.now),
                taken_at: runner.taken_at,
                environment: environment(slot),
            };
            let care = match strays.contains(&runner.name) {
                true => Care::End(Outcome::Cancelled),
                false => care::care(&watched, &self.settings.deadlines, sight.now),
            };
            let task = match care {
                Care::Nothing => continue,
                Care::Note(event) => RunnerTask::Note(event),
                Care::Judge => RunnerTask::Judge(hello(slot)),
                Care::Open => RunnerTask::Open,
                Care::Ask => RunnerTask::Ask,
                Care::End(outcome) => RunnerTask::End(outcome, slot.and_then(|slot| boot_failure(&slot.state))),
                Care::TearDown => RunnerTask::TearDown,
            };
            tasks.push(Task::Runner(task, Box::new(runner.clone())));
        }
        tasks
    }

    /// Who has which environment. One that belongs to nothing is given up.
    fn seats(&self, sight: &Sight, tasks: &mut Vec<Task>) -> Vec<Seat> {
        let mut seats = Vec::new();
        for slot in &sight.slots {
            let owner = sight.runners.iter().find(|runner| runner.slot == slot.id.0);
            let being_taken = sight.memory.taken_for(&slot_key(&slot.id.0));
            let boots = slot.state == SlotState::Booting && sight.now - slot.since <= self.settings.deadlines.boot;
            let taken = match (owner, being_taken) {
                (Some(owner), _) => Taken::By(Some(owner.repository.to_string())),
                (None, Some(repository)) => Taken::By(repository),
                (None, None) if boots => Taken::Booting,
                (None, None) if slot.state == SlotState::Ready => Taken::Free,
                (None, None) => {
                    tasks.push(Task::Discard(slot.id.clone(), boot_failure(&slot.state)));
                    Taken::By(None)
                }
            };
            let slot = slot.id.0.clone();
            seats.push(Seat { slot, taken });
        }
        seats
    }

    /// The jobs that wait. One whose runner never came to be is let go of first.
    fn waiting(&self, sight: &Sight, tasks: &mut Vec<Task>) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        let overdue = self.settings.deadlines.boot + self.settings.deadlines.gate;
        for want in &sight.wants {
            let job = want.event.job.id;
            let lives = |name: &str| sight.runners.iter().any(|runner| runner.name == name);
            match &want.holder {
                None if !sight.memory.is_busy(&job_key(job)) => waiting.push(Waiting {
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

fn task(step: Step, wants: &[Want]) -> Task {
    let repository_of = |job: JobId| {
        let want = wants.iter().find(|want| want.event.job.id == job);
        want.map_or_else(String::new, |want| want.repository.to_string())
    };
    match step {
        Step::Boot => Task::Boot,
        Step::Discard { slot } => Task::Discard(SlotId(slot), None),
        Step::Serve { job, slot } => Task::Serve {
            job,
            slot: SlotId(slot),
            repository: repository_of(job),
        },
    }
}

/// Why an environment did not come up; none if it did.
fn boot_failure(state: &SlotState) -> Option<String> {
    match state {
        SlotState::Booting => Some("it took too long".to_owned()),
        SlotState::Ended(Ending::BootFailed(why)) => Some(why.clone()),
        _ => None,
    }
}

fn environment(slot: Option<&Slot>) -> Environment {
    let Some(slot) = slot else {
        return Environment::Missing;
    };
    let at = slot.since;
    match &slot.state {
        SlotState::Booting | SlotState::Ready => Environment::Missing,
        SlotState::Claimed => Environment::Started { at },
        SlotState::AtGate(_) => Environment::AtGate { at },
        SlotState::Open => Environment::Open { at },
        SlotState::Ended(ending) => Environment::Over(match ending {
            Ending::BootFailed(_) => Outcome::BootFailed,
            Ending::Exited => Outcome::Completed,
            Ending::GateUnanswered => Outcome::GateUnanswered,
            Ending::GateAbused => Outcome::GateAbused,
            Ending::TooLong => Outcome::TooLong,
            Ending::DiskFull => Outcome::DiskFull,
            Ending::Lost => Outcome::Died,
        }),
    }
}

fn hello(slot: Option<&Slot>) -> Hello {
    match slot.map(|slot| &slot.state) {
        Some(SlotState::AtGate(hello)) => hello.clone(),
        _ => Hello::default(),
    }
}
