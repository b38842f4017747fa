//! The pool of environments: gather what is wanted and what is there, plan, act. A pass takes no input; events and a timer
//! only say that one may be worth while, so a lost event costs time and nothing else.
//!
//! ```text
//!  ledger: wants, runners ─┐                        ┌─ boot, discard     environments
//!  host: environments ─────┼─> care, plan ─> tasks ─┼─ serve             a job gets a runner
//!  the time ───────────────┘   (domain, pure)       ├─ judge, open       the job gate
//!                                                   └─ end, tear down, sweep
//! ```
//!
//! Tasks run side by side, and no two about the same job, runner or environment: a GitHub that is slow about one does not
//! hold up the others. What a task could not do is found again by a later pass.

use super::gate::Gate;
use super::records::{self, RunnerRecord, Want};
use super::{job_gate, provision, runners, sweep, wants};
use crate::domain::care::{self, Care, Environment, Watched};
use crate::domain::ids::JobId;
use crate::domain::pool::{self, Seat, Step, Taken, Waiting};
use crate::domain::retry::backoff;
use crate::domain::runner::{Outcome, RunnerEvent};
use crate::ports::runner_host::{Ending, Hello, Slot, SlotId, SlotState};
use crate::ports::{Failure, RunnerHost};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How soon a pass follows while runners live: their events come from machines that may be lost.
const CLOSE_WATCH: Duration = Duration::from_secs(1);
/// How long tasks may take after a stop. What is broken off is taken up again after the next start.
const GRACE: Duration = Duration::from_secs(5);
/// Tasks under way at once.
const CONCURRENCY: usize = 64;
/// Tasks after which it is forgotten that one is over: more than can come between two steps of one pass.
const REMEMBERED: u64 = 1000;
/// How soon the gate asks GitHub again who is at a gate.
const ASK_AGAIN: TimeDelta = TimeDelta::milliseconds(500);

/// What the pool remembers from pass to pass; nothing of it matters after a crash.
#[derive(Default)]
pub struct Pool {
    state: Mutex<Memory>,
    woken: Notify,
}

#[derive(Default)]
struct Memory {
    /// What tasks under way are about, with the repository an environment is being taken for.
    busy: HashMap<String, Option<String>>,
    /// Environments being booted that the host may not list yet.
    booting: u32,
    /// What did not work out: how often, and when to try again.
    later: HashMap<String, (u32, DateTime<Utc>)>,
    /// When tasks about something were last over, counted: what was gathered before is old news.
    over: HashMap<String, u64>,
    /// Tasks that are over.
    count: u64,
    /// When GitHub was last asked for runners that belong to nothing.
    swept: Option<DateTime<Utc>>,
}

impl Pool {
    /// Has a pass follow soon.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Task {
    Boot,
    /// Give up an environment that belongs to nothing.
    Discard(SlotId),
    Serve {
        job: JobId,
        slot: SlotId,
        repository: String,
    },
    /// A want whose runner never came to be.
    Release(JobId, String),
    Runner(RunnerTask, Box<RunnerRecord>),
    Sweep,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum RunnerTask {
    Note(RunnerEvent),
    Judge(Hello),
    Open,
    Ask,
    End(Outcome, Option<String>),
    TearDown,
}

impl Task {
    /// What it is about; no two tasks about the same run at once.
    fn keys(&self) -> Vec<String> {
        let slot = |slot: &str| format!("slot {slot}");
        let job = |job: JobId| format!("job {job}");
        match self {
            Self::Boot => Vec::new(),
            Self::Discard(id) => vec![slot(&id.0)],
            Self::Serve { job: id, slot: at, .. } => vec![job(*id), slot(&at.0)],
            Self::Release(id, _) => vec![job(*id)],
            Self::Runner(_, record) => vec![format!("runner {}", record.name), slot(&record.slot)],
            Self::Sweep => vec!["sweep".to_owned()],
        }
    }
}

/// Whether all environments there may be are taken, by runners or by jobs that are about to have one.
pub(super) async fn is_full(gate: &Gate) -> Result<bool, Failure> {
    let Some(host) = &gate.host else { return Ok(false) };
    let slots = host.list().await?;
    let memory = gate.pool.lock();
    let taken = |slot: &Slot| slot.runner.is_some() || memory.busy.contains_key(&format!("slot {}", slot.id.0));
    let taken = slots.iter().filter(|slot| taken(slot)).count();
    Ok(u32::try_from(taken).map_or(true, |taken| taken >= gate.settings.pool.max))
}

impl Gate {
    /// Keeps the pool until `stop` resolves; then lets what is under way end, within a bound.
    pub async fn keep_pool(self: &Arc<Self>, stop: impl Future<Output = ()>) {
        let Some(host) = self.host.clone() else {
            stop.await;
            return;
        };
        let mut tasks = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let mut rest = self.settings.pool_interval;
            match self.tasks(host.as_ref()).await {
                Ok((planned, watch)) => {
                    if watch {
                        rest = rest.min(CLOSE_WATCH);
                    }
                    for task in planned {
                        if tasks.len() < CONCURRENCY && self.begin(&task) {
                            let (gate, host) = (self.clone(), host.clone());
                            tasks.spawn(async move { gate.finish_task(host.as_ref(), task).await });
                        }
                    }
                }
                Err(failure) => {
                    tracing::error!(%failure, "cannot look after the pool");
                    rest = rest.min(CLOSE_WATCH);
                }
            }
            tokio::select! {
                () = &mut stop => break,
                () = self.pool.woken.notified() => {}
                () = host.changed() => {}
                Some(_) = tasks.join_next() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
        let landed = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, landed).await.is_err() {
            tracing::info!("what the pool was about is taken up after the next start");
        }
    }

    /// One pass, its tasks one after the other. Gives how many did something.
    ///
    /// # Errors
    /// The ledger's or the host's failure.
    pub async fn attend_pool(&self) -> Result<usize, Failure> {
        let Some(host) = self.host.clone() else { return Ok(0) };
        let (tasks, _) = self.tasks(host.as_ref()).await?;
        let mut done = 0;
        for task in tasks {
            if self.begin(&task) && self.finish_task(host.as_ref(), task).await {
                done += 1;
            }
        }
        Ok(done)
    }

    /// Whether nothing is to be done for jobs and runners at this moment, and nobody is about it.
    ///
    /// # Errors
    /// The ledger's or the host's failure.
    pub async fn pool_is_quiet(&self) -> Result<bool, Failure> {
        let Some(host) = self.host.clone() else { return Ok(true) };
        let (tasks, _) = self.tasks(host.as_ref()).await?;
        let matters = |task: &Task| *task != Task::Sweep;
        Ok(!tasks.iter().any(matters) && self.pool.lock().busy.is_empty())
    }

    /// Gathers and plans: what is to be done now, and whether a runner lives that has to be watched closely.
    async fn tasks(&self, host: &dyn RunnerHost) -> Result<(Vec<Task>, bool), Failure> {
        let now = self.clock.now();
        let began = self.pool.lock().count;
        let slots = host.list().await?;
        let runners: Vec<RunnerRecord> = records::all(self.ledger.as_ref()).await?;
        let wants: Vec<Want> = records::all(self.ledger.as_ref()).await?;
        let ours = |runner: &&RunnerRecord| runner.instance == self.settings.instance;
        let runners: Vec<&RunnerRecord> = runners.iter().filter(ours).collect();
        let memory = self.pool.lock();
        // What was gathered about something before a task about it was over says nothing any more.
        let is_old = |key: &str| memory.over.get(key).is_some_and(|over| *over > began);
        let is_busy = |key: &str| memory.busy.contains_key(key) || is_old(key);
        let mut tasks = Vec::new();
        for runner in &runners {
            let slot = slots
                .iter()
                .find(|slot| slot.id.0 == runner.slot && slot.runner.as_ref() == Some(&runner.name));
            let waits = memory.later.get(&runner.name).is_some_and(|(_, due)| *due > now);
            if let Some(task) = self.care_for(runner, slot, now)
                && !(waits && matches!(task, RunnerTask::TearDown | RunnerTask::Judge(_) | RunnerTask::Ask))
            {
                tasks.push(Task::Runner(task, Box::new((*runner).clone())));
            }
        }
        let mut seats = Vec::new();
        for slot in &slots {
            let owner = runners.iter().find(|runner| runner.slot == slot.id.0);
            let being_taken = memory.busy.get(&format!("slot {}", slot.id.0));
            let taken = match (&slot.state, owner, being_taken) {
                (_, Some(owner), _) => Taken::By(Some(owner.repository.to_string())),
                (_, None, Some(repository)) => Taken::By(repository.clone()),
                (SlotState::Booting, None, None) if now - slot.since <= self.settings.deadlines.boot => Taken::Booting,
                (SlotState::Ready, None, None) if !is_old(&format!("slot {}", slot.id.0)) => Taken::Free,
                (SlotState::Ready, None, None) => Taken::By(None),
                _ => {
                    tasks.push(Task::Discard(slot.id.clone()));
                    Taken::By(None)
                }
            };
            let slot = slot.id.0.clone();
            seats.push(Seat { slot, taken });
        }
        let listed = seats.iter().filter(|seat| seat.taken == Taken::Booting).count();
        let unlisted = usize::try_from(memory.booting)
            .unwrap_or_default()
            .saturating_sub(listed);
        seats.extend((0..unlisted).map(|_| Seat {
            slot: String::new(),
            taken: Taken::Booting,
        }));
        let mut waiting = Vec::new();
        for want in &wants {
            let job = want.event.job.id;
            let lives = |name: &str| runners.iter().any(|runner| runner.name == name);
            match &want.holder {
                None => waiting.push(Waiting {
                    job,
                    repository: want.repository.to_string(),
                    since: want.since,
                    not_before: want.not_before,
                }),
                Some(holder) if holder.instance == self.settings.instance && !lives(&holder.runner) => {
                    tasks.push(Task::Release(job, holder.runner.clone()));
                }
                Some(_) => {}
            }
        }
        waiting.retain(|waiting| !is_busy(&format!("job {}", waiting.job)));
        let repository_of = |job: JobId| {
            let want = wants.iter().find(|want| want.event.job.id == job);
            want.map_or_else(String::new, |want| want.repository.to_string())
        };
        for step in pool::plan(&waiting, &seats, &self.settings.pool, now) {
            tasks.push(match step {
                Step::Boot => Task::Boot,
                Step::Discard { slot } => Task::Discard(SlotId(slot)),
                Step::Serve { job, slot } => Task::Serve {
                    job,
                    slot: SlotId(slot),
                    repository: repository_of(job),
                },
            });
        }
        if memory.later.get("boot").is_some_and(|(_, due)| *due > now) {
            tasks.retain(|task| *task != Task::Boot);
        }
        if memory.swept.is_none_or(|at| now - at >= sweep::INTERVAL) {
            tasks.push(Task::Sweep);
        }
        let watch = !runners.is_empty() || !waiting.is_empty();
        tasks.retain(|task| !task.keys().iter().any(|key| is_busy(key)));
        Ok((tasks, watch))
    }

    fn care_for(&self, runner: &RunnerRecord, slot: Option<&Slot>, now: DateTime<Utc>) -> Option<RunnerTask> {
        let watched = Watched {
            state: runner.state,
            since: runner.since().unwrap_or(now),
            taken_at: runner.taken_at,
            environment: environment(slot),
        };
        Some(match care::care(&watched, &self.settings.deadlines, now) {
            Care::Nothing => return None,
            Care::Note(event) => RunnerTask::Note(event),
            Care::Judge => RunnerTask::Judge(hello(slot)),
            Care::Open => RunnerTask::Open,
            Care::Ask => RunnerTask::Ask,
            Care::End(outcome) => RunnerTask::End(outcome, detail(slot)),
            Care::TearDown => RunnerTask::TearDown,
        })
    }

    /// Takes what a task is about. False when another one has it.
    fn begin(&self, task: &Task) -> bool {
        let mut memory = self.pool.lock();
        let keys = task.keys();
        if keys.iter().any(|key| memory.busy.contains_key(key)) {
            return false;
        }
        let repository = match task {
            Task::Serve { repository, .. } => Some(repository.clone()),
            Task::Runner(_, record) => Some(record.repository.to_string()),
            _ => None,
        };
        for key in keys {
            memory.busy.insert(key, repository.clone());
        }
        memory.booting += u32::from(*task == Task::Boot);
        true
    }

    /// Does a task and lets go of what it was about. Gives whether it did something.
    async fn finish_task(&self, host: &dyn RunnerHost, task: Task) -> bool {
        let outcome = self.perform(host, &task).await;
        let now = self.clock.now();
        let about = match &task {
            Task::Runner(_, record) => record.name.clone(),
            Task::Boot => "boot".to_owned(),
            other => other.keys().join(", "),
        };
        let mut memory = self.pool.lock();
        memory.count += 1;
        let count = memory.count;
        for key in task.keys() {
            memory.busy.remove(&key);
            memory.over.insert(key, count);
        }
        memory.over.retain(|_, over| count - *over < REMEMBERED);
        memory.booting -= u32::from(task == Task::Boot);
        match outcome {
            Ok(true) => {
                memory.later.remove(&about);
                true
            }
            Ok(false) => {
                memory.later.insert(about, (0, now + ASK_AGAIN));
                false
            }
            Err(failure) => {
                let tries = memory.later.get(&about).map_or(0, |(tries, _)| tries + 1);
                tracing::warn!(%failure, tries, "the pool will try again: {about}");
                let pause = backoff(tries, 0.0).min(TimeDelta::seconds(30));
                memory.later.insert(about, (tries, now + pause));
                memory.later.retain(|_, (_, due)| now - *due < TimeDelta::hours(1));
                false
            }
        }
    }

    /// Gives false when there was nothing to be done yet.
    async fn perform(&self, host: &dyn RunnerHost, task: &Task) -> Result<bool, Failure> {
        match task {
            Task::Boot => {
                let began = tokio::time::Instant::now();
                host.boot().await?;
                self.observer.booted(began.elapsed());
            }
            Task::Discard(slot) => host.destroy(slot).await?,
            Task::Serve { job, slot, .. } => provision::serve(self, host, *job, slot).await?,
            Task::Release(job, runner) => self.release(*job, runner).await?,
            Task::Sweep => {
                let now = self.clock.now();
                self.pool.lock().swept = Some(now);
                return sweep::sweep(self).await;
            }
            Task::Runner(what, record) => return self.perform_for(what, record).await,
        }
        Ok(true)
    }

    async fn perform_for(&self, what: &RunnerTask, record: &RunnerRecord) -> Result<bool, Failure> {
        let name = record.name.as_str();
        match what {
            RunnerTask::Note(event) => drop(runners::note(self, name, *event).await?),
            RunnerTask::Judge(hello) => return job_gate::judge(self, name, hello).await,
            RunnerTask::Open => job_gate::open(self, record).await?,
            RunnerTask::Ask => return sweep::ask_about(self, record).await,
            RunnerTask::End(outcome, why) => runners::end(self, name, *outcome, why.as_deref()).await?,
            RunnerTask::TearDown => runners::tear_down(self, name).await?,
        }
        Ok(true)
    }

    /// A crash came between naming a runner and recording it: nobody was asked for it.
    async fn release(&self, job: JobId, runner: &str) -> Result<(), Failure> {
        if records::load::<RunnerRecord>(self.ledger.as_ref(), runner)
            .await?
            .is_some()
        {
            return Ok(());
        }
        let now = self.clock.now();
        wants::update_job(self, job, |record| {
            let lost = record.runner.as_deref() == Some(runner)
                && record.advance(
                    crate::domain::job::ServiceEvent::Lose,
                    now,
                    format!("runner {runner} is gone"),
                );
            if lost {
                record.runner = None;
            }
            lost
        })
        .await?;
        wants::change(self, job, |want| {
            let held = want.holder.as_ref().is_some_and(|holder| holder.runner == runner);
            if held {
                want.holder = None;
            }
            held
        })
        .await
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

fn detail(slot: Option<&Slot>) -> Option<String> {
    match slot.map(|slot| &slot.state) {
        Some(SlotState::Ended(Ending::BootFailed(why))) => Some(why.clone()),
        _ => None,
    }
}
