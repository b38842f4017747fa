//! The memory of the pool between passes: the subjects of running tasks, and failures. Nothing of it matters after a
//! crash.

use super::task::{BOOT, Effect, Task, boot_key};
use crate::app::measure::Boots;
use crate::app::records::PoolRecord;
use crate::domain::pool::{Bounds, Usage};
use crate::domain::retry::backoff;
use crate::domain::slot::{Slot, SlotId, SlotSize};
use crate::ports::Failure;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Number of ended tasks that are remembered: more than can end between two steps of one pass.
const MAX_REMEMBERED: u64 = 1000;
/// Delay of a repetition after a missing answer.
const RETRY_DELAY: TimeDelta = TimeDelta::milliseconds(500);
/// Delay after a failed urgent task, because the deadline of a job gate does not wait for a backoff.
const URGENT_DELAY: TimeDelta = TimeDelta::seconds(1);
/// Delay of the next list of GitHub's runners if a runner could not be removed or seen.
const SWEEP_RETRY_DELAY: TimeDelta = TimeDelta::seconds(5);
/// Maximum delay after a failed task.
const MAX_DELAY: TimeDelta = TimeDelta::seconds(30);

/// The state of the pool.
#[derive(Default)]
pub struct Pool {
    memory: Mutex<Memory>,
    pub(super) woken: Notify,
}

#[derive(Default)]
struct Memory {
    /// The subjects of running tasks, with the repository that a slot is used for.
    busy: HashMap<String, Option<String>>,
    /// The sizes of the slots that are being requested.
    booting: Vec<SlotSize>,
    /// The tick and the size of the latest requests.
    booted: VecDeque<(u64, SlotSize)>,
    /// The request times of slots, to measure their boot.
    boots: Boots,
    /// The failed subjects, with the number of failures and the time of the next attempt.
    later: HashMap<String, (u32, DateTime<Utc>)>,
    /// The tick of the last ended task of each subject, with the repository that a slot was used for.
    over: HashMap<String, (u64, Option<String>)>,
    /// Number of ended tasks.
    count: u64,
    /// The time of the last sweep.
    swept: Option<Swept>,
    /// The base runners that the last sweep did not find online.
    missing_base: Option<Vec<String>>,
    /// The time of this process's first look at its runners.
    watched_since: Option<DateTime<Utc>>,
    /// The bounds of the last pass.
    limits: Option<Limits>,
    /// The places of the slots, by their ids; none before the first pass.
    places: Option<BTreeMap<String, u32>>,
    /// The times of the slots that the last pass saw, by their ids.
    slot_times: HashMap<String, SlotTimes>,
    /// The last record of a pass.
    published: Option<PoolRecord>,
}

/// The last list of GitHub's runners.
#[derive(Debug, Clone, Copy)]
pub(super) struct Swept {
    /// The time of its end.
    at: DateTime<Utc>,
    /// True if all runners could be seen and removed.
    cleanly: bool,
}

/// The times of a slot before it has a runner.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::app) struct SlotTimes {
    pub(in crate::app) made: Option<DateTime<Utc>>,
    pub(in crate::app) booted: Option<DateTime<Utc>>,
}

/// The bounds in effect, and the slots that an operator removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) bounds: Bounds,
    /// The ids of the busy slots that are removed.
    pub(super) remove: BTreeSet<String>,
    /// The reason that a removed runner gets.
    pub(super) why: String,
}

/// A snapshot of the memory.
pub(super) struct View {
    busy: HashMap<String, Option<String>>,
    /// Subjects whose gathered state is outdated, because a task about them has ended since; with the repository that a slot
    /// was used for.
    old: HashMap<String, Option<String>>,
    waits: HashSet<String>,
    /// The sizes of requested slots that may not have been listed yet when the pass began to gather.
    pub(super) coming: Vec<SlotSize>,
    /// The time of the last sweep.
    swept: Option<Swept>,
}

impl View {
    /// Returns true if a task has this subject, or had it since the pass began to gather.
    pub(super) fn is_busy(&self, key: &str) -> bool {
        self.busy.contains_key(key) || self.old.contains_key(key)
    }

    /// Returns the use that a task makes of this slot, or made of it since the pass began to gather.
    pub(super) fn usage_of(&self, key: &str) -> Option<Usage> {
        match (self.busy.get(key), self.old.get(key)) {
            (Some(Some(repository)), _) => Some(Usage::Taken(Some(repository.clone()))),
            // A task without a repository removes the slot.
            (Some(None), _) | (None, Some(None)) => Some(Usage::Leaving),
            (None, Some(Some(_))) => Some(Usage::Taken(None)),
            (None, None) => None,
        }
    }

    /// Returns true if GitHub's runners must be listed: at the start and in each pass of the interval. Passes after
    /// events, several per second, only look at this machine and the ledger. Unchanged lists cost no quota.
    pub(super) fn is_sweep_due(&self, pass: TimeDelta, now: DateTime<Utc>) -> bool {
        let rest = |swept: Swept| {
            if swept.cleanly {
                pass
            } else {
                pass.min(SWEEP_RETRY_DELAY)
            }
        };
        self.swept.is_none_or(|swept| now - swept.at >= rest(swept))
    }

    /// Returns true if slots of this size must not boot now, because the last one failed.
    pub(super) fn holds_boots(&self, size: &SlotSize) -> bool {
        self.waits.contains(&boot_key(size))
    }

    /// Returns true if a task may start now.
    pub(super) fn allows(&self, task: &Task) -> bool {
        let waits = task.can_wait() && self.waits.contains(&task.about());
        !waits && !task.keys().iter().any(|key| self.is_busy(key))
    }
}

impl Pool {
    /// Requests another pass soon.
    pub(in crate::app) fn wake(&self) {
        self.woken.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the current tick, for [`Pool::view`].
    pub(super) fn moment(&self) -> u64 {
        self.lock().count
    }

    /// Returns a snapshot for a pass that began to gather at this tick.
    pub(super) fn view(&self, began: u64, now: DateTime<Utc>) -> View {
        let memory = self.lock();
        let old = memory.over.iter().filter(|(_, (over, _))| *over > began);
        let waits = memory.later.iter().filter(|(_, (_, due))| *due > now);
        View {
            busy: memory.busy.clone(),
            old: old.map(|(key, (_, used))| (key.clone(), used.clone())).collect(),
            waits: waits.map(|(key, _)| key.clone()).collect(),
            coming: memory
                .booting
                .iter()
                .chain(memory.booted_since(began))
                .cloned()
                .collect(),
            swept: memory.swept,
        }
    }

    /// Returns true if no task is running.
    pub(super) fn is_idle(&self) -> bool {
        let memory = self.lock();
        memory.busy.is_empty() && memory.booting.is_empty()
    }

    /// Reserves the subject of a task. Returns false if another task has it.
    pub(super) fn begin(&self, task: &Task) -> bool {
        let mut memory = self.lock();
        if task.keys().iter().any(|key| memory.busy.contains_key(key)) {
            return false;
        }
        memory.busy.extend(task.claims());
        if let Task::Boot(size) = task {
            memory.booting.push(size.clone());
        }
        true
    }

    /// Releases the subject of a task and records the result. Returns true if the task did its work.
    pub(super) fn end(&self, task: &Task, effect: Result<Effect, Failure>, now: DateTime<Utc>) -> bool {
        let mut memory = self.lock();
        memory.count += 1;
        let count = memory.count;
        for (key, used) in task.claims() {
            memory.busy.remove(&key);
            memory.over.insert(key, (count, used));
        }
        memory.over.retain(|_, (over, _)| count - *over < MAX_REMEMBERED);
        if let Task::Boot(size) = task {
            let place = memory.booting.iter().position(|booting| booting == size);
            if let Some(place) = place {
                memory.booting.swap_remove(place);
            }
            memory.booted.push_back((count, size.clone()));
            memory.booted.retain(|(over, _)| count - *over < MAX_REMEMBERED);
        }
        if *task == Task::Sweep {
            let cleanly = effect.is_ok();
            memory.swept = Some(Swept { at: now, cleanly });
        }
        let about = task.about();
        match effect {
            Ok(Effect::Done) => {
                // The start of a boot is no success.
                if !matches!(task, Task::Boot(_)) {
                    memory.later.remove(&about);
                }
                true
            }
            Ok(Effect::None) => {
                memory.later.insert(about, (0, now + RETRY_DELAY));
                false
            }
            Err(failure) => {
                tracing::warn!(%failure, "pool task failed and is retried: {about}");
                if task.is_urgent() {
                    memory.later.insert(about, (0, now + URGENT_DELAY));
                } else {
                    memory.put_off(about, now);
                }
                false
            }
        }
    }

    /// Records the request of a slot.
    pub(super) fn asked_for(&self, slot: SlotId, at: DateTime<Utc>) {
        self.lock().boots.asked(slot, at);
    }

    /// Returns the boot times of the slots that became ready.
    pub(super) fn booted(&self, slots: &[Slot], now: DateTime<Utc>) -> Vec<Duration> {
        self.lock().boots.seen(slots, now)
    }

    /// Records a failed boot. The next boot of this size follows after a delay that grows.
    pub(super) fn hold_boots(&self, size: &SlotSize, now: DateTime<Utc>) {
        self.lock().put_off(boot_key(size), now);
    }

    /// Lets slots boot without the delay after a failed boot.
    pub(in crate::app) fn boot_at_once(&self) {
        self.lock().later.retain(|about, _| !about.starts_with(BOOT));
        self.wake();
    }

    /// Lets the next pass list GitHub's runners.
    pub(in crate::app) fn sweep_at_once(&self) {
        self.lock().swept = None;
        self.wake();
    }

    /// Records the base runners that a complete list of GitHub's runners does not show as online.
    pub(in crate::app) fn note_missing_base_runners(&self, missing: Vec<String>) {
        self.lock().missing_base = Some(missing);
    }

    /// Returns the base runners that are not online, or none before the first complete list.
    pub(in crate::app) fn missing_base_runners(&self) -> Option<Vec<String>> {
        self.lock().missing_base.clone()
    }

    /// Returns the time of this process's first look at its runners.
    pub(in crate::app) fn watches_since(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        *self.lock().watched_since.get_or_insert(now)
    }

    pub(super) fn note_limits(&self, limits: Limits) {
        self.lock().limits = Some(limits);
    }

    pub(super) fn limits(&self) -> Option<Limits> {
        self.lock().limits.clone()
    }

    pub(super) fn note_places(&self, places: BTreeMap<String, u32>) {
        self.lock().places = Some(places);
    }

    pub(super) fn places(&self) -> Option<BTreeMap<String, u32>> {
        self.lock().places.clone()
    }

    /// Records the times of the slots, for [`Pool::slot_times`].
    pub(super) fn note_slot_times(&self, slots: &[Slot]) {
        let times = |slot: &Slot| {
            let (made, booted) = (slot.made, slot.booted);
            (slot.id.0.clone(), SlotTimes { made, booted })
        };
        self.lock().slot_times = slots.iter().map(times).collect();
    }

    /// Returns the times of a slot, as the last pass saw them.
    pub(in crate::app) fn slot_times(&self, slot: &SlotId) -> SlotTimes {
        self.lock().slot_times.get(&slot.0).copied().unwrap_or_default()
    }

    pub(super) fn note_published(&self, record: PoolRecord) {
        self.lock().published = Some(record);
    }

    pub(super) fn published(&self) -> Option<PoolRecord> {
        self.lock().published.clone()
    }

    /// Returns true if GitHub's runners were listed since the start.
    pub(super) fn has_swept(&self) -> bool {
        self.lock().swept.is_some()
    }

    /// Records a successful boot of a size.
    pub(super) fn allow_boots(&self, size: &SlotSize) {
        self.lock().later.remove(&boot_key(size));
    }
}

impl Memory {
    fn booted_since(&self, began: u64) -> impl Iterator<Item = &SlotSize> {
        let since = self.booted.iter().filter(move |(over, _)| *over > began);
        since.map(|(_, size)| size)
    }

    fn put_off(&mut self, about: String, now: DateTime<Utc>) {
        let tries = self.later.get(&about).map_or(0, |(tries, _)| tries + 1);
        let pause = backoff(tries, 0.0).min(MAX_DELAY);
        self.later.insert(about, (tries, now + pause));
        self.later.retain(|_, (_, due)| now - *due < TimeDelta::hours(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;

    #[test]
    fn a_size_that_does_not_boot_delays_no_other() {
        let (pool, large) = (Pool::default(), Some("large".to_owned()));
        pool.hold_boots(&large, at(0));
        let allowed = |size: &SlotSize| pool.view(0, at(0)).allows(&Task::Boot(size.clone()));
        assert!(allowed(&None) && !allowed(&large));
        assert!(pool.view(0, at(0)).holds_boots(&large));
        // A free slot of the default size says nothing about the other size.
        pool.allow_boots(&None);
        assert!(!allowed(&large));
        pool.boot_at_once();
        assert!(allowed(&large));
    }

    #[test]
    fn a_requested_slot_has_its_size_until_it_is_listed() {
        let (pool, large) = (Pool::default(), Some("large".to_owned()));
        let (small, task) = (Task::Boot(None), Task::Boot(large.clone()));
        assert!(pool.begin(&small) && pool.begin(&task));
        let began = pool.moment();
        pool.end(&small, Ok(Effect::Done), at(0));
        let mut coming = pool.view(began, at(0)).coming;
        coming.sort();
        assert_eq!(coming, [None, large.clone()]);
        assert_eq!(pool.view(pool.moment(), at(0)).coming, [large]);
    }
}
