//! The pool's plan: which environments to boot or give up, and which waiting job gets which of them. A pure function of
//! what is wanted, what is there, and the time.
//!
//! The oldest job goes first, fairly between repositories: the one with the fewest runners is next, so that two hundred
//! jobs of one repository do not starve the first of another.

use super::ids::JobId;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// How many environments there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Never fewer.
    pub min: u32,
    /// Never more.
    pub max: u32,
    /// As many as are kept while nothing is to do.
    pub target: u32,
    /// Runners of one repository at most.
    pub max_per_repository: Option<u32>,
}

/// A job that waits for an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The job.
    pub job: JobId,
    /// Its repository, `owner/name`.
    pub repository: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Before then it is left alone.
    pub not_before: Option<DateTime<Utc>>,
}

/// An environment that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Its id on the host.
    pub slot: String,
    /// Who has it.
    pub taken: Taken,
}

/// Who has an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Nobody, and it is not up yet.
    Booting,
    /// Nobody: it can be given away.
    Free,
    /// A runner for a job of this repository, as far as that is known.
    By(Option<String>),
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Boot one more environment.
    Boot,
    /// Give up an environment that nobody uses.
    Discard {
        /// Which one.
        slot: String,
    },
    /// Make a runner for a job in an environment.
    Serve {
        /// The job.
        job: JobId,
        /// The environment.
        slot: String,
    },
}

/// Plans one pass. Nothing in the plan waits for another part of it. `coming` environments were asked for and may not be
/// among the `seats` yet: none is booted in their place, and none is given up because of them.
#[must_use]
pub fn plan(waiting: &[Waiting], seats: &[Seat], coming: u32, bounds: &Bounds, now: DateTime<Utc>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut free: Vec<&str> = seats
        .iter()
        .filter(|seat| seat.taken == Taken::Free)
        .map(|seat| seat.slot.as_str())
        .collect();
    let booting = count(seats.iter().filter(|seat| seat.taken == Taken::Booting));
    let mut queue = Queue::new(waiting, seats, bounds, now);
    free.reverse();
    while let Some(slot) = free.pop() {
        let Some(job) = queue.next() else {
            free.push(slot);
            break;
        };
        let slot = slot.to_owned();
        steps.push(Step::Serve { job, slot });
    }
    let served = count(steps.iter());
    let busy = count(seats.iter().filter(|seat| matches!(seat.taken, Taken::By(_)))) + served;
    let still_waiting = count(std::iter::from_fn(|| queue.next()));
    // Who waits raises the number up to `max`; when nobody does it sinks back to `target`.
    let wanted = (busy.saturating_add(still_waiting)).max(bounds.target);
    let wanted = wanted.clamp(bounds.min, bounds.max);
    let idle = count(free.iter()) + booting;
    let there = busy + idle;
    for _ in there.saturating_add(coming)..wanted {
        steps.push(Step::Boot);
    }
    for slot in free.iter().take(there.saturating_sub(wanted) as usize) {
        let slot = (*slot).to_owned();
        steps.push(Step::Discard { slot });
    }
    steps
}

fn count(things: impl Iterator) -> u32 {
    u32::try_from(things.count()).unwrap_or(u32::MAX)
}

/// Jobs in the order they are served.
struct Queue<'a> {
    /// By repository, the oldest last.
    jobs: BTreeMap<&'a str, Vec<&'a Waiting>>,
    runners: BTreeMap<&'a str, u32>,
    most: u32,
}

impl<'a> Queue<'a> {
    fn new(waiting: &'a [Waiting], seats: &'a [Seat], bounds: &Bounds, now: DateTime<Utc>) -> Self {
        let mut jobs: BTreeMap<&str, Vec<&Waiting>> = BTreeMap::new();
        for job in waiting.iter().filter(|job| job.not_before.is_none_or(|at| at <= now)) {
            jobs.entry(&job.repository).or_default().push(job);
        }
        for jobs in jobs.values_mut() {
            jobs.sort_by_key(|job| std::cmp::Reverse((job.since, job.job)));
        }
        let mut runners: BTreeMap<&str, u32> = BTreeMap::new();
        for seat in seats {
            if let Taken::By(Some(repository)) = &seat.taken {
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
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn waits(job: u64, repository: &str, since: i64) -> Waiting {
        Waiting {
            job: JobId(job),
            repository: repository.to_owned(),
            since: at(since),
            not_before: None,
        }
    }

    fn seat(slot: &str, taken: Taken) -> Seat {
        Seat {
            slot: slot.to_owned(),
            taken,
        }
    }

    fn by(repository: &str) -> Taken {
        Taken::By(Some(repository.to_owned()))
    }

    fn bounds(min: u32, target: u32, max: u32) -> Bounds {
        Bounds {
            min,
            max,
            target,
            max_per_repository: None,
        }
    }

    fn serve(job: u64, slot: &str) -> Step {
        Step::Serve {
            job: JobId(job),
            slot: slot.to_owned(),
        }
    }

    #[test]
    fn slots_are_kept_booted_while_nothing_is_to_do() {
        assert_eq!(plan(&[], &[], 0, &bounds(1, 2, 4), at(0)), [Step::Boot, Step::Boot]);
        let seats = [seat("a", Taken::Free), seat("b", Taken::Booting)];
        assert_eq!(plan(&[], &seats, 0, &bounds(1, 2, 4), at(0)), []);
    }

    #[test]
    fn what_was_asked_for_is_not_asked_for_again_and_costs_no_other_its_place() {
        let seats = [seat("a", Taken::Free)];
        assert_eq!(plan(&[], &seats, 1, &bounds(0, 2, 4), at(0)), []);
        let seats = [seat("a", Taken::Free), seat("b", Taken::Free)];
        assert_eq!(plan(&[], &seats, 2, &bounds(0, 2, 4), at(0)), []);
    }

    #[test]
    fn the_oldest_job_gets_the_free_slot_and_the_next_one_a_boot() {
        let waiting = [waits(2, "o/r", 5), waits(1, "o/r", 3)];
        let steps = plan(&waiting, &[seat("a", Taken::Free)], 0, &bounds(0, 1, 4), at(9));
        assert_eq!(steps, [serve(1, "a"), Step::Boot]);
    }

    #[test]
    fn beyond_max_jobs_wait() {
        let waiting = [waits(1, "o/r", 0), waits(2, "o/r", 0)];
        let seats = [seat("a", by("o/r")), seat("b", by("o/r"))];
        assert_eq!(plan(&waiting, &seats, 0, &bounds(1, 2, 2), at(0)), []);
    }

    #[test]
    fn a_repository_with_few_runners_goes_before_one_with_many() {
        let waiting = [waits(1, "o/busy", 0), waits(2, "o/busy", 1), waits(3, "o/quiet", 100)];
        let seats = [seat("a", by("o/busy")), seat("b", Taken::Free)];
        assert_eq!(plan(&waiting, &seats, 0, &bounds(0, 2, 2), at(200)), [serve(3, "b")]);
    }

    #[test]
    fn a_repository_can_be_bounded_by_itself() {
        let waiting = [waits(1, "o/r", 0), waits(2, "o/other", 9)];
        let seats = [seat("a", by("o/r")), seat("b", Taken::Free), seat("c", Taken::Free)];
        let bounds = Bounds {
            max_per_repository: Some(1),
            ..bounds(0, 3, 3)
        };
        assert_eq!(plan(&waiting, &seats, 0, &bounds, at(10)), [serve(2, "b")]);
    }

    #[test]
    fn who_is_to_be_left_alone_neither_gets_nor_boots_anything() {
        let waiting = [Waiting {
            not_before: Some(at(50)),
            ..waits(1, "o/r", 0)
        }];
        assert_eq!(plan(&waiting, &[], 0, &bounds(0, 0, 4), at(49)), []);
        assert_eq!(plan(&waiting, &[], 0, &bounds(0, 0, 4), at(50)), [Step::Boot]);
    }

    #[test]
    fn what_a_rush_booted_is_given_up_afterwards() {
        let seats = [seat("a", Taken::Free), seat("b", Taken::Free), seat("c", by("o/r"))];
        let steps = plan(&[], &seats, 0, &bounds(0, 1, 4), at(0));
        assert_eq!(
            steps,
            [
                Step::Discard { slot: "b".to_owned() },
                Step::Discard { slot: "a".to_owned() }
            ]
        );
    }

    proptest! {
        #[test]
        fn never_more_than_max_and_nobody_twice(
            jobs in prop::collection::vec((0_u8..3, 0_i64..50, prop::option::of(0_i64..50)), 0..30),
            taken in prop::collection::vec(0_u8..5, 0..8),
            (min, target, max, most) in (0_u32..4, 0_u32..8, 0_u32..8, prop::option::of(1_u32..4)),
            now in 0_i64..50,
            coming in 0_u32..4,
        ) {
            let max = max.max(min).max(u32::try_from(taken.len()).expect("few"));
            let bounds = Bounds { min, max, target: target.clamp(min, max), max_per_repository: most };
            let waiting: Vec<Waiting> = jobs
                .iter()
                .zip(1..)
                .map(|((repository, since, not_before), job)| Waiting {
                    not_before: not_before.map(at),
                    ..waits(job, &format!("o/{repository}"), *since)
                })
                .collect();
            let seats: Vec<Seat> = taken
                .iter()
                .zip(1..)
                .map(|(kind, slot): (&u8, u32)| seat(&slot.to_string(), match kind {
                    0 => Taken::Free,
                    1 => Taken::Booting,
                    n => by(&format!("o/{}", n - 2)),
                }))
                .collect();
            let steps = plan(&waiting, &seats, coming, &bounds, at(now));
            let boots = steps.iter().filter(|step| **step == Step::Boot).count();
            let discards = steps.iter().filter(|step| matches!(step, Step::Discard { .. })).count();
            let asked_for = if boots > 0 { coming as usize } else { 0 };
            prop_assert!(seats.len() + asked_for + boots <= max as usize);
            prop_assert!(boots == 0 || discards == 0);
            let after = seats.len() + boots - discards;
            prop_assert!(after >= min as usize || after >= seats.len(), "{} stay", after);
            let mut jobs = Vec::new();
            let mut slots = Vec::new();
            for step in &steps {
                match step {
                    Step::Serve { job, slot } => {
                        jobs.push(*job);
                        slots.push(slot);
                    }
                    Step::Discard { slot } => slots.push(slot),
                    Step::Boot => {}
                }
            }
            let (served, used) = (jobs.len(), slots.len());
            jobs.sort_unstable();
            jobs.dedup();
            slots.sort_unstable();
            slots.dedup();
            prop_assert_eq!((jobs.len(), slots.len()), (served, used), "none twice");
            for slot in slots {
                prop_assert!(seats.iter().any(|seat| seat.slot == *slot && seat.taken == Taken::Free));
            }
            for job in jobs {
                let due = waiting.iter().any(|w| w.job == job && w.not_before.is_none_or(|t| t <= at(now)));
                prop_assert!(due);
            }
        }
    }
}
