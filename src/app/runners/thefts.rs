//! Thefts: a job without a right to it takes a runner that was created for another job.
//!
//! The job gate stops every theft, but each costs a runner, and outsiders can queue any number of jobs. From the third
//! consecutive theft on, the runner group therefore creates no runner for a pause, which doubles after each further
//! theft up to a limit. Pauses hold one job for [`MAX_HELD_PAUSES`] in total; a theft after that holds it for the shortest
//! pause only. An outsider can thus slow trusted jobs down, but can neither starve them nor use up runners at will (ADR
//! 0018).
//!
//! The shortest pause equals `routing.quarantine_s` of the repository.

use crate::app::settings::Repository;
use crate::domain::ids::JobId;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Number of consecutive thefts that starts the first pause.
const MAX_THEFTS: u32 = 3;
/// Maximum number of doublings: the longest pause is 16 times the shortest.
const MAX_DOUBLINGS: u32 = 4;
/// Maximum total hold of one job by pauses, in multiples of the shortest pause, from its arrival.
pub(in crate::app) const MAX_HELD_PAUSES: i32 = 30;
/// Maximum time between consecutive thefts.
const STREAK_TIMEOUT: TimeDelta = TimeDelta::hours(1);
/// The shortest pause if quarantine is off.
const MIN_PAUSE: TimeDelta = TimeDelta::seconds(1);
/// Number of stolen runners that are remembered by name, so that none counts twice.
const MAX_REMEMBERED: usize = 64;

/// A job that a pause can hold.
#[derive(Debug, Clone, Copy)]
pub(in crate::app) struct Waiter {
    pub(in crate::app) job: JobId,
    /// The start of the wait.
    pub(in crate::app) since: DateTime<Utc>,
    /// The maximum hold.
    pub(in crate::app) at_most: TimeDelta,
}

impl Waiter {
    /// Returns the hold of a job that arrived at this time.
    pub(in crate::app) fn of(repository: &Repository, job: JobId, since: DateTime<Utc>) -> Self {
        let at_most = repository.quarantine;
        Self { job, since, at_most }
    }
}

/// The latest thefts in a runner group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::app) struct Thefts {
    /// Number of consecutive thefts.
    pub(in crate::app) count: u32,
    /// Number of pauses because of them.
    pauses: u32,
    /// The latest pause.
    pause: Option<Pause>,
    /// The time of the latest theft.
    last_at: Option<DateTime<Utc>>,
    /// The names of the runners, newest last.
    runners: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::app) struct Pause {
    pub(in crate::app) since: DateTime<Utc>,
    pub(in crate::app) until: DateTime<Utc>,
}

impl Thefts {
    /// Counts a stolen runner once and starts a pause if one is due. The theft, during a pause, of a runner from before
    /// that pause does not extend it.
    pub(in crate::app) fn note(&mut self, runner: &str, shortest: TimeDelta, now: DateTime<Utc>) -> bool {
        if self.runners.iter().any(|known| known == runner) {
            return false;
        }
        let last = self.last_at.max(self.pause.map(|pause| pause.until));
        if last.is_some_and(|last| now - last > STREAK_TIMEOUT) {
            *self = Self::default();
        }
        self.runners.push(runner.to_owned());
        let surplus = self.runners.len().saturating_sub(MAX_REMEMBERED);
        self.runners.drain(..surplus);
        self.count = self.count.saturating_add(1);
        self.last_at = Some(now);
        if self.count >= MAX_THEFTS && self.pause_at(now).is_none() {
            let length = shortest * (1 << self.pauses.min(MAX_DOUBLINGS));
            self.pauses += 1;
            self.pause = Some(Pause {
                since: now,
                until: now + length,
            });
        }
        true
    }

    pub(in crate::app) fn pause_at(&self, now: DateTime<Utc>) -> Option<Pause> {
        self.pause.filter(|pause| pause.until > now)
    }

    /// Returns the end of the latest pause for a job.
    pub(in crate::app) fn hold_until(&self, waiter: Waiter) -> Option<DateTime<Utc>> {
        let pause = self.pause?;
        let shortest = shortest(waiter.at_most);
        let last = self.last_at.unwrap_or(pause.since);
        let at_most = (waiter.since + shortest * MAX_HELD_PAUSES).max(last + shortest);
        Some(pause.until.min(at_most))
    }
}

pub(in crate::app) fn shortest(quarantine: TimeDelta) -> TimeDelta {
    quarantine.max(MIN_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;

    const QUARANTINE: TimeDelta = TimeDelta::seconds(60);

    fn waiting_since(second: i64) -> Waiter {
        Waiter {
            job: JobId(1),
            since: at(second),
            at_most: QUARANTINE,
        }
    }

    /// Thefts of new runners at these seconds.
    fn thefts(seconds: &[i64]) -> Thefts {
        let mut thefts = Thefts::default();
        for (number, second) in seconds.iter().enumerate() {
            assert!(thefts.note(&format!("runner-{number}"), QUARANTINE, at(*second)));
        }
        thefts
    }

    fn held_until(thefts: &Thefts, waiter: Waiter) -> Option<i64> {
        thefts.hold_until(waiter).map(|until| until.timestamp())
    }

    #[test]
    fn the_third_theft_pauses_the_group_and_each_further_one_for_twice_as_long() {
        let waiter = waiting_since(0);
        assert_eq!(held_until(&thefts(&[0, 1]), waiter), None);
        assert_eq!(held_until(&thefts(&[0, 1, 2]), waiter), Some(62));
        assert_eq!(held_until(&thefts(&[0, 1, 2, 62]), waiter), Some(182));
        assert_eq!(held_until(&thefts(&[0, 1, 2, 62, 182]), waiter), Some(422));
        let bounded = thefts(&[0, 1, 2, 62, 182, 422, 902, 1862, 2822]);
        assert_eq!(held_until(&bounded, waiting_since(2000)), Some(2822 + 16 * 60));
    }

    #[test]
    fn runners_that_were_made_before_a_pause_make_it_no_longer() {
        let four_at_once = thefts(&[0, 0, 0, 0, 1, 5]);
        assert_eq!(held_until(&four_at_once, waiting_since(0)), Some(60));
    }

    #[test]
    fn one_that_is_found_twice_counts_once() {
        let mut thefts = thefts(&[0, 1]);
        assert!(!thefts.note("runner-1", QUARANTINE, at(2)));
        assert_eq!(held_until(&thefts, waiting_since(0)), None);
    }

    #[test]
    fn a_job_that_waited_long_enough_is_held_by_the_shortest_pause_only() {
        let before = thefts(&[0, 1, 2, 62, 182, 422, 902]);
        assert_eq!(held_until(&before, waiting_since(0)), Some(1800));
        let thefts = thefts(&[0, 1, 2, 62, 182, 422, 902, 1800]);
        assert_eq!(held_until(&thefts, waiting_since(0)), Some(1860));
        assert_eq!(
            held_until(&thefts, waiting_since(1700)),
            Some(1862),
            "the fifth pause goes on"
        );
    }

    #[test]
    fn what_happened_long_ago_is_forgotten() {
        assert_eq!(held_until(&thefts(&[0, 1, 3602]), waiting_since(3600)), None);
        assert_eq!(held_until(&thefts(&[0, 1, 2, 3663]), waiting_since(3600)), None);
        assert_eq!(held_until(&thefts(&[0, 1, 2, 3662]), waiting_since(3600)), Some(3782));
    }
}
