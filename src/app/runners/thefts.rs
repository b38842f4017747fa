//! Thefts: a job takes a runner that was made for another one, and has no right to it.
//!
//! The job gate stops every one of them, and each still costs a runner, while outsiders can queue jobs without end. So from
//! the third theft in a row on, the runner group makes no runner for a while, twice as long after each further theft, up
//! to a bound. A job is held for [`MAX_HELD`] in all; a theft after that holds it for the shortest pause only. So an
//! outsider can slow the trusted down, and neither starve them nor use up runners at will (ADR 0018).
//!
//! The shortest pause is as long as a quarantine of the repository, `routing.quarantine_s`.

use crate::app::context::Gate;
use crate::app::quarantine::{GroupRecord, Waiter};
use crate::app::records::{self, RunnerRecord};
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::ports::Failure;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Thefts in a row that are put up with; with this many the first pause begins.
const MAX_THEFTS: u32 = 3;
/// How often the pause doubles: the longest one is 16 times the shortest.
const MAX_DOUBLINGS: u32 = 4;
/// How long pauses hold one job, in shortest pauses, from when it came in.
const MAX_HELD: i32 = 30;
/// Thefts that are further apart than this are not in a row.
const APART_INTERVAL: TimeDelta = TimeDelta::hours(1);
/// The shortest pause where quarantine is switched off.
const SHORTEST_DELAY: TimeDelta = TimeDelta::seconds(1);
/// Stolen runners that are remembered by name, so that none counts twice.
const MAX_REMEMBERED: usize = 64;

/// The latest thefts in a runner group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::app) struct Thefts {
    /// How many there were in a row.
    count: u32,
    /// How many pauses they led to.
    pauses: u32,
    /// The latest pause.
    pause: Option<Pause>,
    /// When the latest theft was found.
    last_at: Option<DateTime<Utc>>,
    /// The names of the runners, the newest last.
    runners: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Pause {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Thefts {
    /// Counts a stolen runner once, and begins a pause when it is time for one. A runner that was made before a pause and is
    /// stolen during it makes that pause no longer.
    fn note(&mut self, runner: &str, shortest: TimeDelta, now: DateTime<Utc>) -> bool {
        if self.runners.iter().any(|known| known == runner) {
            return false;
        }
        let last = self.last_at.max(self.pause.map(|pause| pause.until));
        if last.is_some_and(|last| now - last > APART_INTERVAL) {
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

    fn pause_at(&self, now: DateTime<Utc>) -> Option<Pause> {
        self.pause.filter(|pause| pause.until > now)
    }

    /// Until when the latest pause holds a job.
    pub(in crate::app) fn hold_until(&self, waiter: Waiter) -> Option<DateTime<Utc>> {
        let pause = self.pause?;
        let shortest = shortest(waiter.at_most);
        let last = self.last_at.unwrap_or(pause.since);
        let at_most = (waiter.since + shortest * MAX_HELD).max(last + shortest);
        Some(pause.until.min(at_most))
    }
}

fn shortest(quarantine: TimeDelta) -> TimeDelta {
    quarantine.max(SHORTEST_DELAY)
}

/// Counts a runner that was stolen, and says so where that leads to a pause. To be repeated after a failure or a crash,
/// before the job of the runner can have another one.
pub(in crate::app) async fn count(gate: &Gate, runner: &RunnerRecord) -> Result<(), Failure> {
    let Some(repository) = gate.settings.repository(runner.repository.as_str()) else {
        return Ok(());
    };
    let (group, now) = (repository.group_key(), gate.clock.now());
    let shortest = shortest(repository.quarantine);
    let retention = gate.settings.retention;
    let record = records::update(gate.ledger.as_ref(), &group, retention, |old: Option<GroupRecord>| {
        let mut record = old.unwrap_or_default();
        record.thefts.note(&runner.name, shortest, now).then_some(record)
    })
    .await?;
    let Some((thefts, pause)) = record.and_then(|record| {
        let pause = record.thefts.pause_at(now)?;
        Some((record.thefts.count, pause))
    }) else {
        return Ok(());
    };
    let pause_s = (pause.until - pause.since).num_seconds();
    tracing::warn!(
        group,
        thefts,
        pause_s,
        "{thefts} runners of {group} were stolen in a row: none is made there for {pause_s} s"
    );
    let by = runner
        .taken_by
        .map_or_else(String::new, |job| format!(", the last one by job {job}"));
    let what = format!(
        "{thefts} runners of {group} were stolen in a row{by}: no runner is made there for {pause_s} s, and no trusted job \
         waits for that longer than {} s in all",
        (shortest * MAX_HELD).num_seconds()
    );
    let key = AlertKey::new(AlertKind::StolenRunner, Some(&repository.name)).caused_by("thefts");
    gate.alerts.raise(Alert::new(&key, None, &what, now)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::JobId;

    const QUARANTINE: TimeDelta = TimeDelta::seconds(60);

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

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
