//! The plan of the pool: the slots to boot or to discard, and the slot for each waiting job. A pure function of the waiting
//! jobs, the slots and the time.
//!
//! The oldest job is served first, fairly between repositories: the repository with the fewest runners is next, so that two
//! hundred jobs of one repository do not starve the first job of another.
//!
//! A slot serves only jobs of its own size. The places below the maximum are given to jobs in the order of service, so that a
//! job waits for no later job of another size. Slots that no job needs have the default size.

use super::ids::JobId;
use super::slot::{SlotId, SlotSize};
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
    pub size: SlotSize,
    pub since: DateTime<Utc>,
    /// The job gets no slot before this time.
    pub not_before: Option<DateTime<Utc>>,
}

/// A slot that the host lists, and its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSlot {
    pub id: SlotId,
    pub size: SlotSize,
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
    /// Boot one more slot of this size.
    Boot(SlotSize),
    /// Destroy a free slot.
    Discard(SlotId),
    /// Make a runner for a job in a slot.
    Serve { job: JobId, slot: SlotId },
}

/// Plans one pass. No step depends on another. Slots of the sizes `coming` were requested and may not be among the `slots` yet:
/// none is booted in their place, and none is discarded because of them.
#[must_use]
pub fn plan(
    waiting: &[WaitingJob],
    slots: &[PoolSlot],
    coming: &[SlotSize],
    bounds: &Bounds,
    now: DateTime<Utc>,
) -> Vec<PlanStep> {
    let mut steps = Vec::new();
    let mut idle = Idle::new(slots, coming);
    let busy = count(slots.iter().filter(|slot| matches!(slot.usage, Usage::Taken(_))));
    let leaving = count(slots.iter().filter(|slot| slot.usage == Usage::Leaving));
    // A requested slot may be listed too. It takes up two places then, until the next pass.
    let listed = busy + leaving + idle.listed() + count(coming.iter());
    let room = bounds.max.saturating_sub(listed) as usize;
    let mut queue = Queue::new(waiting, slots, bounds, now);
    let jobs: Vec<&WaitingJob> = std::iter::from_fn(|| queue.next()).collect();
    let mut missing = Vec::new();
    for job in jobs.iter().take(bounds.max.saturating_sub(busy) as usize) {
        match idle.take(&job.size) {
            Some(Found::Free(slot)) => steps.push(PlanStep::Serve {
                job: job.job,
                slot: slot.clone(),
            }),
            Some(Found::Coming) => {}
            None => missing.push(job.size.clone()),
        }
    }
    let wanted = wanted(busy, count(jobs.iter()), bounds);
    let spare = wanted.saturating_sub(busy.saturating_add(count(jobs.iter())));
    let is_short = missing.len() > room;
    let more = spare.saturating_sub(idle.of(&None)) as usize;
    let boots = missing.into_iter().chain(std::iter::repeat_n(None, more));
    steps.extend(boots.take(room).map(PlanStep::Boot));
    for (size, sized) in &idle.0 {
        let kept = match size {
            None => spare.saturating_sub(sized.booting),
            // The place is needed at once.
            Some(_) if is_short => 0,
            Some(_) => count(waiting.iter().filter(|job| job.size == **size && is_later(job, now))),
        };
        let surplus = sized.free.len().saturating_sub(kept as usize);
        let discarded = sized.free.iter().take(surplus);
        steps.extend(discarded.map(|slot| PlanStep::Discard((*slot).clone())));
    }
    steps
}

fn is_later(job: &WaitingJob, now: DateTime<Utc>) -> bool {
    job.not_before.is_some_and(|at| at > now)
}

/// The slots without a job, by their sizes.
struct Idle<'a>(BTreeMap<&'a SlotSize, IdleOfSize<'a>>);

/// The slots of one size without a job.
#[derive(Default)]
struct IdleOfSize<'a> {
    /// The free slots, the first one last.
    free: Vec<&'a SlotId>,
    booting: u32,
    coming: u32,
}

/// A slot for a job.
enum Found<'a> {
    Free(&'a SlotId),
    /// The slot is not up yet.
    Coming,
}

impl<'a> Idle<'a> {
    fn new(slots: &'a [PoolSlot], coming: &'a [SlotSize]) -> Self {
        let mut sizes: BTreeMap<&SlotSize, IdleOfSize<'_>> = BTreeMap::new();
        for slot in slots.iter().rev() {
            match slot.usage {
                Usage::Free => sizes.entry(&slot.size).or_default().free.push(&slot.id),
                Usage::Booting => sizes.entry(&slot.size).or_default().booting += 1,
                Usage::Taken(_) | Usage::Leaving => {}
            }
        }
        for size in coming {
            sizes.entry(size).or_default().coming += 1;
        }
        Self(sizes)
    }

    fn take(&mut self, size: &SlotSize) -> Option<Found<'a>> {
        let sized = self.0.get_mut(size)?;
        if let Some(slot) = sized.free.pop() {
            return Some(Found::Free(slot));
        }
        let next = [&mut sized.booting, &mut sized.coming]
            .into_iter()
            .find(|left| **left > 0)?;
        *next -= 1;
        Some(Found::Coming)
    }

    /// Returns the number of listed slots.
    fn listed(&self) -> u32 {
        self.0
            .values()
            .map(|sized| count(sized.free.iter()) + sized.booting)
            .sum()
    }

    /// Returns the number of slots of a size, with the requested ones.
    fn of(&self, size: &SlotSize) -> u32 {
        let sized = self.0.get(size);
        sized.map_or(0, |sized| count(sized.free.iter()) + sized.booting + sized.coming)
    }
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
        for job in waiting.iter().filter(|job| !is_later(job, now)) {
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

    fn next(&mut self) -> Option<&'a WaitingJob> {
        let of = |repository: &str| self.runners.get(repository).copied().unwrap_or(0);
        let (repository, _) = self
            .jobs
            .iter()
            .filter(|(repository, _)| of(repository) < self.most)
            .filter_map(|(repository, jobs)| Some((*repository, *jobs.last()?)))
            .min_by_key(|(repository, oldest)| (of(repository), oldest.since, oldest.job))?;
        *self.runners.entry(repository).or_default() += 1;
        self.jobs.get_mut(repository)?.pop()
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
            size: None,
            since: at(since),
            not_before: None,
        }
    }

    fn slot(id: &str, usage: Usage) -> PoolSlot {
        PoolSlot {
            id: SlotId(id.to_owned()),
            size: None,
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
            plan(&[], &[], &[], &bounds(1, 2, 4), at(0)),
            [PlanStep::Boot(None), PlanStep::Boot(None)]
        );
        let pool = [slot("a", Usage::Free), slot("b", Usage::Booting)];
        assert_eq!(plan(&[], &pool, &[], &bounds(1, 2, 4), at(0)), []);
    }

    #[test]
    fn a_requested_slot_is_not_requested_again_and_displaces_no_other() {
        let pool = [slot("a", Usage::Free)];
        assert_eq!(plan(&[], &pool, &[None], &bounds(0, 2, 4), at(0)), []);
        let pool = [slot("a", Usage::Free), slot("b", Usage::Free)];
        assert_eq!(plan(&[], &pool, &[None, None], &bounds(0, 2, 4), at(0)), []);
    }

    #[test]
    fn the_oldest_job_gets_the_free_slot_and_the_next_one_a_boot() {
        let waiting = [waits(2, "o/r", 5), waits(1, "o/r", 3)];
        let steps = plan(&waiting, &[slot("a", Usage::Free)], &[], &bounds(0, 1, 4), at(9));
        assert_eq!(steps, [serve(1, "a"), PlanStep::Boot(None)]);
    }

    #[test]
    fn jobs_beyond_max_wait() {
        let waiting = [waits(1, "o/r", 0), waits(2, "o/r", 0)];
        let pool = [slot("a", by("o/r")), slot("b", by("o/r"))];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(1, 2, 2), at(0)), []);
    }

    #[test]
    fn a_repository_with_few_runners_goes_before_one_with_many() {
        let waiting = [waits(1, "o/busy", 0), waits(2, "o/busy", 1), waits(3, "o/quiet", 100)];
        let pool = [slot("a", by("o/busy")), slot("b", Usage::Free)];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 2, 2), at(200)), [serve(3, "b")]);
    }

    #[test]
    fn a_repository_gets_no_more_than_max_per_repository() {
        let waiting = [waits(1, "o/r", 0), waits(2, "o/other", 9)];
        let pool = [slot("a", by("o/r")), slot("b", Usage::Free), slot("c", Usage::Free)];
        let bounds = Bounds {
            max_per_repository: Some(1),
            ..bounds(0, 3, 3)
        };
        assert_eq!(plan(&waiting, &pool, &[], &bounds, at(10)), [serve(2, "b")]);
    }

    #[test]
    fn a_job_gets_and_boots_no_slot_before_its_time() {
        let waiting = [WaitingJob {
            not_before: Some(at(50)),
            ..waits(1, "o/r", 0)
        }];
        assert_eq!(plan(&waiting, &[], &[], &bounds(0, 0, 4), at(49)), []);
        assert_eq!(
            plan(&waiting, &[], &[], &bounds(0, 0, 4), at(50)),
            [PlanStep::Boot(None)]
        );
    }

    #[test]
    fn slots_beyond_the_target_are_discarded_after_a_rush() {
        let pool = [slot("a", Usage::Free), slot("b", Usage::Free), slot("c", by("o/r"))];
        let steps = plan(&[], &pool, &[], &bounds(0, 1, 4), at(0));
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
        assert_eq!(plan(&[], &pool, &[], &bounds(0, 2, 4), at(0)), []);
        let leaving = [slot("a", Usage::Leaving), slot("b", Usage::Leaving)];
        assert_eq!(
            plan(&[], &leaving, &[], &bounds(0, 2, 4), at(0)),
            [PlanStep::Boot(None), PlanStep::Boot(None)]
        );
        assert_eq!(
            plan(&[], &leaving, &[], &bounds(0, 2, 3), at(0)),
            [PlanStep::Boot(None)]
        );
    }

    fn large() -> SlotSize {
        Some("large".to_owned())
    }

    fn waits_for_large(job: u64, since: i64) -> WaitingJob {
        WaitingJob {
            size: large(),
            ..waits(job, "o/r", since)
        }
    }

    fn large_slot(id: &str, usage: Usage) -> PoolSlot {
        PoolSlot {
            size: large(),
            ..slot(id, usage)
        }
    }

    fn discard(slot: &str) -> PlanStep {
        PlanStep::Discard(SlotId(slot.to_owned()))
    }

    #[test]
    fn a_job_of_a_size_gets_a_slot_of_this_size_and_no_other() {
        let waiting = [waits_for_large(1, 0)];
        let pool = [slot("a", Usage::Free), large_slot("b", Usage::Free)];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 1, 3), at(9))[0], serve(1, "b"));
        let pool = [slot("a", Usage::Free)];
        let boot = [PlanStep::Boot(large())];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 2, 3), at(9)), boot);
        let waiting = [waits(1, "o/r", 0)];
        let pool = [large_slot("a", Usage::Free)];
        let steps = [PlanStep::Boot(None), discard("a")];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 1, 3), at(9)), steps);
    }

    #[test]
    fn a_slot_of_a_size_is_booted_once_for_a_job() {
        let waiting = [waits_for_large(1, 0)];
        let pool = [slot("a", Usage::Free), large_slot("b", Usage::Booting)];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 2, 4), at(9)), []);
        let pool = [slot("a", Usage::Free)];
        assert_eq!(plan(&waiting, &pool, &[large()], &bounds(0, 2, 4), at(9)), []);
        let boot = [PlanStep::Boot(large())];
        assert_eq!(plan(&waiting, &pool, &[None], &bounds(0, 2, 4), at(9)), boot);
    }

    #[test]
    fn an_idle_slot_of_another_size_leaves_for_a_job_at_the_maximum() {
        let waiting = [waits_for_large(1, 0)];
        let pool = [slot("a", Usage::Free), slot("b", Usage::Free)];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 2, 2), at(9)), [discard("b")]);
        let pool = [slot("a", Usage::Free), slot("b", Usage::Leaving)];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 2, 2), at(9)), []);
        let pool = [slot("a", Usage::Free)];
        let boot = [PlanStep::Boot(large())];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 2, 2), at(9)), boot);
        let waiting = [waits(1, "o/r", 0)];
        let pool = [large_slot("a", Usage::Free)];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 1, 1), at(9)), [discard("a")]);
    }

    #[test]
    fn idle_slots_of_the_target_have_the_default_size() {
        let pool = [large_slot("a", Usage::Free), slot("b", Usage::Free)];
        let steps = [PlanStep::Boot(None), discard("a")];
        assert_eq!(plan(&[], &pool, &[], &bounds(0, 2, 4), at(0)), steps);
        let pool = [large_slot("a", Usage::Booting), slot("b", Usage::Free)];
        let steps = [PlanStep::Boot(None)];
        assert_eq!(plan(&[], &pool, &[], &bounds(0, 2, 4), at(0)), steps);
    }

    #[test]
    fn a_job_waits_for_no_later_job_of_another_size() {
        let waiting = [waits_for_large(1, 0), waits(2, "o/r", 5)];
        let pool = [slot("a", Usage::Free)];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 1, 1), at(9)), [discard("a")]);
        let steps = [serve(2, "a"), PlanStep::Boot(large())];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 1, 2), at(9)), steps);
        let waiting = [waits(2, "o/r", 0), waits_for_large(1, 5)];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 1, 1), at(9)), [serve(2, "a")]);
        let boots = [PlanStep::Boot(None), PlanStep::Boot(large())];
        assert_eq!(plan(&waiting, &[], &[], &bounds(0, 0, 2), at(9)), boots);
    }

    #[test]
    fn a_slot_of_a_size_is_kept_for_a_delayed_job_unless_its_place_is_needed() {
        let delayed = WaitingJob {
            not_before: Some(at(50)),
            ..waits_for_large(1, 0)
        };
        let pool = [large_slot("a", Usage::Free)];
        assert_eq!(
            plan(std::slice::from_ref(&delayed), &pool, &[], &bounds(0, 0, 1), at(9)),
            []
        );
        let waiting = [delayed, waits(2, "o/r", 5)];
        assert_eq!(plan(&waiting, &pool, &[], &bounds(0, 0, 1), at(9)), [discard("a")]);
    }

    proptest! {
        #[test]
        fn a_plan_stays_below_max_and_serves_each_job_once(
            jobs in prop::collection::vec((0_u8..3, 0_i64..50, prop::option::of(0_i64..50)), 0..30),
            taken in prop::collection::vec(0_u8..6, 0..8),
            (min, target, max, most) in (0_u32..4, 0_u32..8, 0_u32..8, prop::option::of(1_u32..4)),
            now in 0_i64..50,
            coming in 0_i64..4,
            sizes in 1_usize..4,
        ) {
            let labels = [None, Some("large".to_owned()), Some("small".to_owned())];
            let size = |number: i64| labels[usize::try_from(number).expect("no sign") % sizes].clone();
            let max = max.max(min).max(u32::try_from(taken.len()).expect("few"));
            let bounds = Bounds { min, max, target: target.clamp(min, max), max_per_repository: most };
            let waiting: Vec<WaitingJob> = jobs
                .iter()
                .zip(1..)
                .map(|((repository, since, not_before), job)| WaitingJob {
                    not_before: not_before.map(at),
                    size: size(*since),
                    ..waits(job, &format!("o/{repository}"), *since)
                })
                .collect();
            let pool: Vec<PoolSlot> = taken
                .iter()
                .zip(1..)
                .map(|(kind, id): (&u8, u32)| PoolSlot {
                    size: size(i64::from(id)),
                    ..slot(&id.to_string(), match kind {
                        0 => Usage::Free,
                        1 => Usage::Booting,
                        5 => Usage::Leaving,
                        n => by(&format!("o/{}", n - 2)),
                    })
                })
                .collect();
            let requested: Vec<SlotSize> = (0..coming).map(size).collect();
            let steps = plan(&waiting, &pool, &requested, &bounds, at(now));
            let boots = steps.iter().filter(|step| matches!(step, PlanStep::Boot(_))).count();
            let discards = steps.iter().filter(|step| matches!(step, PlanStep::Discard(_))).count();
            let asked_for = if boots > 0 { requested.len() } else { 0 };
            prop_assert!(pool.len() + asked_for + boots <= max as usize);
            if sizes == 1 {
                prop_assert!(boots == 0 || discards == 0);
                let after = pool.len() + boots - discards;
                prop_assert!(after >= min as usize || after >= pool.len(), "{} slots remain", after);
            }
            let mut jobs = Vec::new();
            let mut slots = Vec::new();
            for step in &steps {
                match step {
                    PlanStep::Serve { job, slot } => {
                        let asked = waiting.iter().find(|w| w.job == *job).map(|w| &w.size);
                        let given = pool.iter().find(|one| one.id == *slot).map(|one| &one.size);
                        prop_assert_eq!(asked, given, "a job gets a slot of its size");
                        jobs.push(*job);
                        slots.push(slot);
                    }
                    PlanStep::Discard(slot) => slots.push(slot),
                    PlanStep::Boot(_) => {}
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
