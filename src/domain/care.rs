//! What one runner needs now: a pure function of its record, its environment and the time.

use super::runner::{Outcome, RunnerEvent, RunnerState};
use chrono::{DateTime, TimeDelta, Utc};

/// How long a runner may take, part by part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From its configuration to its first job.
    pub boot: TimeDelta,
    /// At the job gate.
    pub gate: TimeDelta,
    /// Altogether. Hosts hold it by themselves; this is for one that does not.
    pub job: TimeDelta,
}

/// How long the gate of a runner may stay silent once GitHub shows a job on it: its first lock asks before anything of the
/// job runs, which includes the download of actions. A pass that looks follows within a second.
const SILENCE_TIMEOUT: TimeDelta = TimeDelta::seconds(4);

/// A runner and its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Where its record stands.
    pub state: RunnerState,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When GitHub gave it a job, where we heard of it.
    pub taken_at: Option<DateTime<Utc>>,
    /// Its environment.
    pub environment: Environment,
}

/// The environment of a runner, as its host shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Environment {
    /// The host has none for it.
    Missing,
    /// The runner program was started; nobody called at the gate.
    Started {
        /// When.
        at: DateTime<Utc>,
    },
    /// A job waits at the gate.
    AtGate {
        /// Since when.
        at: DateTime<Utc>,
    },
    /// Its job was let through.
    Open {
        /// When.
        at: DateTime<Utc>,
    },
    /// Nothing runs in it any more.
    Over(Outcome),
}

/// What a runner needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// Time.
    Nothing,
    /// Its record to be brought up to date.
    Note(RunnerEvent),
    /// Somebody to find out who is at its gate.
    Judge,
    /// Its gate opened: that it may be is on record already.
    Open,
    /// A look at GitHub: no job came in time.
    Ask,
    /// An end.
    End(Outcome),
    /// What is left of it removed.
    TearDown,
}

/// What to do for a runner that nobody is busy with.
#[must_use]
pub fn care(runner: &Watched, deadlines: &Deadlines, now: DateTime<Utc>) -> Care {
    let passed = runner.state == RunnerState::Running;
    match (runner.state, &runner.environment) {
        (RunnerState::Destroyed, _) => Care::Nothing,
        (RunnerState::Ended, _) => Care::TearDown,
        // Nobody is busy with it, so whoever was has stopped in the middle.
        (RunnerState::Minting, _) | (RunnerState::Minted, Environment::Missing) => Care::End(Outcome::Lost),
        (RunnerState::Minted, Environment::Started { .. }) => Care::Note(RunnerEvent::Started),
        (_, Environment::Missing) => Care::End(if passed { Outcome::Completed } else { Outcome::Died }),
        (_, Environment::Over(Outcome::Completed)) if !passed => Care::End(Outcome::Died),
        (_, Environment::Over(outcome)) => Care::End(*outcome),
        (RunnerState::Running, Environment::AtGate { .. }) => Care::Open,
        (_, Environment::AtGate { at }) if now - *at > deadlines.gate => Care::End(Outcome::GateUnanswered),
        (_, Environment::AtGate { .. }) => Care::Judge,
        (RunnerState::Running, Environment::Open { at }) if now - *at <= deadlines.job => Care::Nothing,
        (_, Environment::Open { at }) if now - *at > deadlines.job => Care::End(Outcome::TooLong),
        // Open without our word: the host did what it must not do.
        (_, Environment::Open { .. }) => Care::End(Outcome::GateAbused),
        (_, Environment::Started { at }) => started(runner, *at, deadlines, now),
    }
}

fn started(runner: &Watched, at: DateTime<Utc>, deadlines: &Deadlines, now: DateTime<Utc>) -> Care {
    match runner.taken_at {
        Some(taken_at) if now - taken_at >= SILENCE_TIMEOUT => Care::End(Outcome::HookSilent),
        Some(_) => Care::Nothing,
        None if now - at > deadlines.boot => Care::Ask,
        None => Care::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    const DEADLINES: Deadlines = Deadlines {
        boot: TimeDelta::seconds(120),
        gate: TimeDelta::seconds(60),
        job: TimeDelta::seconds(3600),
    };

    fn of(state: RunnerState, environment: Environment, now: i64) -> Care {
        let runner = Watched {
            state,
            since: at(0),
            taken_at: None,
            environment,
        };
        care(&runner, &DEADLINES, at(now))
    }

    #[test]
    fn one_that_was_cut_short_in_the_making_is_ended_whatever_is_there() {
        for environment in [
            Environment::Missing,
            Environment::Started { at: at(0) },
            Environment::AtGate { at: at(0) },
        ] {
            let care = of(RunnerState::Minting, environment, 0);
            assert_eq!(care, Care::End(Outcome::Lost));
        }
        assert_eq!(
            of(RunnerState::Minted, Environment::Missing, 0),
            Care::End(Outcome::Lost)
        );
        let started = Environment::Started { at: at(0) };
        assert_eq!(of(RunnerState::Minted, started, 0), Care::Note(RunnerEvent::Started));
    }

    #[test]
    fn whoever_knocks_is_judged_until_the_deadline() {
        let knocked = Environment::AtGate { at: at(10) };
        assert_eq!(of(RunnerState::Booting, knocked.clone(), 10), Care::Judge);
        assert_eq!(of(RunnerState::Gated, knocked.clone(), 70), Care::Judge);
        assert_eq!(
            of(RunnerState::Gated, knocked.clone(), 71),
            Care::End(Outcome::GateUnanswered)
        );
        assert_eq!(of(RunnerState::Running, knocked, 500), Care::Open, "that was decided");
    }

    #[test]
    fn a_job_that_began_and_never_knocked_is_stopped() {
        let runner = |taken_at| Watched {
            state: RunnerState::Online,
            since: at(0),
            taken_at,
            environment: Environment::Started { at: at(0) },
        };
        assert_eq!(care(&runner(Some(at(100))), &DEADLINES, at(103)), Care::Nothing);
        assert_eq!(
            care(&runner(Some(at(100))), &DEADLINES, at(104)),
            Care::End(Outcome::HookSilent)
        );
        assert_eq!(care(&runner(None), &DEADLINES, at(120)), Care::Nothing);
        assert_eq!(care(&runner(None), &DEADLINES, at(121)), Care::Ask);
    }

    #[test]
    fn only_one_that_was_let_through_completes() {
        let over = Environment::Over(Outcome::Completed);
        assert_eq!(of(RunnerState::Running, over.clone(), 0), Care::End(Outcome::Completed));
        assert_eq!(of(RunnerState::Gated, over, 0), Care::End(Outcome::Died));
        assert_eq!(
            of(RunnerState::Online, Environment::Missing, 0),
            Care::End(Outcome::Died)
        );
        let open = Environment::Open { at: at(0) };
        assert_eq!(of(RunnerState::Gated, open.clone(), 1), Care::End(Outcome::GateAbused));
        assert_eq!(of(RunnerState::Running, open.clone(), 3600), Care::Nothing);
        assert_eq!(of(RunnerState::Running, open, 3601), Care::End(Outcome::TooLong));
    }

    #[test]
    fn what_has_ended_is_torn_down_whatever_its_environment_says() {
        for environment in [
            Environment::Missing,
            Environment::Open { at: at(0) },
            Environment::Over(Outcome::Died),
        ] {
            assert_eq!(of(RunnerState::Ended, environment.clone(), 0), Care::TearDown);
            assert_eq!(of(RunnerState::Destroyed, environment, 0), Care::Nothing);
        }
    }
}
