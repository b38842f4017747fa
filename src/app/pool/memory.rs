//! What the pool remembers from pass to pass: what tasks are about, and what did not work out. Nothing of it matters after
//! a crash.

use super::task::{BOOT, Effect, Task};
use crate::app::measure::Boots;
use crate::domain::retry::backoff;
use crate::domain::slot::{Slot, SlotId};
use crate::ports::Failure;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Tasks after which it is forgotten that one is over: more than can come between two steps of one pass.
const REMEMBERED: u64 = 1000;
/// How soon is asked again where there was no answer yet.
const ASK_AGAIN: TimeDelta = TimeDelta::milliseconds(500);
/// The pause after something urgent that did not work out: the deadline of a job gate does not wait for a backoff.
const URGENT_PAUSE: TimeDelta = TimeDelta::seconds(1);
/// How soon GitHub is listed again where something could not be removed, or seen.
const SWEEP_RETRY: TimeDelta = TimeDelta::seconds(5);
/// The longest pause after something that did not work out.
const LONGEST_PAUSE: TimeDelta = TimeDelta::seconds(30);

/// What the pool is about.
#[derive(Default)]
pub struct Pool {
    memory: Mutex<Memory>,
    pub(super) woken: Notify,
}

#[derive(Default)]
struct Memory {
    /// What tasks under way are about, with the repository an environment is taken for.
    busy: HashMap<String, Option<String>>,
    /// Environments being asked for.
    booting: u32,
    /// When the latest ones had been asked for, counted.
    booted: VecDeque<u64>,
    /// When environments were asked for, to measure how long they take.
    boots: Boots,
    /// What did not work out: how often, and when to try again.
    later: HashMap<String, (u32, DateTime<Utc>)>,
    /// When tasks about something were last over, counted.
    over: HashMap<String, u64>,
    /// Tasks that are over.
    count: u64,
    /// When GitHub was last asked for runners that belong to nothing.
    swept: Option<Swept>,
}

/// When GitHub was last listed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Swept {
    /// When that was over.
    at: DateTime<Utc>,
    /// Whether all could be seen, and removed.
    cleanly: bool,
}

/// The memory as it was at one moment.
pub(super) struct View {
    busy: HashMap<String, Option<String>>,
    /// What was gathered about these before a task about them was over says nothing any more.
    old: HashSet<String>,
    waits: HashSet<String>,
    /// Environments that were asked for and may not have been listed yet when the gathering began.
    pub(super) coming: u32,
    /// When GitHub was last asked for runners that belong to nothing.
    swept: Option<Swept>,
}

impl View {
    /// Whether a task is about this, or was since the gathering began.
    pub(super) fn is_busy(&self, key: &str) -> bool {
        self.busy.contains_key(key) || self.old.contains(key)
    }

    /// The repository for which this environment is taken by a task.
    pub(super) fn taken_for(&self, key: &str) -> Option<Option<String>> {
        let by_now = self.old.contains(key).then_some(None);
        self.busy.get(key).cloned().or(by_now)
    }

    /// Whether GitHub is to be listed: at start, and at each pass that comes by the clock. Passes that events bring on come
    /// between, many a second, and look at this machine and the ledger only. Lists that did not change cost no quota.
    pub(super) fn is_sweep_due(&self, pass: TimeDelta, now: DateTime<Utc>) -> bool {
        let rest = |swept: Swept| if swept.cleanly { pass } else { pass.min(SWEEP_RETRY) };
        self.swept.is_none_or(|swept| now - swept.at >= rest(swept))
    }

    /// Whether a task may begin now.
    pub(super) fn allows(&self, task: &Task) -> bool {
        let waits = task.can_wait() && self.waits.contains(&task.about());
        !waits && !task.keys().iter().any(|key| self.is_busy(key))
    }
}

impl Pool {
    /// Has a pass follow soon.
    pub(in crate::app) fn wake(&self) {
        self.woken.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for the moment, for [`Pool::view`].
    pub(super) fn moment(&self) -> u64 {
        self.lock().count
    }

    /// The memory, for who began to gather at a moment.
    pub(super) fn view(&self, began: u64, now: DateTime<Utc>) -> View {
        let memory = self.lock();
        let old = memory.over.iter().filter(|(_, over)| **over > began);
        let waits = memory.later.iter().filter(|(_, (_, due))| *due > now);
        View {
            busy: memory.busy.clone(),
            old: old.map(|(key, _)| key.clone()).collect(),
            waits: waits.map(|(key, _)| key.clone()).collect(),
            coming: memory.booting + memory.booted_since(began),
            swept: memory.swept,
        }
    }

    /// Whether nobody is about anything.
    pub(super) fn is_idle(&self) -> bool {
        let memory = self.lock();
        memory.busy.is_empty() && memory.booting == 0
    }

    /// Takes what a task is about. False when another one has it.
    pub(super) fn begin(&self, task: &Task) -> bool {
        let mut memory = self.lock();
        if task.keys().iter().any(|key| memory.busy.contains_key(key)) {
            return false;
        }
        memory.busy.extend(task.claims());
        memory.booting += u32::from(*task == Task::Boot);
        true
    }

    /// Lets go of what a task was about, and remembers what became of it. Gives whether it did something.
    pub(super) fn end(&self, task: &Task, effect: Result<Effect, Failure>, now: DateTime<Utc>) -> bool {
        let mut memory = self.lock();
        memory.count += 1;
        let count = memory.count;
        for key in task.keys() {
            memory.busy.remove(&key);
            memory.over.insert(key, count);
        }
        memory.over.retain(|_, over| count - *over < REMEMBERED);
        if *task == Task::Boot {
            memory.booting -= 1;
            memory.booted.push_back(count);
            memory.booted.retain(|over| count - *over < REMEMBERED);
        }
        if *task == Task::Sweep {
            let cleanly = effect.is_ok();
            memory.swept = Some(Swept { at: now, cleanly });
        }
        let about = task.about();
        match effect {
            Ok(Effect::Done) => {
                // That a boot has begun does not say that it succeeds.
                if *task != Task::Boot {
                    memory.later.remove(&about);
                }
                true
            }
            Ok(Effect::None) => {
                memory.later.insert(about, (0, now + ASK_AGAIN));
                false
            }
            Err(failure) => {
                tracing::warn!(%failure, "the pool will try again: {about}");
                if task.is_urgent() {
                    memory.later.insert(about, (0, now + URGENT_PAUSE));
                } else {
                    memory.put_off(about, now);
                }
                false
            }
        }
    }

    /// An environment was asked for.
    pub(super) fn asked_for(&self, slot: SlotId, at: DateTime<Utc>) {
        self.lock().boots.asked(slot, at);
    }

    /// How long environments took that are up now and were not before.
    pub(super) fn booted(&self, slots: &[Slot], now: DateTime<Utc>) -> Vec<Duration> {
        self.lock().boots.seen(slots, now)
    }

    /// An environment did not come up: the next one is booted after a pause, which grows.
    pub(super) fn hold_boots(&self, now: DateTime<Utc>) {
        self.lock().put_off(BOOT.to_owned(), now);
    }

    /// Environments come up.
    pub(super) fn allow_boots(&self) {
        self.lock().later.remove(BOOT);
    }
}

impl Memory {
    fn booted_since(&self, began: u64) -> u32 {
        let since = self.booted.iter().filter(|over| **over > began).count();
        u32::try_from(since).unwrap_or(u32::MAX)
    }

    fn put_off(&mut self, about: String, now: DateTime<Utc>) {
        let tries = self.later.get(&about).map_or(0, |(tries, _)| tries + 1);
        let pause = backoff(tries, 0.0).min(LONGEST_PAUSE);
        self.later.insert(about, (tries, now + pause));
        self.later.retain(|_, (_, due)| now - *due < TimeDelta::hours(1));
    }
}
