//! The life cycle of the runners of one job, and the parts of its wait: pure functions of what the ledger knows.
//!
//! The first row that matches decides:
//!
//! | the job | its runners | life cycle |
//! |---|---|---|
//! | was not routed, or started on a runner that is not ours | any | elsewhere |
//! | passed the job gate, and did not succeed | the runner ended by death or loss before the end of the job | lost |
//! | any | one is not removed 10 minutes after its end | tear-down failed |
//! | passed the job gate, and is over | all are removed | success |
//! | passed the job gate, or started on our runner and is not over | any | running |
//! | was given up, or is over without passing the job gate | the last failure is of the group boot | boot failed |
//! | the same | the last failure is of the group registration | registration failed |
//! | was given up | no failure is known any more | registration failed |
//! | was denied and has no runner | any | denied |
//! | is over | none failed | cancelled |
//! | anything else | any | waiting |
//!
//! The group boot: `boot-failed`, `died`, `hook-silent`, `gate-unanswered`, `gate-abused`. The group registration:
//! `refused`, `name-taken`, `lost`, `nobody-came`. Thefts, swaps and unneeded runners are not failures.

use crate::domain::runner::Outcome;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Time from the end of a runner until its slot and GitHub's record must be removed.
pub const TEAR_DOWN_TIMEOUT: TimeDelta = TimeDelta::minutes(10);
/// Time by which the end of a job can follow the end of its runner. A longer time shows that GitHub missed the runner.
const END_DELAY: TimeDelta = TimeDelta::minutes(2);

/// The life cycle of the runners of a job, by its final outcome. A failed runner whose successor ran the job is no
/// failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// The job waits for its runner.
    Waiting,
    /// The job runs, or its runner is not removed yet.
    Running,
    /// The job ran, and its runner was removed.
    Success,
    /// No runner could be booted for the job.
    BootFailed,
    /// No runner was registered, or none was given the job.
    RegistrationFailed,
    /// The runner was lost while the job ran.
    Lost,
    /// The runner was not removed in time.
    TearDownFailed,
    /// The job was cancelled or superseded before it started. It does not count.
    Cancelled,
    /// The job was denied. It does not count.
    Denied,
    /// The job ran on other runners: it was not routed. It does not count.
    Elsewhere,
}

impl Lifecycle {
    /// Returns false for an outcome that says nothing about runners.
    #[must_use]
    pub fn counts(self) -> bool {
        !matches!(self, Self::Cancelled | Self::Denied | Self::Elsewhere)
    }

    /// Returns true if a runner failed.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::BootFailed | Self::RegistrationFailed | Self::Lost | Self::TearDownFailed
        )
    }

    /// Returns false while the job waits or runs.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }

    /// Returns a sentence for people.
    #[must_use]
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Waiting => "the job waits for a runner",
            Self::Running => "the job runs, or its runner is not removed yet",
            Self::Success => "the job ran, and its runner was removed",
            Self::BootFailed => "no runner came up",
            Self::RegistrationFailed => "no runner was registered and given the job",
            Self::Lost => "the runner was lost while the job ran",
            Self::TearDownFailed => "the runner was not removed within 10 minutes",
            Self::Cancelled => "the job was cancelled before it started",
            Self::Denied => "the job was denied",
            Self::Elsewhere => "the job ran on other runners",
        }
    }

    /// Returns true if the job could not start because no runner booted or registered.
    #[must_use]
    pub fn failed_before_start(self) -> bool {
        matches!(self, Self::BootFailed | Self::RegistrationFailed)
    }

    /// Returns the name used in records and texts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Success => "success",
            Self::BootFailed => "boot_failed",
            Self::RegistrationFailed => "registration_failed",
            Self::Lost => "lost",
            Self::TearDownFailed => "tear_down_failed",
            Self::Cancelled => "cancelled",
            Self::Denied => "denied",
            Self::Elsewhere => "elsewhere",
        }
    }

    /// Returns the rank in a run: failures come before jobs that are not over, and success comes last.
    pub(super) fn severity(self) -> u8 {
        match self {
            Self::BootFailed => 6,
            Self::RegistrationFailed => 5,
            Self::Lost => 4,
            Self::TearDownFailed => 3,
            Self::Waiting => 2,
            Self::Running => 1,
            Self::Success | Self::Cancelled | Self::Denied | Self::Elsewhere => 0,
        }
    }
}

/// The parts of a queue wait, in milliseconds. Times of several clocks meet here, so the parts are estimates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WaitParts {
    /// From the creation of the job to the arrival of its delivery.
    pub delivery_lag_ms: Option<u64>,
    /// From the arrival to the decision.
    pub decision_ms: Option<u64>,
    /// From the decision to the assignment of a slot.
    pub slot_ms: Option<u64>,
    /// From the assignment to GitHub's record of the runner.
    pub mint_ms: Option<u64>,
    /// From the record to the connection of the runner.
    pub boot_ms: Option<u64>,
    /// From the connection to the start of the job.
    pub pickup_ms: Option<u64>,
}

/// The course of one job, as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Course {
    /// True if the job is on labels of the pool.
    pub was_routed: bool,
    pub was_denied: bool,
    /// True if no runner is left to try, or GitHub has refused one for long.
    pub was_given_up: bool,
    /// True if GitHub concluded it as a success.
    pub has_succeeded: bool,
    /// GitHub's times.
    pub created_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    /// The arrival of the first delivery, and the first decision.
    pub received_at: Option<DateTime<Utc>>,
    pub decided_at: Option<DateTime<Utc>>,
    /// Its runners, oldest first.
    pub runners: Vec<Served>,
}

/// One runner of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Served {
    pub outcome: Option<Outcome>,
    /// True if the job, and not another one, was on the runner.
    pub was_taken: bool,
    /// True if the job passed the job gate on it.
    pub passed_gate: bool,
    pub named_at: Option<DateTime<Utc>>,
    pub minted_at: Option<DateTime<Utc>>,
    pub connected_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub destroyed_at: Option<DateTime<Utc>>,
}

/// The two reasons for which a job gets no runner.
#[derive(PartialEq, Eq)]
enum Fault {
    Boot,
    Registration,
}

impl Course {
    /// Returns the life cycle at this time, by the table of this module.
    #[must_use]
    pub fn lifecycle(&self, now: DateTime<Utc>) -> Lifecycle {
        let is_over = self.ended_at.is_some();
        let has_passed = self.runners.iter().any(|runner| runner.passed_gate);
        let is_on_ours = has_passed || self.runners.iter().any(|runner| runner.was_taken);
        if !self.was_routed || (self.started_at.is_some() && !is_on_ours) {
            return Lifecycle::Elsewhere;
        }
        if self.runners.iter().any(|runner| self.was_lost(runner)) {
            return Lifecycle::Lost;
        }
        if self.runners.iter().any(|runner| runner.remains_too_long(now)) {
            return Lifecycle::TearDownFailed;
        }
        if has_passed {
            let is_removed = self.runners.iter().all(|runner| runner.destroyed_at.is_some());
            return match is_over && is_removed {
                true => Lifecycle::Success,
                false => Lifecycle::Running,
            };
        }
        if self.was_given_up || is_over {
            match self.runners.iter().rev().find_map(Served::fault) {
                Some(Fault::Boot) => return Lifecycle::BootFailed,
                Some(Fault::Registration) => return Lifecycle::RegistrationFailed,
                None if self.was_given_up => return Lifecycle::RegistrationFailed,
                None => {}
            }
        }
        if self.started_at.is_some() && !is_over {
            return Lifecycle::Running;
        }
        let is_served = self.runners.iter().any(|runner| runner.ended_at.is_none());
        match (self.was_denied && !is_served, is_over) {
            (true, _) => Lifecycle::Denied,
            (false, true) => Lifecycle::Cancelled,
            (false, false) => Lifecycle::Waiting,
        }
    }

    /// Returns the parts of the wait, as far as they are known. The runner that the job started on counts, or the newest
    /// one.
    #[must_use]
    pub fn parts(&self) -> WaitParts {
        let started_on = self
            .runners
            .iter()
            .rev()
            .find(|runner| runner.was_taken || runner.passed_gate);
        let runner = started_on.or(self.runners.last());
        let time = |of: fn(&Served) -> Option<DateTime<Utc>>| runner.and_then(of);
        let (named_at, minted_at) = (time(|runner| runner.named_at), time(|runner| runner.minted_at));
        let connected_at = time(|runner| runner.connected_at);
        WaitParts {
            delivery_lag_ms: between(self.created_at, self.received_at),
            decision_ms: between(self.received_at, self.decided_at),
            slot_ms: between(self.decided_at, named_at),
            mint_ms: between(named_at, minted_at),
            boot_ms: between(minted_at, connected_at),
            pickup_ms: between(connected_at, self.started_at),
        }
    }

    fn was_lost(&self, runner: &Served) -> bool {
        // A job that GitHub concluded as a success reported its end, whatever the clocks show.
        let has_run = runner.passed_gate && !self.has_succeeded;
        let (true, Some(ended_at)) = (has_run, runner.ended_at) else {
            return false;
        };
        let was_over = self.ended_at.is_some_and(|job_ended_at| job_ended_at <= ended_at);
        let is_missed = self
            .ended_at
            .is_some_and(|job_ended_at| job_ended_at - ended_at > END_DELAY);
        match runner.outcome {
            Some(Outcome::Died | Outcome::Lost) => !was_over,
            // A host that does not list the slot any more cannot tell death from the end.
            Some(Outcome::Completed) => is_missed,
            _ => false,
        }
    }
}

impl Served {
    fn remains_too_long(&self, now: DateTime<Utc>) -> bool {
        self.ended_at
            .is_some_and(|ended_at| self.destroyed_at.unwrap_or(now) - ended_at > TEAR_DOWN_TIMEOUT)
    }

    fn fault(&self) -> Option<Fault> {
        match self.outcome? {
            Outcome::BootFailed
            | Outcome::Died
            | Outcome::HookSilent
            | Outcome::GateUnanswered
            | Outcome::GateAbused => Some(Fault::Boot),
            Outcome::Refused | Outcome::NameTaken | Outcome::Lost | Outcome::NobodyCame => Some(Fault::Registration),
            Outcome::Completed
            | Outcome::GateRefused
            | Outcome::Stolen
            | Outcome::TooLong
            | Outcome::DiskFull
            | Outcome::Removed
            | Outcome::Cancelled => None,
        }
    }
}

/// Returns the time between two moments of different clocks, which is never negative.
fn between(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Option<u64> {
    u64::try_from((to? - from?).num_milliseconds().max(0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;
    use Lifecycle::{
        BootFailed, Cancelled, Denied, Elsewhere, Lost, RegistrationFailed, Running, Success, TearDownFailed, Waiting,
    };

    fn waiting() -> Course {
        Course {
            was_routed: true,
            created_at: Some(at(0)),
            received_at: Some(at(2)),
            decided_at: Some(at(3)),
            ..Course::default()
        }
    }

    fn failed(outcome: Outcome) -> Served {
        Served {
            outcome: Some(outcome),
            named_at: Some(at(10)),
            ended_at: Some(at(20)),
            destroyed_at: Some(at(21)),
            ..Served::default()
        }
    }

    /// A runner with the job, which ended at this second.
    fn ran(outcome: Option<Outcome>, ended: Option<i64>, destroyed: Option<i64>) -> Served {
        Served {
            outcome,
            was_taken: true,
            passed_gate: true,
            named_at: Some(at(30)),
            minted_at: Some(at(31)),
            connected_at: Some(at(35)),
            ended_at: ended.map(at),
            destroyed_at: destroyed.map(at),
        }
    }

    fn started(ended: Option<i64>, runners: &[Served]) -> Course {
        Course {
            started_at: Some(at(40)),
            ended_at: ended.map(at),
            runners: runners.to_vec(),
            ..waiting()
        }
    }

    fn ended(runners: &[Served]) -> Course {
        Course {
            ended_at: Some(at(100)),
            runners: runners.to_vec(),
            ..waiting()
        }
    }

    fn given_up(runners: &[Served]) -> Course {
        Course {
            was_given_up: true,
            runners: runners.to_vec(),
            ..waiting()
        }
    }

    #[test]
    fn a_job_that_ran_is_a_success_once_its_runner_is_removed() {
        let done = Some(Outcome::Completed);
        let cases = [
            (started(None, &[ran(None, None, None)]), Running),
            (started(Some(90), &[ran(None, None, None)]), Running),
            (started(Some(90), &[ran(done, Some(92), None)]), Running),
            (started(Some(90), &[ran(done, Some(92), Some(93))]), Success),
            (
                started(Some(90), &[failed(Outcome::Died), ran(done, Some(92), Some(93))]),
                Success,
            ),
            (
                started(Some(90), &[ran(Some(Outcome::TooLong), Some(89), Some(93))]),
                Success,
            ),
            (
                started(Some(90), &[ran(Some(Outcome::DiskFull), Some(89), Some(93))]),
                Success,
            ),
        ];
        for (course, expected) in cases {
            assert_eq!(course.lifecycle(at(100)), expected, "{course:?}");
        }
    }

    #[test]
    fn a_runner_that_ends_before_its_job_is_lost() {
        let done = Some(Outcome::Completed);
        let died = Some(Outcome::Died);
        let cases = [
            (started(None, &[ran(died, Some(50), Some(51))]), Lost),
            (started(Some(700), &[ran(died, Some(50), Some(51))]), Lost),
            (started(Some(49), &[ran(died, Some(50), Some(51))]), Success),
            (started(Some(171), &[ran(done, Some(50), Some(51))]), Lost),
            (started(Some(170), &[ran(done, Some(50), Some(51))]), Success),
            (started(None, &[ran(done, Some(50), Some(51))]), Running),
        ];
        for (course, expected) in cases {
            assert_eq!(course.lifecycle(at(700)), expected, "{course:?}");
        }
        for outcome in [done, died, Some(Outcome::Lost)] {
            let succeeded = Course {
                has_succeeded: true,
                ..started(Some(171), &[ran(outcome, Some(50), Some(51))])
            };
            assert_eq!(
                succeeded.lifecycle(at(700)),
                Success,
                "the clocks disagree: {outcome:?}"
            );
        }
    }

    #[test]
    fn a_runner_is_removed_within_ten_minutes_of_its_end() {
        let done = Some(Outcome::Completed);
        let remains = started(Some(90), &[ran(done, Some(92), None)]);
        assert_eq!(remains.lifecycle(at(692)), Running);
        assert_eq!(remains.lifecycle(at(693)), TearDownFailed);
        let late = started(Some(90), &[ran(done, Some(92), Some(693))]);
        assert_eq!(
            late.lifecycle(at(5000)),
            TearDownFailed,
            "a late removal does not undo it"
        );
        let in_time = started(Some(90), &[ran(done, Some(92), Some(692))]);
        assert_eq!(in_time.lifecycle(at(5000)), Success);
        let earlier = Served {
            destroyed_at: None,
            ..failed(Outcome::BootFailed)
        };
        let residue = started(Some(90), &[earlier, ran(done, Some(92), Some(93))]);
        assert_eq!(residue.lifecycle(at(5000)), TearDownFailed);
    }

    #[test]
    fn every_outcome_of_a_runner_belongs_to_one_group() {
        for outcome in Outcome::ALL {
            let expected = match outcome.as_str() {
                "boot-failed" | "died" | "hook-silent" | "gate-unanswered" | "gate-abused" => BootFailed,
                "refused" | "name-taken" | "lost" | "nobody-came" => RegistrationFailed,
                _ => Cancelled,
            };
            assert_eq!(ended(&[failed(*outcome)]).lifecycle(at(100)), expected, "{outcome:?}");
            let waits = Course {
                ended_at: None,
                ..ended(&[failed(*outcome)])
            };
            assert_eq!(waits.lifecycle(at(100)), Waiting, "{outcome:?}: the next runner is due");
        }
    }

    #[test]
    fn a_job_without_a_start_failed_by_its_last_failed_runner() {
        let (boot, refused) = (failed(Outcome::BootFailed), failed(Outcome::Refused));
        let cases = [
            (
                given_up(&[boot.clone(), boot.clone(), refused.clone()]),
                RegistrationFailed,
            ),
            (given_up(&[refused.clone(), boot.clone()]), BootFailed),
            (given_up(&[boot.clone(), failed(Outcome::Cancelled)]), BootFailed),
            (given_up(&[]), RegistrationFailed),
            (ended(&[]), Cancelled),
        ];
        for (course, expected) in cases {
            assert_eq!(course.lifecycle(at(100)), expected, "{course:?}");
        }
        let silent = Served {
            was_taken: true,
            ..failed(Outcome::HookSilent)
        };
        let on_ours = started(None, std::slice::from_ref(&silent));
        assert_eq!(on_ours.lifecycle(at(100)), Running, "GitHub does not know the end yet");
        assert_eq!(started(Some(90), &[silent]).lifecycle(at(100)), BootFailed);
    }

    #[test]
    fn a_job_that_says_nothing_about_runners_does_not_count() {
        let hosted = Course {
            was_routed: false,
            ..started(Some(90), &[])
        };
        let denied = Course {
            was_denied: true,
            ..waiting()
        };
        let served = Course {
            runners: vec![Served::default()],
            ..denied.clone()
        };
        let cases = [
            (hosted, Elsewhere),
            (started(None, &[]), Elsewhere),
            (started(Some(90), &[failed(Outcome::Cancelled)]), Elsewhere),
            (denied.clone(), Denied),
            (
                Course {
                    ended_at: Some(at(90)),
                    ..denied
                },
                Denied,
            ),
            (served, Waiting),
            (waiting(), Waiting),
        ];
        for (course, expected) in cases {
            assert_eq!(course.lifecycle(at(100)), expected, "{course:?}");
        }
    }

    #[test]
    fn the_parts_of_a_wait_follow_each_other() {
        let course = started(None, &[failed(Outcome::Died), ran(None, None, None), Served::default()]);
        let parts = course.parts();
        assert_eq!(
            [
                parts.delivery_lag_ms,
                parts.decision_ms,
                parts.slot_ms,
                parts.mint_ms,
                parts.boot_ms,
                parts.pickup_ms
            ],
            [2000, 1000, 27_000, 1000, 4000, 5000].map(Some)
        );
        let early = Course {
            received_at: Some(at(-5)),
            ..waiting()
        };
        assert_eq!(early.parts().delivery_lag_ms, Some(0), "clocks disagree");
        assert_eq!(early.parts().slot_ms, None);
    }
}
