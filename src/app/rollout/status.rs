//! The state of a rollout for people and scripts: the stage, its progress, what holds it, the triggers and the history.

use crate::app::records::{self, RolloutRecord, VerdictsRecord};
use crate::app::rollout::{offline, refresh};
use crate::app::settings::Repository;
use crate::domain::ids::RepositoryName;
use crate::domain::policy::Mode;
use crate::domain::rollout::{
    Change, Changed, Evidence, Grounds, Judgement, OURSELVES, Origin, Phase, RolloutPolicy, Trigger, Waits, judge,
};
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use serde::Serialize;

/// The state of a rollout. Its JSON form is part of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RolloutStatus {
    #[serde(flatten)]
    pub reached: StageStatus,
    pub triggers: Vec<TriggerStatus>,
    /// The changes, oldest first.
    pub history: Vec<Change>,
}

/// The stage that a rollout has reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageStatus {
    pub repository: RepositoryName,
    pub mode: Mode,
    /// The stage, from 0.
    pub stage: usize,
    /// The number of pull requests in the stage; none in the last one.
    pub stage_size: Option<u32>,
    /// The pull requests that were counted in this stage.
    pub progress: u32,
    /// The reason why the canary stays in its stage. A hit trigger is a reason only where the triggers are judged.
    pub held: Option<Held>,
}

/// The reason why a canary stays in its stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    pub by: Option<String>,
    pub why: Option<String>,
    pub at: Option<DateTime<Utc>>,
    pub cause: HoldCause,
}

/// The kind of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldCause {
    /// A person holds the canary.
    Hold,
    /// The stage is complete, and a person must start the next one.
    Advance,
    /// A trigger has switched routing off.
    Rollback,
    /// Routing is off without a trigger.
    RoutingOff,
    /// A trigger is hit.
    Trigger,
}

/// The state of a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TriggerStatus {
    pub name: Trigger,
    pub hit: bool,
    /// False if there is too little data for a judgement.
    pub judged: bool,
    pub evidence: Evidence,
}

/// Returns the state of a rollout without changing anything. `window` is that of the service levels.
///
/// # Errors
/// The failure of the ledger.
pub async fn load(
    ledger: &dyn Ledger,
    repository: &RepositoryName,
    (mode, policy): (Mode, &RolloutPolicy),
    window: usize,
    now: DateTime<Utc>,
) -> Result<RolloutStatus, Failure> {
    let record: Option<RolloutRecord> = records::load(ledger, repository.as_str()).await?;
    let record = record.unwrap_or_default();
    let judgements = judgements(ledger, repository, &record, policy, window, now).await?;
    Ok(RolloutStatus::of(repository, mode, policy, record, judgements))
}

/// Returns the stages of the rollouts of all repositories. The cost is one read for each.
///
/// # Errors
/// The failure of the ledger.
pub async fn stages(
    ledger: &dyn Ledger,
    repositories: &[Repository],
    policy: &RolloutPolicy,
) -> Result<Vec<StageStatus>, Failure> {
    let stage = |repository: &Repository| {
        let (name, mode) = (repository.name.clone(), repository.policy.mode);
        async move {
            let record: Option<RolloutRecord> = records::load(ledger, name.as_str()).await?;
            Ok(StageStatus::of(&name, mode, policy, &record.unwrap_or_default(), &[]))
        }
    };
    try_join_all(repositories.iter().map(stage)).await
}

/// Judges the triggers as the next pass does, but counts queue waits that GitHub has not confirmed yet.
///
/// # Errors
/// The failure of the ledger.
pub async fn judgements(
    ledger: &dyn Ledger,
    repository: &RepositoryName,
    record: &RolloutRecord,
    policy: &RolloutPolicy,
    window: usize,
    now: DateTime<Utc>,
) -> Result<Vec<Judgement>, Failure> {
    let runs = refresh::newest(ledger, repository, now, refresh::runs_for(window)).await?;
    let verdicts: Option<VerdictsRecord> = records::load(ledger, repository.as_str()).await?;
    let outage = offline::recorded_outage(ledger).await?;
    Ok(judge(
        policy,
        &Grounds {
            period: record.period(),
            runs: &runs,
            mismatches: &verdicts.unwrap_or_default().mismatches,
            outage: outage.as_ref(),
            waits: Waits::Reported,
            now,
        },
    ))
}

impl StageStatus {
    fn of(
        repository: &RepositoryName,
        mode: Mode,
        policy: &RolloutPolicy,
        record: &RolloutRecord,
        judgements: &[Judgement],
    ) -> Self {
        Self {
            repository: repository.clone(),
            mode,
            stage: record.canary.stage_of(&policy.stages),
            stage_size: record.canary.stage_size(&policy.stages),
            progress: record.canary.progress,
            held: held(record, judgements, policy),
        }
    }
}

impl RolloutStatus {
    /// Returns the state that a record and its judgements show.
    #[must_use]
    pub fn of(
        repository: &RepositoryName,
        mode: Mode,
        policy: &RolloutPolicy,
        record: RolloutRecord,
        judgements: Vec<Judgement>,
    ) -> Self {
        let reached = StageStatus::of(repository, mode, policy, &record, &judgements);
        let is_rolled_back = reached
            .held
            .as_ref()
            .is_some_and(|held| held.cause == HoldCause::Rollback);
        let rolled_back = record.rollback.as_ref().filter(|_| is_rolled_back);
        let trigger = |judgement: Judgement| {
            // The trigger of a rollback stays hit until a person switches routing on again.
            let latched = rolled_back.filter(|it| it.cause.trigger == judgement.cause.trigger);
            TriggerStatus {
                name: judgement.cause.trigger,
                hit: judgement.hit || latched.is_some(),
                judged: judgement.judged || latched.is_some(),
                evidence: latched.map_or(judgement.cause.evidence, |it| it.cause.evidence.clone()),
            }
        };
        Self {
            reached,
            triggers: judgements.into_iter().map(trigger).collect(),
            history: record.history,
        }
    }

    /// Returns the triggers that are hit.
    pub fn hits(&self) -> impl Iterator<Item = &TriggerStatus> {
        self.triggers.iter().filter(|trigger| trigger.hit)
    }
}

/// Returns what keeps the canary in its stage, a person first.
fn held(record: &RolloutRecord, judgements: &[Judgement], policy: &RolloutPolicy) -> Option<Held> {
    let canary = &record.canary;
    let by = |cause, Origin { by, why, at }| Held {
        by,
        why,
        at: Some(at),
        cause,
    };
    if let Some(origin) = &canary.held {
        return Some(by(HoldCause::Hold, origin.clone()));
    }
    let last = last_switch(&record.history);
    let origin = last.map(|change| Origin {
        by: change.by.clone(),
        why: change.why.clone(),
        at: change.at,
    });
    let by_jitgate = |cause, why: String| Held {
        by: Some(OURSELVES.to_owned()),
        why: Some(why),
        at: None,
        cause,
    };
    match canary.phase {
        Phase::Complete | Phase::Stopped => {
            let why = format!(
                "stage {} waits for `jitgate rollout advance`",
                canary.stage_of(&policy.stages)
            );
            let at = origin.map(|origin| origin.at);
            Some(Held {
                at,
                ..by_jitgate(HoldCause::Advance, why)
            })
        }
        Phase::Off => Some(match (origin, last.map(|change| change.what)) {
            (Some(origin), Some(Changed::Rollback)) => by(HoldCause::Rollback, origin),
            (Some(origin), Some(Changed::Disable)) => by(HoldCause::RoutingOff, origin),
            _ => Held {
                by: None,
                why: Some("self-hosted routing was never seen on".to_owned()),
                at: None,
                cause: HoldCause::RoutingOff,
            },
        }),
        Phase::Counting => {
            let hit = judgements.iter().find(|judgement| judgement.hit)?;
            Some(by_jitgate(HoldCause::Trigger, hit.cause.in_words()))
        }
    }
}

/// Returns the last change of routing, or the last one that the mode `observe` reported.
fn last_switch(history: &[Change]) -> Option<&Change> {
    let is_switch = |change: &&Change| matches!(change.what, Changed::Enable | Changed::Disable | Changed::Rollback);
    history.iter().rev().find(is_switch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::Cause;
    use crate::domain::samples::{self, at, rollout_policy as policy};

    fn origin(by: &str, second: i64) -> Origin {
        Origin {
            by: Some(by.to_owned()),
            why: Some("a reason".to_owned()),
            at: at(second),
        }
    }

    fn cause() -> Cause {
        samples::cause(Trigger::QueueWait, false)
    }

    fn shown(record: &RolloutRecord, hit: bool) -> Option<(HoldCause, Option<String>, Option<String>)> {
        let judgement = Judgement {
            cause: cause(),
            judged: true,
            hit,
        };
        let held = held(record, &[judgement], &policy())?;
        Some((held.cause, held.by, held.why))
    }

    #[test]
    fn each_hold_has_its_cause_and_its_person() {
        let stages = policy().stages;
        let some = |text: &str| Some(text.to_owned());
        let mut record = RolloutRecord::default();
        let never = Some((
            HoldCause::RoutingOff,
            None,
            some("self-hosted routing was never seen on"),
        ));
        assert_eq!(shown(&record, true), never);
        record.switched_on(at(1), origin("alice", 1), &stages);
        assert_eq!(shown(&record, false), None);
        let by_trigger = (HoldCause::Trigger, some(OURSELVES), some("queue-wait: too slow"));
        assert_eq!(shown(&record, true), Some(by_trigger));
        record.hold(origin("bob", 2), &stages).expect("it is not held");
        let by_person = (HoldCause::Hold, some("bob"), some("a reason"));
        assert_eq!(shown(&record, true), Some(by_person));
        record.resume(origin("bob", 3), &stages).expect("it is held");
        record.switched_off(origin("carol", 4), &stages);
        assert_eq!(
            shown(&record, false),
            Some((HoldCause::RoutingOff, some("carol"), some("a reason")))
        );
        record.switched_on(at(5), origin("alice", 5), &stages);
        record.rolled_back(&cause(), at(6), &stages);
        let by_rollback = (HoldCause::Rollback, some(OURSELVES), some("queue-wait: too slow"));
        assert_eq!(shown(&record, false), Some(by_rollback));
        record.canary.phase = Phase::Stopped;
        let waits = some("stage 0 waits for `jitgate rollout advance`");
        assert_eq!(
            shown(&record, false),
            Some((HoldCause::Advance, some(OURSELVES), waits))
        );
    }
}
