//! The canary: how far self-hosted routing has been rolled out, counted in trusted pull requests.
//!
//! A stage ends after its number of pull requests; the last one has no end. Each pull request counts once between two
//! rollbacks. [`Phase::after`] is the transition table.

use super::change::Origin;
use super::policy::RolloutPolicy;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Number of counted pull requests that are remembered; the newest ones are kept. A pull request that is forgotten has no
/// run among the measured ones any more.
const MAX_COUNTED: usize = 1000;

/// The routing of the canary's repository, and the end of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Routing is off, or was never seen on.
    #[default]
    Off,
    /// Routing is on, and pull requests count.
    Counting,
    /// The stage is complete, and a person must start the next one. Routing is still on.
    Complete,
    /// The same, with routing off.
    Stopped,
}

/// An event in the life of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CanaryEvent {
    /// A pull request has its first outcome.
    Count,
    /// The stage is complete, and the next one is started by a person.
    Complete,
    /// The next stage starts.
    Advance,
    /// A trigger switches routing off.
    RollBack,
    /// A person has switched routing on.
    SwitchOn,
    /// Routing is off without a trigger.
    SwitchOff,
}

/// The effect of an event on the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Move {
    /// The canary stays in its stage.
    Stay,
    /// The canary goes on to the next stage.
    Forward,
    /// The canary falls back to the stage before.
    Back,
}

impl CanaryEvent {
    /// All variants.
    pub const ALL: [Self; 6] = [
        Self::Count,
        Self::Complete,
        Self::Advance,
        Self::RollBack,
        Self::SwitchOn,
        Self::SwitchOff,
    ];
}

impl Phase {
    /// All variants.
    pub const ALL: [Self; 4] = [Self::Off, Self::Counting, Self::Complete, Self::Stopped];

    /// Returns the next phase and the effect on the stage by the transition table, or `None` if the event changes nothing.
    #[must_use]
    pub fn after(self, event: CanaryEvent) -> Option<(Self, Move)> {
        use CanaryEvent::{Advance, Complete, Count, RollBack, SwitchOff, SwitchOn};
        use Move::{Back, Forward, Stay};
        match (self, event) {
            (Self::Counting | Self::Complete, Count) => Some((self, Stay)),
            (Self::Counting, Complete) => Some((Self::Complete, Stay)),
            (Self::Counting | Self::Complete | Self::Stopped, Advance) => Some((Self::Counting, Forward)),
            (Self::Counting | Self::Complete | Self::Stopped, RollBack) => Some((Self::Off, Back)),
            (Self::Off, SwitchOn) => Some((Self::Counting, Stay)),
            // A person who switches routing on after the end of a stage starts the next one.
            (Self::Stopped, SwitchOn) => Some((Self::Counting, Forward)),
            (Self::Counting, SwitchOff) => Some((Self::Off, Stay)),
            (Self::Complete, SwitchOff) => Some((Self::Stopped, Stay)),
            (Self::Off, Count | Complete | Advance | RollBack | SwitchOff)
            | (Self::Counting, SwitchOn)
            | (Self::Complete, Complete | SwitchOn)
            | (Self::Stopped, Count | Complete | SwitchOff) => None,
        }
    }

    /// Returns true if routing is on.
    #[must_use]
    pub fn is_on(self) -> bool {
        matches!(self, Self::Counting | Self::Complete)
    }
}

/// The canary of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Canary {
    /// The stage, from 0.
    pub stage: usize,
    /// The pull requests that were counted in this stage. It exceeds the size of a stage that is held.
    pub progress: u32,
    pub phase: Phase,
    /// The person who holds the canary in its stage.
    pub held: Option<Origin>,
    /// The pull requests that were counted since the last rollback, oldest first.
    pub counted: Vec<u64>,
}

/// The end of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walked {
    /// The canary went on from one stage to another.
    Advanced(usize, usize),
    /// The stage is complete, and a person must start the next one.
    Completed(usize),
}

/// The reason why a command of a person is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The canary is held by this person.
    Held(Origin),
    /// The canary is not held.
    NotHeld,
    /// The canary is in its last stage.
    LastStage,
    /// Routing is off.
    Off,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(origin) => write!(f, "the canary is held by {origin}"),
            Self::NotHeld => f.write_str("the canary is not held"),
            Self::LastStage => f.write_str("the canary is already in its last stage"),
            Self::Off => f.write_str("self-hosted routing is off"),
        }
    }
}

impl Canary {
    /// Returns the stage among these stages. The operator may have removed some of them.
    #[must_use]
    pub fn stage_of(&self, stages: &[u32]) -> usize {
        self.stage.min(stages.len())
    }

    /// Returns the number of pull requests in the stage, or none for the last stage.
    #[must_use]
    pub fn stage_size(&self, stages: &[u32]) -> Option<u32> {
        stages.get(self.stage).copied()
    }

    /// Returns true if the stage has counted all of its pull requests.
    #[must_use]
    pub fn is_complete(&self, stages: &[u32]) -> bool {
        self.stage_size(stages).is_some_and(|size| self.progress >= size)
    }

    /// Counts a pull request, once. Returns false if it is already counted, or if routing is off.
    pub fn count(&mut self, pull_request: u64) -> bool {
        if self.phase.after(CanaryEvent::Count).is_none() || self.counted.contains(&pull_request) {
            return false;
        }
        self.counted.push(pull_request);
        let surplus = self.counted.len().saturating_sub(MAX_COUNTED);
        self.counted.drain(..surplus);
        self.progress = self.progress.saturating_add(1);
        true
    }

    /// Applies any other event than a counted pull request. Returns the stages before and after it, or none if it changes
    /// nothing.
    pub fn apply(&mut self, event: CanaryEvent, stages: &[u32]) -> Option<(usize, usize)> {
        let (phase, moved) = self.phase.after(event)?;
        let from = self.stage_of(stages);
        self.phase = phase;
        match moved {
            Move::Stay => {}
            Move::Forward => self.enter((from + 1).min(stages.len())),
            Move::Back => {
                self.enter(from.saturating_sub(1));
                self.counted.clear();
            }
        }
        Some((from, self.stage_of(stages)))
    }

    /// Counts new pull requests, in the order of their first runs, and goes on to further stages. A stage does not end
    /// while the canary is held or a trigger is hit.
    pub fn walk(&mut self, policy: &RolloutPolicy, pull_requests: &[u64], is_hit: bool) -> Vec<Walked> {
        // The reason that kept the canary in its stage may be over.
        let mut walked = Vec::from_iter(self.end_stage(policy, is_hit));
        for pull_request in pull_requests {
            if self.count(*pull_request) {
                walked.extend(self.end_stage(policy, is_hit));
            }
        }
        walked
    }

    fn end_stage(&mut self, policy: &RolloutPolicy, is_hit: bool) -> Option<Walked> {
        let is_kept = self.held.is_some() || is_hit || self.phase != Phase::Counting;
        if is_kept || !self.is_complete(&policy.stages) {
            return None;
        }
        if policy.advances_manually {
            let (stage, _) = self.apply(CanaryEvent::Complete, &policy.stages)?;
            return Some(Walked::Completed(stage));
        }
        let (from, to) = self.apply(CanaryEvent::Advance, &policy.stages)?;
        Some(Walked::Advanced(from, to))
    }

    /// Falls back to the first stage, whatever the phase is: an outsider's job reached a runner. Returns the stages before
    /// and after it.
    pub fn fall_to_smoke(&mut self, stages: &[u32]) -> (usize, usize) {
        let from = self.stage_of(stages);
        self.phase = Phase::Off;
        self.enter(0);
        self.counted.clear();
        (from, 0)
    }

    fn enter(&mut self, stage: usize) {
        self.stage = stage;
        self.progress = 0;
    }

    /// Keeps the canary in its stage.
    ///
    /// # Errors
    /// If it is already held.
    pub fn hold(&mut self, origin: Origin) -> Result<(), Refused> {
        match &self.held {
            Some(held) => Err(Refused::Held(held.clone())),
            None => {
                self.held = Some(origin);
                Ok(())
            }
        }
    }

    /// Lets the canary go on.
    ///
    /// # Errors
    /// If it is not held.
    pub fn resume(&mut self) -> Result<(), Refused> {
        self.held.take().map(|_| ()).ok_or(Refused::NotHeld)
    }

    /// Returns an error if a person cannot start the next stage.
    ///
    /// # Errors
    /// The reason.
    pub fn may_advance(&self, stages: &[u32]) -> Result<(), Refused> {
        if let Some(held) = &self.held {
            return Err(Refused::Held(held.clone()));
        }
        if self.stage_of(stages) == stages.len() {
            return Err(Refused::LastStage);
        }
        self.phase.after(CanaryEvent::Advance).map(|_| ()).ok_or(Refused::Off)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples;
    use crate::domain::transition_table::assert_complete;
    use chrono::DateTime;

    const STAGES: [u32; 3] = [1, 10, 25];

    fn canary(stage: usize, phase: Phase) -> Canary {
        Canary {
            stage,
            phase,
            ..Canary::default()
        }
    }

    #[test]
    fn every_phase_and_event_has_its_place_in_the_table() {
        use CanaryEvent::{Advance, Complete, Count, RollBack, SwitchOff, SwitchOn};
        use Move::{Back, Forward, Stay};
        use Phase::{Counting, Off, Stopped};
        let table = [
            (Off, SwitchOn, Counting, Stay),
            (Counting, Count, Counting, Stay),
            (Counting, Complete, Phase::Complete, Stay),
            (Counting, Advance, Counting, Forward),
            (Counting, RollBack, Off, Back),
            (Counting, SwitchOff, Off, Stay),
            (Phase::Complete, Count, Phase::Complete, Stay),
            (Phase::Complete, Advance, Counting, Forward),
            (Phase::Complete, RollBack, Off, Back),
            (Phase::Complete, SwitchOff, Stopped, Stay),
            (Stopped, Advance, Counting, Forward),
            (Stopped, RollBack, Off, Back),
            (Stopped, SwitchOn, Counting, Forward),
        ];
        let table = table.map(|(phase, event, next, stage)| (phase, event, (next, stage)));
        assert_complete(&Phase::ALL, &CanaryEvent::ALL, Phase::after, &table);
        for phase in Phase::ALL {
            assert!(CanaryEvent::ALL.iter().any(|event| phase.after(*event).is_some()));
        }
        for event in CanaryEvent::ALL {
            assert!(Phase::ALL.iter().any(|phase| phase.after(event).is_some()), "{event:?}");
        }
    }

    #[test]
    fn only_a_person_starts_routing() {
        for phase in Phase::ALL.into_iter().filter(|phase| !phase.is_on()) {
            for event in CanaryEvent::ALL {
                let starts = phase.after(event).is_some_and(|(next, _)| next.is_on());
                let by_a_person = matches!(event, CanaryEvent::SwitchOn | CanaryEvent::Advance);
                assert!(!starts || by_a_person, "{phase:?} {event:?}");
            }
        }
    }

    #[test]
    fn a_pull_request_counts_once_until_a_rollback() {
        let mut canary = canary(1, Phase::Counting);
        assert!(canary.count(7) && canary.count(8) && !canary.count(7));
        assert_eq!(canary.progress, 2);
        assert_eq!(canary.apply(CanaryEvent::Advance, &STAGES), Some((1, 2)));
        assert!(!canary.count(7), "it has counted in the stage before");
        assert_eq!(canary.apply(CanaryEvent::RollBack, &STAGES), Some((2, 1)));
        assert!(!canary.count(7), "routing is off");
        assert_eq!(canary.apply(CanaryEvent::SwitchOn, &STAGES), Some((1, 1)));
        assert!(canary.count(7));
    }

    #[test]
    fn a_pause_of_routing_keeps_the_progress() {
        let mut canary = canary(1, Phase::Counting);
        assert!(canary.count(7));
        assert_eq!(canary.apply(CanaryEvent::SwitchOff, &STAGES), Some((1, 1)));
        assert_eq!(canary.apply(CanaryEvent::SwitchOn, &STAGES), Some((1, 1)));
        assert_eq!((canary.progress, canary.count(7)), (1, false));
    }

    #[test]
    fn the_counted_pull_requests_are_bounded() {
        let mut canary = canary(3, Phase::Counting);
        for pull_request in 0..1500 {
            assert!(canary.count(pull_request));
        }
        assert_eq!((canary.progress, canary.counted.len()), (1500, MAX_COUNTED));
        assert_eq!(canary.counted.first(), Some(&500));
    }

    #[test]
    fn the_canary_falls_back_from_each_stage() {
        for (stage, before) in [(0, 0), (1, 0), (2, 1), (3, 2), (9, 2)] {
            let mut canary = canary(stage, Phase::Counting);
            canary.count(1);
            let from = stage.min(3);
            assert_eq!(canary.apply(CanaryEvent::RollBack, &STAGES), Some((from, before)));
            assert_eq!((canary.phase, canary.progress), (Phase::Off, 0));
            assert_eq!(canary.apply(CanaryEvent::RollBack, &STAGES), None, "it falls once");
            assert_eq!(canary.fall_to_smoke(&STAGES), (before, 0));
        }
    }

    #[test]
    fn no_stage_follows_the_last_one_also_if_the_operator_removes_stages() {
        let mut stopped = canary(7, Phase::Stopped);
        assert_eq!(stopped.apply(CanaryEvent::SwitchOn, &STAGES), Some((3, 3)));
        assert_eq!(stopped.stage, 3, "a stage that is added later is not passed over");
    }

    fn policy(advances_manually: bool) -> RolloutPolicy {
        RolloutPolicy {
            advances_manually,
            ..samples::rollout_policy()
        }
    }

    #[test]
    fn the_canary_walks_one_ten_twenty_five_and_all() {
        let mut canary = canary(0, Phase::Counting);
        let mut ends = Vec::new();
        for pull_request in 1..=40 {
            for walked in canary.walk(&policy(false), &[pull_request], false) {
                ends.push((pull_request, walked));
            }
        }
        let advanced = |pull_request, from, to| (pull_request, Walked::Advanced(from, to));
        assert_eq!(ends, [advanced(1, 0, 1), advanced(11, 1, 2), advanced(36, 2, 3)]);
        assert_eq!(
            (canary.stage, canary.progress, canary.is_complete(&STAGES)),
            (3, 4, false)
        );
    }

    #[test]
    fn many_pull_requests_at_once_walk_as_far_as_one_at_a_time() {
        let mut canary = canary(0, Phase::Counting);
        let pull_requests = Vec::from_iter(1..=40);
        assert_eq!(canary.walk(&policy(false), &pull_requests, false).len(), 3);
        assert_eq!((canary.stage, canary.progress), (3, 4));
    }

    #[test]
    fn a_person_starts_each_further_stage_if_the_operator_wants_so() {
        let mut canary = canary(0, Phase::Counting);
        assert_eq!(canary.walk(&policy(true), &[1, 2], false), [Walked::Completed(0)]);
        assert_eq!((canary.phase, canary.stage, canary.progress), (Phase::Complete, 0, 2));
        assert_eq!(canary.walk(&policy(true), &[3], false), []);
        assert_eq!(canary.apply(CanaryEvent::SwitchOff, &STAGES), Some((0, 0)));
        assert_eq!(canary.apply(CanaryEvent::Advance, &STAGES), Some((0, 1)));
        assert_eq!((canary.phase, canary.progress), (Phase::Counting, 0));
        assert_eq!(
            canary.walk(&policy(true), &[2, 3], false),
            [],
            "they have counted before"
        );
    }

    #[test]
    fn a_hold_and_a_trigger_keep_the_canary_in_its_stage() {
        let mut held = canary(0, Phase::Counting);
        assert_eq!(held.hold(origin("alice")), Ok(()));
        assert_eq!(held.walk(&policy(false), &[1, 2], false), []);
        assert_eq!((held.stage, held.progress), (0, 2));
        assert_eq!(held.resume(), Ok(()));
        assert_eq!(held.walk(&policy(false), &[], true), [], "a trigger is hit");
        assert_eq!(held.walk(&policy(false), &[], false), [Walked::Advanced(0, 1)]);
        let mut off = canary(0, Phase::Off);
        assert_eq!(off.walk(&policy(false), &[1], false), []);
        assert_eq!(off.progress, 0);
    }

    fn origin(by: &str) -> Origin {
        Origin {
            by: Some(by.to_owned()),
            why: Some("a holiday".to_owned()),
            at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_hold_keeps_its_first_person() {
        let mut canary = canary(0, Phase::Counting);
        assert_eq!(canary.resume(), Err(Refused::NotHeld));
        assert_eq!(canary.hold(origin("alice")), Ok(()));
        let refused = canary.hold(origin("bob"));
        assert_eq!(refused, Err(Refused::Held(origin("alice"))));
        assert_eq!(canary.may_advance(&STAGES), refused);
        assert_eq!(canary.resume(), Ok(()));
        assert_eq!(canary.may_advance(&STAGES), Ok(()));
    }

    #[test]
    fn a_person_advances_only_while_a_further_stage_exists_and_routing_was_not_switched_off() {
        assert_eq!(canary(0, Phase::Off).may_advance(&STAGES), Err(Refused::Off));
        assert_eq!(canary(2, Phase::Stopped).may_advance(&STAGES), Ok(()));
        assert_eq!(canary(3, Phase::Counting).may_advance(&STAGES), Err(Refused::LastStage));
        assert_eq!(canary(0, Phase::Counting).may_advance(&[]), Err(Refused::LastStage));
    }
}
