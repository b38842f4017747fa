//! The stuck runs of a rollback: trusted runs with a pool job that neither started nor ended.

use crate::domain::ids::{JobId, RunId};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Maximum number of stuck runs in one list. When all of them are finished, the next ones are listed.
pub const MAX_STUCK_RUNS: usize = 100;
/// Maximum number of jobs that are remembered for one stuck run.
pub const MAX_STUCK_JOBS: usize = 8;
/// Time after which a cancellation without a known answer is requested again.
const CANCEL_RETRY_DELAY: TimeDelta = TimeDelta::seconds(15);
/// Time after which an accepted cancellation without effect is requested again.
const CANCEL_AGAIN_DELAY: TimeDelta = TimeDelta::seconds(60);
/// Maximum time for the end of a cancelled run. GitHub ends one within minutes.
const CANCEL_TIMEOUT: TimeDelta = TimeDelta::hours(1);
/// Time that a run must be absent at GitHub before it counts as deleted.
const ABSENCE_TIMEOUT: TimeDelta = TimeDelta::seconds(30);

/// A trusted run with a pool job that neither started nor ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckRun {
    pub run: RunId,
    /// The attempt that is stuck.
    pub attempt: u32,
    /// Its waiting jobs.
    pub jobs: Vec<JobId>,
    pub state: StuckState,
    /// The time of this state.
    pub since: DateTime<Utc>,
    /// The time since which GitHub does not show the run.
    #[serde(default)]
    pub absent_since: Option<DateTime<Utc>>,
}

/// The state of a stuck run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StuckState {
    /// A job of the run waits.
    Found,
    /// Its cancellation may have been requested.
    Cancelling,
    /// The run has ended.
    Over,
    /// A newer attempt exists.
    Rerun,
    /// The run is left alone: it is no longer stuck, or it is gone.
    Left,
}

/// An event of a stuck run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StuckEvent {
    CancelBegins,
    Ended,
    NewAttempt,
    Left,
}

impl StuckState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Found, Self::Cancelling, Self::Over, Self::Rerun, Self::Left];

    /// Returns the state after an event, or none if the event changes nothing.
    #[must_use]
    pub fn after(self, event: StuckEvent) -> Option<Self> {
        Some(match (self, event) {
            (Self::Found | Self::Cancelling, StuckEvent::CancelBegins) => Self::Cancelling,
            (Self::Found | Self::Cancelling, StuckEvent::Ended) => Self::Over,
            (Self::Found | Self::Cancelling | Self::Over, StuckEvent::NewAttempt) => Self::Rerun,
            (Self::Found | Self::Cancelling | Self::Over, StuckEvent::Left) => Self::Left,
            _ => return None,
        })
    }

    /// Reports whether nothing is left to do.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Rerun | Self::Left)
    }
}

impl StuckEvent {
    /// All events.
    pub const ALL: [Self; 4] = [Self::CancelBegins, Self::Ended, Self::NewAttempt, Self::Left];
}

/// GitHub's record of a run, as far as a re-run depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunProgress {
    pub attempt: u32,
    /// True if all its jobs have ended.
    pub is_over: bool,
}

/// The next step of a stuck run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StuckTask {
    /// Record an event that GitHub's answer shows.
    Note(StuckEvent),
    /// Record that the run is absent, and look again.
    NoteAbsence,
    /// Request the cancellation, if a job of the run still waits.
    Cancel,
    Rerun,
    /// Look again later.
    Wait,
}

/// The state of the jobs of a stuck run at GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveJobs {
    /// A job still waits.
    Wait,
    /// No job waits, and one runs.
    Run,
    Over,
}

impl StuckRun {
    /// Applies an event. Returns false if it changes nothing.
    pub fn advance(&mut self, event: StuckEvent, now: DateTime<Utc>) -> bool {
        let Some(state) = self.state.after(event) else {
            return false;
        };
        self.state = state;
        self.since = now;
        true
    }

    /// Returns the next step, by GitHub's current record of the run. `was_cancelled` is true if jitgate has cancelled
    /// this attempt before.
    #[must_use]
    pub fn next_task(&self, shown: Option<RunProgress>, was_cancelled: bool, now: DateTime<Utc>) -> StuckTask {
        let repeat_after = if was_cancelled {
            CANCEL_AGAIN_DELAY
        } else {
            CANCEL_RETRY_DELAY
        };
        let Some(shown) = shown else {
            return match self.absent_since {
                Some(since) if now - since >= ABSENCE_TIMEOUT => StuckTask::Note(StuckEvent::Left),
                Some(_) => StuckTask::Wait,
                None => StuckTask::NoteAbsence,
            };
        };
        if shown.attempt > self.attempt {
            return StuckTask::Note(StuckEvent::NewAttempt);
        }
        match (self.state, shown.is_over) {
            (StuckState::Rerun | StuckState::Left, _) => StuckTask::Wait,
            (StuckState::Over, _) => StuckTask::Rerun,
            (StuckState::Found, true) if !was_cancelled => StuckTask::Note(StuckEvent::Left),
            (StuckState::Found | StuckState::Cancelling, true) => StuckTask::Note(StuckEvent::Ended),
            (StuckState::Found, false) => StuckTask::Cancel,
            (StuckState::Cancelling, false) if now - self.since >= CANCEL_TIMEOUT => StuckTask::Note(StuckEvent::Left),
            (StuckState::Cancelling, false) if now - self.since >= repeat_after => StuckTask::Cancel,
            (StuckState::Cancelling, false) => StuckTask::Wait,
        }
    }

    /// Returns the next step in place of [`StuckTask::Cancel`], by GitHub's records of the jobs. A run that jitgate may have
    /// cancelled is not left alone, because nothing else re-runs it.
    #[must_use]
    pub fn task_by_jobs(&self, jobs: LiveJobs, was_cancelled: bool) -> StuckTask {
        match jobs {
            LiveJobs::Wait => StuckTask::Cancel,
            // The jobs end because of the cancellation.
            LiveJobs::Run | LiveJobs::Over if was_cancelled => StuckTask::Wait,
            LiveJobs::Over if self.state == StuckState::Cancelling => StuckTask::Wait,
            LiveJobs::Run | LiveJobs::Over => StuckTask::Note(StuckEvent::Left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::{at, stuck_run};
    use crate::domain::transition_table::assert_complete;

    #[test]
    fn the_table_of_stuck_runs_is_complete() {
        use StuckEvent as E;
        use StuckState as S;
        let table = [
            (S::Found, E::CancelBegins, S::Cancelling),
            (S::Cancelling, E::CancelBegins, S::Cancelling),
            (S::Found, E::Ended, S::Over),
            (S::Cancelling, E::Ended, S::Over),
            (S::Found, E::NewAttempt, S::Rerun),
            (S::Cancelling, E::NewAttempt, S::Rerun),
            (S::Over, E::NewAttempt, S::Rerun),
            (S::Found, E::Left, S::Left),
            (S::Cancelling, E::Left, S::Left),
            (S::Over, E::Left, S::Left),
        ];
        assert_complete(&S::ALL, &E::ALL, S::after, &table);
        for state in S::ALL {
            let is_final = E::ALL.iter().all(|event| state.after(*event).is_none());
            assert_eq!(is_final, state.is_final(), "{state:?}");
        }
    }

    #[test]
    fn github_shows_the_next_task_of_a_stuck_run() {
        use StuckState::{Cancelling, Found, Left, Over, Rerun};
        let shown = |attempt, is_over| Some(RunProgress { attempt, is_over });
        let note = StuckTask::Note;
        for (state, shown, was_cancelled, second, task) in [
            (Found, shown(1, false), false, 0, StuckTask::Cancel),
            (Found, shown(1, true), false, 0, note(StuckEvent::Left)),
            (Found, shown(1, true), true, 0, note(StuckEvent::Ended)),
            (Found, shown(2, false), false, 0, note(StuckEvent::NewAttempt)),
            (Cancelling, shown(1, false), false, 14, StuckTask::Wait),
            (Cancelling, shown(1, false), false, 15, StuckTask::Cancel),
            (Cancelling, shown(1, false), true, 59, StuckTask::Wait),
            (Cancelling, shown(1, false), true, 60, StuckTask::Cancel),
            (Cancelling, shown(1, false), false, 3600, note(StuckEvent::Left)),
            (Cancelling, shown(1, true), false, 0, note(StuckEvent::Ended)),
            (Cancelling, shown(2, false), true, 0, note(StuckEvent::NewAttempt)),
            (Over, shown(1, true), true, 0, StuckTask::Rerun),
            (Over, shown(2, false), true, 0, note(StuckEvent::NewAttempt)),
            (Rerun, shown(1, true), true, 0, StuckTask::Wait),
            (Left, shown(1, true), true, 0, StuckTask::Wait),
        ] {
            let next = stuck_run(state).next_task(shown, was_cancelled, at(second));
            assert_eq!(next, task, "{state:?} {shown:?} {was_cancelled} {second}");
        }
    }

    #[test]
    fn only_a_run_that_waits_is_cancelled_and_none_that_may_be_cancelled_is_left() {
        use LiveJobs::{Over, Run, Wait};
        use StuckState::{Cancelling, Found};
        let left = StuckTask::Note(StuckEvent::Left);
        for (state, jobs, was_cancelled, task) in [
            (Found, Wait, false, StuckTask::Cancel),
            (Found, Run, false, left),
            (Found, Over, false, left),
            (Cancelling, Wait, false, StuckTask::Cancel),
            (Cancelling, Run, false, left),
            (Cancelling, Over, false, StuckTask::Wait),
            (Cancelling, Wait, true, StuckTask::Cancel),
            (Cancelling, Run, true, StuckTask::Wait),
            (Cancelling, Over, true, StuckTask::Wait),
            (Found, Over, true, StuckTask::Wait),
        ] {
            let next = stuck_run(state).task_by_jobs(jobs, was_cancelled);
            assert_eq!(next, task, "{state:?} {jobs:?} {was_cancelled}");
        }
    }

    #[test]
    fn one_absence_at_github_is_not_the_end_of_a_run() {
        let mut run = stuck_run(StuckState::Over);
        assert_eq!(run.next_task(None, true, at(100)), StuckTask::NoteAbsence);
        run.absent_since = Some(at(100));
        assert_eq!(run.next_task(None, true, at(129)), StuckTask::Wait);
        assert_eq!(run.next_task(None, true, at(130)), StuckTask::Note(StuckEvent::Left));
    }
}
