//! The proof of a runner's tear-down: the steps of its life, each with its time or the reason why it is missing.
//!
//! A time is stored when jitgate saw the step. No time is derived from another one, so a step that jitgate did not see stays
//! missing, even if a later step shows that it must have happened.

use super::runner::{Outcome, RunnerState};
use super::slot::KeptDisk;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Time for the slot of an ended runner to be destroyed and its disk to be gone.
const DISK_DEADLINE: TimeDelta = TimeDelta::minutes(2);
/// Time for GitHub's record of an ended runner to be gone. GitHub shows a runner that vanished in a job as busy for minutes.
const RECORD_DEADLINE: TimeDelta = TimeDelta::minutes(20);

/// A step in the life of a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The host made the slot.
    Made,
    /// The slot was ready for a runner.
    Booted,
    /// The host accepted the JIT configuration.
    Claimed,
    /// GitHub showed the runner as online, or a job on it.
    Online,
    /// A job called the job gate.
    Gated,
    /// The job gate was opened.
    Started,
    /// The runner was over.
    Ended,
    /// Nothing ran in the slot any more.
    Destroyed,
    /// The folder of the slot did not exist any more.
    DiskGone,
    /// GitHub had no record of the runner any more.
    RecordGone,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 10] = [
        Self::Made,
        Self::Booted,
        Self::Claimed,
        Self::Online,
        Self::Gated,
        Self::Started,
        Self::Ended,
        Self::Destroyed,
        Self::DiskGone,
        Self::RecordGone,
    ];

    /// Returns the word that records and commands contain.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Booted => "booted",
            Self::Claimed => "claimed",
            Self::Online => "online",
            Self::Gated => "gated",
            Self::Started => "started",
            Self::Ended => "ended",
            Self::Destroyed => "destroyed",
            Self::DiskGone => "disk_gone",
            Self::RecordGone => "record_gone",
        }
    }
}

/// The times that no state of a runner contains, in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    pub made: Option<DateTime<Utc>>,
    pub booted: Option<DateTime<Utc>>,
    pub claimed: Option<DateTime<Utc>>,
    pub started: Option<DateTime<Utc>>,
    pub destroyed: Option<DateTime<Utc>>,
    pub disk_gone: Option<DateTime<Utc>>,
    /// The disk that is kept for inspection instead.
    pub disk_kept: Option<KeptDisk>,
    pub record_gone: Option<DateTime<Utc>>,
    /// The failure of the last attempt to remove what is left.
    pub hindrance: Option<String>,
}

/// The facts about a runner that its proof is made from.
#[derive(Debug, Clone, Copy)]
pub struct Life<'a> {
    pub state: RunnerState,
    pub outcome: Option<Outcome>,
    /// Details of the outcome.
    pub detail: Option<&'a str>,
    /// The time of its state `booting`.
    pub booting: Option<DateTime<Utc>>,
    /// The first time at which GitHub showed it as online or with a job.
    pub online: Option<DateTime<Utc>>,
    /// The time of its state `gated`.
    pub gated: Option<DateTime<Utc>>,
    /// The time of its state `running`: the permission was stored before the job gate opened.
    pub permitted: Option<DateTime<Utc>>,
    /// The time of its state `ended`.
    pub ended: Option<DateTime<Utc>>,
    pub evidence: &'a Evidence,
}

/// A step with its time, or with the reason why it has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenStep {
    pub step: Step,
    pub at: Option<DateTime<Utc>>,
    /// The reason; none if there is a time.
    pub missing: Option<String>,
}

/// Returns all steps in the order of their times; a missing step keeps its place after the step before it.
#[must_use]
pub fn steps(life: &Life<'_>) -> Vec<ProvenStep> {
    let mut latest = None;
    let mut steps: Vec<(Option<DateTime<Utc>>, ProvenStep)> = Vec::new();
    for step in Step::ALL {
        let at = life.time_of(step);
        let missing = at.is_none().then(|| life.reason(step));
        let place = at.or(latest);
        latest = latest.max(at);
        steps.push((place, ProvenStep { step, at, missing }));
    }
    // GitHub can show a job on a runner after the job has called the job gate.
    steps.sort_by_key(|(place, _)| *place);
    steps.into_iter().map(|(_, step)| step).collect()
}

/// Returns the part of an ended runner that should be gone by now, or none if no deadline has passed.
#[must_use]
pub fn overdue(life: &Life<'_>, now: DateTime<Utc>) -> Option<&'static str> {
    let elapsed = now - life.ended.filter(|_| life.state == RunnerState::Ended)?;
    let is_left = |gone: Option<DateTime<Utc>>, limit| gone.is_none() && elapsed >= limit;
    let evidence = life.evidence;
    if evidence.disk_kept.is_none() && is_left(evidence.disk_gone, DISK_DEADLINE) {
        Some("its slot")
    } else if is_left(evidence.record_gone, RECORD_DEADLINE) {
        Some("GitHub's record of it")
    } else {
        None
    }
}

impl Life<'_> {
    fn time_of(&self, step: Step) -> Option<DateTime<Utc>> {
        let evidence = self.evidence;
        match step {
            Step::Made => evidence.made,
            Step::Booted => evidence.booted,
            Step::Claimed => evidence.claimed.or(self.booting),
            Step::Online => self.online,
            Step::Gated => self.gated,
            Step::Started => evidence.started,
            Step::Ended => self.ended,
            Step::Destroyed => evidence.destroyed,
            Step::DiskGone => evidence.disk_gone,
            Step::RecordGone => evidence.record_gone,
        }
    }

    /// Returns the reason why a step has no time.
    fn reason(&self, step: Step) -> String {
        match step {
            Step::Made | Step::Booted => "not recorded when the runner was made".to_owned(),
            _ if self.state == RunnerState::Destroyed && step > Step::Ended => self.reason_afterwards(step),
            Step::Destroyed | Step::DiskGone | Step::RecordGone if !self.state.is_alive() => {
                self.reason_of_remains(step)
            }
            _ if self.state.is_alive() && self.is_passed(step) => "jitgate did not see it".to_owned(),
            _ if self.state.is_alive() => "not yet".to_owned(),
            Step::Started if self.permitted.is_some() => {
                format!(
                    "the job was permitted to start, and jitgate did not see the gate open: {}",
                    self.end()
                )
            }
            Step::Claimed if self.is_passed(step) => "jitgate did not see it".to_owned(),
            Step::Claimed => format!("the host did not take the runner: {}", self.end()),
            Step::Online => format!("GitHub did not show the runner as online: {}", self.end()),
            Step::Gated => format!("no job reached the gate: {}", self.end()),
            Step::Started => format!("the gate did not open: {}", self.end()),
            Step::Ended | Step::Destroyed | Step::DiskGone | Step::RecordGone => "not recorded".to_owned(),
        }
    }

    /// Returns true if a later step before the end has a time.
    fn is_passed(&self, step: Step) -> bool {
        let mut later = Step::ALL
            .into_iter()
            .filter(|later| *later > step && *later < Step::Ended);
        later.any(|later| self.time_of(later).is_some())
    }

    /// Returns the reason for a runner without any remains.
    fn reason_afterwards(&self, step: Step) -> String {
        match (step, &self.evidence.disk_kept) {
            (Step::DiskGone, Some(kept)) => is_kept(kept),
            (Step::RecordGone, _) if self.evidence.hindrance.is_some() => {
                self.evidence.hindrance.clone().unwrap_or_default()
            }
            _ => "the version of jitgate that destroyed the runner did not record it".to_owned(),
        }
    }

    /// Returns the reason for an ended runner of which something is left.
    fn reason_of_remains(&self, step: Step) -> String {
        let (is_due, waits) = match step {
            Step::Destroyed => (true, "the slot is not destroyed yet"),
            Step::DiskGone => (self.evidence.destroyed.is_some(), "the folder of the slot still exists"),
            _ => (
                self.evidence.disk_gone.is_some() || self.evidence.disk_kept.is_some(),
                "GitHub's record is not removed yet",
            ),
        };
        if let (Step::DiskGone, Some(kept)) = (step, &self.evidence.disk_kept) {
            return is_kept(kept);
        }
        match &self.evidence.hindrance {
            Some(hindrance) if is_due => format!("{waits}: {hindrance}"),
            _ if is_due => waits.to_owned(),
            _ => "not yet".to_owned(),
        }
    }

    fn end(&self) -> String {
        let outcome = self.outcome.map_or("ended", Outcome::as_str);
        match self.detail {
            Some(detail) => format!("{outcome} ({detail})"),
            None => outcome.to_owned(),
        }
    }
}

fn is_kept(kept: &KeptDisk) -> String {
    format!(
        "kept for inspection in {} until {}",
        kept.path,
        kept.until.to_rfc3339_opts(SecondsFormat::Secs, true)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;

    fn life(evidence: &Evidence) -> Life<'_> {
        Life {
            state: RunnerState::Destroyed,
            outcome: Some(Outcome::Completed),
            detail: None,
            booting: Some(at(3)),
            online: Some(at(4)),
            gated: Some(at(5)),
            permitted: Some(at(6)),
            ended: Some(at(8)),
            evidence,
        }
    }

    fn whole() -> Evidence {
        Evidence {
            made: Some(at(1)),
            booted: Some(at(2)),
            started: Some(at(7)),
            destroyed: Some(at(9)),
            disk_gone: Some(at(10)),
            record_gone: Some(at(11)),
            ..Evidence::default()
        }
    }

    fn missing(life: &Life<'_>) -> Vec<(Step, String)> {
        let steps = steps(life).into_iter();
        steps
            .filter_map(|step| step.missing.map(|why| (step.step, why)))
            .collect()
    }

    #[test]
    fn a_whole_life_has_every_step_in_order() {
        let evidence = whole();
        let steps = steps(&life(&evidence));
        assert_eq!(steps.iter().map(|step| step.step).collect::<Vec<_>>(), Step::ALL);
        assert!(steps.iter().all(|step| step.missing.is_none()));
        assert!(steps.is_sorted_by_key(|step| step.at), "{steps:?}");
    }

    #[test]
    fn a_step_that_github_showed_late_is_in_its_place() {
        let evidence = whole();
        let late = Life {
            online: Some(at(6)),
            ..life(&evidence)
        };
        let steps = steps(&late);
        assert!(steps.is_sorted_by_key(|step| step.at), "{steps:?}");
        let place = |step| steps.iter().position(|proven| proven.step == step);
        assert!(place(Step::Gated) < place(Step::Online) && place(Step::Online) < place(Step::Started));
    }

    #[test]
    fn a_runner_that_reached_no_gate_says_why_and_nothing_is_invented() {
        let evidence = Evidence {
            started: None,
            ..whole()
        };
        let died = Life {
            outcome: Some(Outcome::Died),
            detail: Some("the machine stopped"),
            online: None,
            gated: None,
            permitted: None,
            ..life(&evidence)
        };
        let end = "died (the machine stopped)";
        assert_eq!(
            missing(&died),
            [
                (Step::Online, format!("GitHub did not show the runner as online: {end}")),
                (Step::Gated, format!("no job reached the gate: {end}")),
                (Step::Started, format!("the gate did not open: {end}")),
            ]
        );
        let unclaimed = Life { booting: None, ..died };
        assert_eq!(
            missing(&unclaimed).first(),
            Some(&(Step::Claimed, format!("the host did not take the runner: {end}")))
        );
        let seen_later = Life {
            booting: None,
            ..life(&evidence)
        };
        assert_eq!(
            missing(&seen_later),
            [
                (Step::Claimed, "jitgate did not see it".to_owned()),
                (
                    Step::Started,
                    "the job was permitted to start, and jitgate did not see the gate open: completed".to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_living_runner_waits_for_its_next_steps() {
        let evidence = Evidence {
            made: Some(at(1)),
            booted: Some(at(2)),
            ..Evidence::default()
        };
        let online = Life {
            state: RunnerState::Online,
            outcome: None,
            booting: None,
            gated: None,
            permitted: None,
            ended: None,
            ..life(&evidence)
        };
        let found = missing(&online);
        assert_eq!(
            found.first(),
            Some(&(Step::Claimed, "jitgate did not see it".to_owned()))
        );
        assert!(found.iter().skip(1).all(|(_, why)| why == "not yet"), "{found:?}");
        assert_eq!(found.len(), 7);
    }

    #[test]
    fn what_is_left_is_named_with_its_hindrance_until_it_is_gone() {
        let mut evidence = Evidence {
            destroyed: None,
            disk_gone: None,
            record_gone: None,
            hindrance: Some("permission denied".to_owned()),
            ..whole()
        };
        let first_missing = |evidence: &Evidence| {
            let ended = Life {
                state: RunnerState::Ended,
                ..life(evidence)
            };
            missing(&ended)
        };
        let found = first_missing(&evidence);
        assert_eq!(found[0].1, "the slot is not destroyed yet: permission denied");
        assert_eq!(found[1].1, "not yet");
        evidence.destroyed = Some(at(9));
        let found = first_missing(&evidence);
        assert_eq!(found[0].1, "the folder of the slot still exists: permission denied");
        evidence.disk_kept = Some(KeptDisk {
            slot: "slot-1".to_owned(),
            runner: None,
            path: "/failed/slot-1".to_owned(),
            bytes: 1,
            until: at(3600),
        });
        let found = first_missing(&evidence);
        assert_eq!(
            found[0].1,
            "kept for inspection in /failed/slot-1 until 1970-01-01T01:00:00Z"
        );
        assert_eq!(found[1].1, "GitHub's record is not removed yet: permission denied");
    }

    #[test]
    fn a_record_of_an_earlier_version_has_no_invented_times() {
        let evidence = Evidence::default();
        let found = missing(&life(&evidence));
        let steps: Vec<Step> = found.iter().map(|(step, _)| *step).collect();
        let unseen = [Step::Made, Step::Booted, Step::Started];
        assert_eq!(
            steps,
            [&unseen[..], &[Step::Destroyed, Step::DiskGone, Step::RecordGone]].concat()
        );
        assert!(found[3].1.contains("the version of jitgate"), "{found:?}");
    }

    #[test]
    fn only_what_an_ended_runner_leaves_can_be_overdue() {
        let mut evidence = Evidence {
            disk_gone: None,
            record_gone: None,
            ..whole()
        };
        let found = |evidence: &Evidence, state, after: TimeDelta| {
            let life = Life {
                state,
                ..life(evidence)
            };
            overdue(&life, at(8) + after)
        };
        let second = TimeDelta::seconds(1);
        assert_eq!(found(&evidence, RunnerState::Ended, DISK_DEADLINE - second), None);
        assert_eq!(found(&evidence, RunnerState::Ended, DISK_DEADLINE), Some("its slot"));
        assert_eq!(found(&evidence, RunnerState::Destroyed, DISK_DEADLINE), None);
        evidence.disk_gone = Some(at(9));
        assert_eq!(found(&evidence, RunnerState::Ended, RECORD_DEADLINE - second), None);
        assert_eq!(
            found(&evidence, RunnerState::Ended, RECORD_DEADLINE),
            Some("GitHub's record of it")
        );
        evidence.record_gone = Some(at(9));
        assert_eq!(found(&evidence, RunnerState::Ended, RECORD_DEADLINE), None);
    }
}
