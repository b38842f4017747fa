//! The next task for one runner: a pure function of its record, its slot and the time.

use super::runner::{Outcome, RunnerEvent, RunnerState};
use super::slot::{Hello, Slot, SlotState};
use chrono::{DateTime, TimeDelta, Utc};

/// The time limits of a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From its configuration to its first job.
    pub boot: TimeDelta,
    /// From the moment at which GitHub shows a job on it to its call of the job gate, which comes before anything of the job
    /// runs, including the download of actions.
    pub gate_call: TimeDelta,
    /// At the job gate.
    pub gate: TimeDelta,
    /// For everything together. A host enforces it too; this is for a host that does not.
    pub job: TimeDelta,
}

/// A runner and its slot.
#[derive(Debug, Clone, Copy)]
pub struct WatchedRunner<'a> {
    pub state: RunnerState,
    /// The time at which GitHub gave it a job, if that is known.
    pub taken_at: Option<DateTime<Utc>>,
    /// True if its record contains the time at which its gate opened.
    pub start_is_known: bool,
    /// The slot that was claimed for it, if the host lists one.
    pub slot: Option<&'a Slot>,
}

/// A task for one runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunnerTask {
    /// Store this event in its record.
    Note(RunnerEvent),
    /// Decide about the job at its gate.
    Judge(Hello),
    /// Open its gate; the record says already that the job may begin.
    Open,
    /// Store that its gate is open, since this time.
    NoteStart(DateTime<Utc>),
    /// Ask GitHub about it, because no job came in time.
    Ask,
    /// End it with this outcome, for this reason.
    End(Outcome, Option<String>),
    /// Remove its slot and GitHub's record of it.
    TearDown,
}

/// Returns the task for a runner that no other task is about, or none if nothing is due.
#[must_use]
pub fn next_task(runner: WatchedRunner<'_>, deadlines: &Deadlines, now: DateTime<Utc>) -> Option<RunnerTask> {
    let slot = runner.slot.filter(|slot| slot.state.is_started());
    let elapsed = slot.map_or(TimeDelta::zero(), |slot| now - slot.since);
    let end = |outcome| {
        Some(RunnerTask::End(
            outcome,
            slot.and_then(|slot| slot.state.boot_failure()),
        ))
    };
    match (runner.state, slot.map(|slot| &slot.state)) {
        (RunnerState::Destroyed, _) => None,
        (RunnerState::Ended, _) => Some(RunnerTask::TearDown),
        // No task is about it, so the task that made it was interrupted.
        (RunnerState::Minting, _) | (RunnerState::Minted, None) => end(Outcome::Lost),
        (RunnerState::Running, None) => end(Outcome::Completed),
        (_, None) => end(Outcome::Died),
        (RunnerState::Minted, Some(SlotState::Claimed)) => Some(RunnerTask::Note(RunnerEvent::Started)),
        (RunnerState::Running, Some(SlotState::Ended(ending))) => end(ending.outcome()),
        (_, Some(SlotState::Ended(ending))) => match ending.outcome() {
            Outcome::Completed => end(Outcome::Died),
            outcome => end(outcome),
        },
        (RunnerState::Running, Some(SlotState::AtGate(_))) => Some(RunnerTask::Open),
        (_, Some(SlotState::AtGate(_))) if elapsed > deadlines.gate => end(Outcome::GateUnanswered),
        (_, Some(SlotState::AtGate(hello))) => Some(RunnerTask::Judge(hello.clone())),
        (_, Some(SlotState::Open)) if elapsed > deadlines.job => end(Outcome::TooLong),
        (RunnerState::Running, Some(SlotState::Open)) if runner.start_is_known => None,
        // The worker was killed between the opening and its record.
        (RunnerState::Running, Some(SlotState::Open)) => slot.map(|slot| RunnerTask::NoteStart(slot.since)),
        // The host opened the gate of a job that was not admitted.
        (_, Some(SlotState::Open)) => end(Outcome::GateAbused),
        (_, Some(SlotState::Booting | SlotState::Ready | SlotState::Claimed)) => match runner.taken_at {
            Some(taken_at) if now - taken_at >= deadlines.gate_call => end(Outcome::HookSilent),
            None if elapsed > deadlines.boot => Some(RunnerTask::Ask),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;
    use crate::domain::slot::{Ending, SlotId};

    const DEADLINES: Deadlines = Deadlines {
        boot: TimeDelta::seconds(120),
        gate_call: TimeDelta::seconds(4),
        gate: TimeDelta::seconds(60),
        job: TimeDelta::seconds(3600),
    };

    fn slot(state: SlotState, since: i64) -> Option<Slot> {
        Some(Slot {
            id: SlotId("slot".to_owned()),
            size: None,
            runner: Some("runner".to_owned()),
            state,
            since: at(since),
            made: None,
            booted: None,
        })
    }

    fn task(state: RunnerState, slot: &Option<Slot>, now: i64) -> Option<RunnerTask> {
        let runner = WatchedRunner {
            state,
            taken_at: None,
            start_is_known: true,
            slot: slot.as_ref(),
        };
        next_task(runner, &DEADLINES, at(now))
    }

    fn end(outcome: Outcome) -> Option<RunnerTask> {
        Some(RunnerTask::End(outcome, None))
    }

    fn at_gate() -> SlotState {
        SlotState::AtGate(Hello::default())
    }

    #[test]
    fn an_interrupted_request_for_a_runner_ends_it_in_any_slot() {
        for slot in [None, slot(SlotState::Claimed, 0), slot(at_gate(), 0)] {
            assert_eq!(task(RunnerState::Minting, &slot, 0), end(Outcome::Lost));
        }
        for slot in [None, slot(SlotState::Ready, 0)] {
            assert_eq!(task(RunnerState::Minted, &slot, 0), end(Outcome::Lost));
        }
        assert_eq!(
            task(RunnerState::Minted, &slot(SlotState::Claimed, 0), 0),
            Some(RunnerTask::Note(RunnerEvent::Started))
        );
    }

    #[test]
    fn a_job_at_the_gate_is_judged_until_the_deadline() {
        let waiting = slot(at_gate(), 10);
        let judge = Some(RunnerTask::Judge(Hello::default()));
        assert_eq!(task(RunnerState::Booting, &waiting, 10), judge);
        assert_eq!(task(RunnerState::Gated, &waiting, 70), judge);
        assert_eq!(task(RunnerState::Gated, &waiting, 71), end(Outcome::GateUnanswered));
        assert_eq!(
            task(RunnerState::Running, &waiting, 500),
            Some(RunnerTask::Open),
            "the job was admitted"
        );
    }

    #[test]
    fn a_job_that_began_without_calling_the_gate_is_stopped() {
        let claimed = slot(SlotState::Claimed, 0);
        let task = |taken_at, now| {
            let runner = WatchedRunner {
                state: RunnerState::Online,
                taken_at,
                start_is_known: false,
                slot: claimed.as_ref(),
            };
            next_task(runner, &DEADLINES, at(now))
        };
        assert_eq!(task(Some(at(100)), 103), None);
        assert_eq!(task(Some(at(100)), 104), end(Outcome::HookSilent));
        assert_eq!(task(None, 120), None);
        assert_eq!(task(None, 121), Some(RunnerTask::Ask));
    }

    #[test]
    fn only_an_admitted_job_completes() {
        let ended = slot(SlotState::Ended(Ending::Exited), 0);
        assert_eq!(task(RunnerState::Running, &ended, 0), end(Outcome::Completed));
        assert_eq!(task(RunnerState::Gated, &ended, 0), end(Outcome::Died));
        assert_eq!(task(RunnerState::Running, &None, 0), end(Outcome::Completed));
        assert_eq!(task(RunnerState::Online, &None, 0), end(Outcome::Died));
        let open = slot(SlotState::Open, 0);
        assert_eq!(task(RunnerState::Gated, &open, 1), end(Outcome::GateAbused));
        assert_eq!(task(RunnerState::Running, &open, 3600), None);
        assert_eq!(task(RunnerState::Running, &open, 3601), end(Outcome::TooLong));
    }

    #[test]
    fn an_opening_whose_record_a_crash_prevented_is_recorded() {
        let open = slot(SlotState::Open, 7);
        let task = |start_is_known, now| {
            let runner = WatchedRunner {
                state: RunnerState::Running,
                taken_at: Some(at(5)),
                start_is_known,
                slot: open.as_ref(),
            };
            next_task(runner, &DEADLINES, at(now))
        };
        assert_eq!(task(false, 100), Some(RunnerTask::NoteStart(at(7))));
        assert_eq!(task(true, 100), None);
        assert_eq!(task(false, 3608), end(Outcome::TooLong));
    }

    #[test]
    fn a_slot_that_did_not_come_up_ends_its_runner_with_the_reason() {
        let failed = slot(SlotState::Ended(Ending::BootFailed("no sandbox".to_owned())), 0);
        assert_eq!(
            task(RunnerState::Booting, &failed, 0),
            Some(RunnerTask::End(Outcome::BootFailed, Some("no sandbox".to_owned())))
        );
    }

    #[test]
    fn an_ended_runner_is_torn_down_whatever_the_state_of_its_slot() {
        for slot in [None, slot(SlotState::Open, 0), slot(SlotState::Ended(Ending::Lost), 0)] {
            assert_eq!(task(RunnerState::Ended, &slot, 0), Some(RunnerTask::TearDown));
            assert_eq!(task(RunnerState::Destroyed, &slot, 0), None);
        }
    }
}
