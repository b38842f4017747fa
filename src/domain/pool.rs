//! The plan of the pool: the slots to boot or to discard, and the slot for each waiting job. A pure function of the waiting
//! jobs, the slots and the time.
//!
//! The oldest job is served first, fairly between repositories: the repository with the fewest runners is next, so that two
//! hundred jobs of one repository do not starve the first job of another.

use super::ids::JobId;
use super::slot::SlotId;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// The limits of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Minimum number of slots.
    pub min: u32,
    /// Maximum number of slots.
    pub max: u32,
    /// Number of slots while no job waits.
    pub target: u32,
    /// Maximum number of runners of one repository.
    pub max_per_repository: Option<u32>,
}

/// A job that waits for a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingJob {
    pub job: JobId,
    /// The repository, `owner/name`.
    pub repository: String,
    pub since: DateTime<Utc>,
    /// The job gets no slot before this time.
    pub not_before: Option<DateTime<Utc>>,
}

/// A slot that the host lists, and its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSlot {
    pub id: SlotId,
    pub usage: Usage,
}

/// The use of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usage {
    /// The slot is free and not up yet.
    Booting,
    /// The slot can be given to a job.
    Free,
    /// The slot is taken for a job of this repository, as far as the repository is known.
    Taken(Option<String>),
    /// The slot is being removed. It takes up room on the host, and serves no job.
    Leaving,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanStep {
    /// Boot one more slot.
    Boot,
    /// Destroy a free slot.
    Discard(SlotId),
    /// Make a runner for a job in a slot.
    Serve { job: JobId, slot: SlotId },
}

/// Plans one pass. No step depends on another. `coming` slots were requested and may not be among the `slots` yet: none is
/// booted in their place, and none is discarded because of them.
#[must_use]
pub fn plan(
    waiting: &[WaitingJob],
    slots: &[PoolSlot],
    coming: u32,
    bounds: &Bounds,
    now: DateTime<Utc>,
) -> Vec<PlanStep> {
    let mut steps = Vec::new();
    let mut free: Vec<&SlotId> = slots
        .iter()
        .filter(|slot| slot.usage == Usage::Free)
        .map(|slot| &slot.id)
        .collect();
    let booting = count(slots.iter().filter(|slot| slot.usage == Usage::Booting));
    let mut queue = Queue::new(waiting, slots, bounds, now);
    free.reverse();
    while let Some(slot) = free.pop() {
        let Some(job) = queue.next() else {
            free.push(slot);
            break;
        };
        let slot = slot.clone();
        steps.push(PlanStep::Serve { job, slot });
    }
    let served = count(steps.iter());
    let busy = count(slots.iter().filter(|slot| matches!(slot.usage, Usage::Taken(_)))) + served;
    let still_waiting = count(std::iter::from_fn(|| queue.next()));
    let wanted = wanted(busy, still_waiting, bounds);
    let idle = count(free.iter()) + booting;
    let there = busy + idle;
    let leaving = count(slots.iter().filter(|slot| slot.usage == Usage::Leaving));
    let room = bounds.max.saturating_sub(leaving);
    for _ in there.saturating_add(coming)..wanted.min(room) {
        steps.push(PlanStep::Boot);
    }
    for slot in free.iter().take(there.saturating_sub(wanted) as usize) {
        steps.push(PlanStep::Discard((*slot).clone()));
    }
    steps
}

/// Returns the number of slots that are kept. Waiting jobs raise it up to `max`; without any it sinks back to `target`.
#[must_use]
pub fn wanted(busy: u32, waiting: u32, bounds: &Bounds) -> u32 {
    let wanted = busy.saturating_add(waiting).max(bounds.target);
    wanted.clamp(bounds.min, bounds.max)
}

fn count(things: impl Iterator) -> u32 {
    u32::try_from(things.count()).unwrap_or(u32::MAX)
}

/// The waiting jobs in the order in which they are served.
struct Queue<'a> {
    /// The jobs of each repository, the oldest last.
    jobs: BTreeMap<&'a str, Vec<&'a WaitingJob>>,
    runners: BTreeMap<&'a str, u32>,
    most: u32,
}

impl<'a> Queue<'a> {
    fn new(waiting: &'a [WaitingJob], slots: &'a [PoolSlot], bounds: &Bounds, now: DateTime<Utc>) -> Self {
        let mut jobs: BTreeMap<&str, Vec<&WaitingJob>> = BTreeMap::new();
        for job in waiting.iter().filter(|job| job.not_before.is_none_or(|at| at <= now)) {
            jobs.entry(&job.repository).or_default().push(job);
        }
        for jobs in jobs.values_mut() {
            jobs.sort_by_key(|job| std::cmp::Reverse((job.since, job.job)));
        }
        let mut runners: BTreeMap<&str, u32> = BTreeMap::new();
        for slot in slots {
            if let Usage::Taken(Some(repository)) = &slot.usage {
                *runners.entry(repository).or_default() += 1;
            }
        }
        Self {
            jobs,
            runners,
            most: bounds.max_per_repository.unwrap_or(u32::MAX),
        }
    }

    fn next(&mut self) -> Option<JobId> {
        let of = |repository: &str| self.runners.get(repository).copied().unwrap_or(0);
        let (repository, _) = self
            .jobs
            .iter()
            .filter(|(repository, _)| of(repository) < self.most)
            .filter_map(|(repository, jobs)| Some((*repository, *jobs.last()?)))
            .min_by_key(|(repository, oldest)| (of(repository), oldest.since, oldest.job))?;
        *self.runners.entry(repository).or_default() += 1;
        self.jobs.get_mut(repository)?.pop().map(|job| job.job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;

    use proptest::prelude::*;

    fn waits(job: u64, repository: &str, since: i64) -> WaitingJob {
        WaitingJob {
            job: JobId(job),
            repository: repository.to_owned(),
            since: at(since),
            not_before: None,
        }
    }

    fn slot(id: &str, usage: Usage) -> PoolSlot {
        PoolSlot {
            id: SlotId(id.to_owned()),
            usage,
        }
    }

    fn by(repository: &str) -> Usage {
        Usage::Taken(Some(repository.to_owned()))
    }

    fn bounds(min: u32, target: u32, max: u32) -> Bounds {
        Bounds {
            min,
            max,
            target,
            max_per_repository: None,
        }
    }

    fn serve(job: u64, slot: &str) -> PlanStep {
        PlanStep::Serve {
            job: JobId(job),
            slot: SlotId(slot.to_owned()),
        }
    }

    #[test]
    fn the_target_number_of_slots_is_booted_without_jobs() {
        assert_eq!(
            plan(&[], &[], 0, &bounds(1, 2, 4), at(0)),
            [PlanStep::Boot, PlanStep::Boot]
        );
        let pool = [slot("a", Usage::Free), slot("b", Usage::Booting)];
        assert_eq!(plan(&[], &pool, 0, &bounds(1, 2, 4), at(0)), []);
    }

    #[test]
    fn a_requested_slot_is_not_requested_again_and_displaces_no_other() {
        let pool = [slot("a", Usage::Free)];
        assert_eq!(plan(&[], &pool, 1, &bounds(0, 2, 4), at(0)), []);
        let pool = [slot("a", Usage::Free), slot("b", Usage::Free)];
        assert_eq!(plan(&[], &pool, 2, &bounds(0, 2, 4), at(0)), []);
    }

    #[test]
    fn the_oldest_job_gets_the_free_slot_and_the_next_one_a_boot() {
        let waiting = [waits(2, "o/r", 5), waits(1, "o/r", 3)];
        let steps = plan(&waiting, &[slot("a", Usage::Free)], 0, &bounds(0, 1, 4), at(9));
        assert_eq!(steps, [serve(1, "a"), PlanStep::Boot]);
    }

    #[test]
    fn jobs_beyond_max_wait() {
        let waiting = [waits(1, "o/r", 0), waits(2, "o/r", 0)];
        let pool = [slot("a", by("o/r")), slot("b", by("o/r"))];
        assert_eq!(plan(&waiting, &pool, 0, &bounds(1, 2, 2), at(0)), []);
    }

    #[test]
    fn a_repository_with_few_runners_goes_before_one_with_many() {
        let waiting = [waits(1, "o/busy", 0), waits(2, "o/busy", 1), waits(3, "o/quiet", 100)];
        let pool = [slot("a", by("o/busy")), slot("b", Usage::Free)];
        assert_eq!(plan(&waiting, &pool, 0, &bounds(0, 2, 2), at(200)), [serve(3, "b")]);
    }

    #[test]
    fn a_repository_gets_no_more_than_max_per_repository() {
        let waiting = [waits(1, "o/r", 0), waits(2, "o/other", 9)];
        let pool = [slot("a", by("o/r")), slot("b", Usage::Free), slot("c", Usage::Free)];
        let bounds = Bounds {
            max_per_repository: Some(1),
            ..bounds(0, 3, 3)
        };
        assert_eq!(plan(&waiting, &pool, 0, &bounds, at(10)), [serve(2, "b")]);
    }

    #[test]
    fn a_job_gets_and_boots_no_slot_before_its_time() {
        let waiting = [WaitingJob {
            not_before: Some(at(50)),
            ..waits(1, "o/r", 0)
        }];
        assert_eq!(plan(&waiting, &[], 0, &bounds(0, 0, 4), at(49)), []);
        assert_eq!(plan(&waiting, &[], 0, &bounds(0, 0, 4), at(50)), [PlanStep::Boot]);
    }

    #[test]
    fn slots_beyond_the_target_are_discarded_after_a_rush() {
        let pool = [slot("a", Usage::Free), slot("b", Usage::Free), slot("c", by("o/r"))];
        let steps = plan(&[], &pool, 0, &bounds(0, 1, 4), at(0));
        assert_eq!(
            steps,
            [
                PlanStep::Discard(SlotId("b".to_owned())),
                PlanStep::Discard(SlotId("a".to_owned()))
            ]
        );
    }

    #[test]
    fn a_slot_that_leaves_displaces_no_other_and_takes_up_room() {
        let pool = [
            slot("a", Usage::Free),
            slot("b", Usage::Free),
            slot("c", Usage::Leaving),
        ];
        assert_eq!(plan(&[], &pool, 0, &bounds(0, 2, 4), at(0)), []);
        let leaving = [slot("a", Usage::Leaving), slot("b", Usage::Leaving)];
        assert_eq!(
            plan(&[], &leaving, 0, &bounds(0, 2, 4), at(0)),
            [PlanStep::Boot, PlanStep::Boot]
        );
        assert_eq!(plan(&[], &leaving, 0, &bounds(0, 2, 3), at(0)), [PlanStep::Boot]);
    }

    proptest! {
        #[test]
        fn a_plan_stays_below_max_and_serves_each_job_once(
            jobs in prop::collection::vec((0_u8..3, 0_i64..50, prop::option::of(0_i64..50)), 0..30),
            taken in prop::collection::vec(0_u8..6, 0..8),
            (min, target, max, most) in (0_u32..4, 0_u32..8, 0_u32..8, prop::option::of(1_u32..4)),
            now in 0_i64..50,
            coming in 0_u32..4,
        ) {
            let max = max.max(min).max(u32::try_from(taken.len()).expect("few"));
            let bounds = Bounds { min, max, target: target.clamp(min, max), max_per_repository: most };
            let waiting: Vec<WaitingJob> = jobs
                .iter()
                .zip(1..)
                .map(|((repository, since, not_before), job)| WaitingJob {
                    not_before: not_before.map(at),
                    ..waits(job, &format!("o/{repository}"), *since)
                })
                .collect();
            let pool: Vec<PoolSlot> = taken
                .iter()
                .zip(1..)
                .map(|(kind, id): (&u8, u32)| slot(&id.to_string(), match kind {
                    0 => Usage::Free,
                    1 => Usage::Booting,
                    5 => Usage::Leaving,
                    n => by(&format!("o/{}", n - 2)),
                }))
                .collect();
            let steps = plan(&waiting, &pool, coming, &bounds, at(now));
            let boots = steps.iter().filter(|step| **step == PlanStep::Boot).count();
            let discards = steps.iter().filter(|step| matches!(step, PlanStep::Discard(_))).count();
            let asked_for = if boots > 0 { coming as usize } else { 0 };
            prop_assert!(pool.len() + asked_for + boots <= max as usize);
            prop_assert!(boots == 0 || discards == 0);
            let after = pool.len() + boots - discards;
            prop_assert!(after >= min as usize || after >= pool.len(), "{} slots remain", after);
            let mut jobs = Vec::new();
            let mut slots = Vec::new();
            for step in &steps {
                match step {
                    PlanStep::Serve { job, slot } => {
                        jobs.push(*job);
                        slots.push(slot);
                    }
                    PlanStep::Discard(slot) => slots.push(slot),
                    PlanStep::Boot => {}
                }
            }
            let (served, used) = (jobs.len(), slots.len());
            jobs.sort_unstable();
            jobs.dedup();
            slots.sort_unstable();
            slots.dedup();
            prop_assert_eq!((jobs.len(), slots.len()), (served, used), "no job and no slot appears twice");
            for slot in slots {
                prop_assert!(pool.iter().any(|one| one.id == *slot && one.usage == Usage::Free));
            }
            for job in jobs {
                let due = waiting.iter().any(|w| w.job == job && w.not_before.is_none_or(|t| t <= at(now)));
                prop_assert!(due);
            }
        }
    }
}
