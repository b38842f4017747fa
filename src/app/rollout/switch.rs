//! Notes changes of the routing variable. Every decision sees the variable, so a change by a person at GitHub costs no
//! further question, and only a change costs a write.
//!
//! GitHub's clock orders the answers: an answer from before a change shows nothing about the state after it.

use crate::app::context::Context;
use crate::app::records::{self, RepositoryRecord, RolloutRecord};
use crate::app::rollout::report;
use crate::app::settings::Repository;
use crate::domain::alert::{AlertKey, AlertKind};
use crate::domain::facts::{Fact, Facts, Variable};
use crate::domain::rollout::{CanaryEvent, Change, Changed, Intent, Origin, Switch};
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// Interval between two questions about the variable while no decision asks for it.
const LOOK_INTERVAL: TimeDelta = TimeDelta::seconds(30);

/// Notes the variable as a decision saw it. After an operator has switched routing on, an earlier rollback is over: a
/// later change to off lets waiting jobs drain.
pub(in crate::app) async fn note_facts(ctx: &Context, repository: &Repository, facts: &Facts) -> Result<(), Failure> {
    let shown = match &facts.variable {
        Fact::Known(variable) => Some(variable),
        Fact::Gone => None,
        Fact::NotAsked | Fact::Failed(_) => return Ok(()),
    };
    let asked_at = ctx.github_cache.variable_asked_at(&repository.name);
    let seen = seen(shown, asked_at.unwrap_or_else(|| ctx.clock.now()));
    note(ctx, repository, seen).await?;
    if facts.ledger.rolled_back && seen.on {
        end_rollback(ctx, repository, seen.updated_at).await?;
    }
    Ok(())
}

/// Asks for the variable while no decision does, at most once in an interval.
pub(in crate::app) async fn look(ctx: &Context, repository: &Repository) -> Result<(), Failure> {
    let (cache, now) = (&ctx.github_cache, ctx.clock.now());
    let shown = cache
        .variable(ctx.github.as_ref(), repository, now, LOOK_INTERVAL)
        .await?;
    let asked_at = cache.variable_asked_at(&repository.name).unwrap_or(now);
    note(ctx, repository, seen(shown.as_ref(), asked_at)).await
}

/// Returns GitHub's answer as a state of the switch.
#[must_use]
pub fn seen(variable: Option<&Variable>, seen_at: DateTime<Utc>) -> Switch {
    Switch {
        on: variable.is_some_and(Variable::is_true),
        updated_at: variable.and_then(|variable| variable.updated_at),
        seen_at,
    }
}

/// Notes a state of the variable. An unchanged one costs nothing.
pub(in crate::app) async fn note(ctx: &Context, repository: &Repository, seen: Switch) -> Result<(), Failure> {
    if ctx.github_cache.is_noted(&repository.name, seen) {
        return Ok(());
    }
    let stages = &ctx.settings.rollout.stages;
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    note_in(ledger, retention, repository, seen, stages, ctx.clock.now()).await?;
    ctx.github_cache.note(&repository.name, seen);
    ctx.rollout_woken.notify_one();
    Ok(())
}

/// Notes a state of the variable in a ledger.
///
/// # Errors
/// The failure of the ledger.
pub async fn note_in(
    ledger: &dyn Ledger,
    retention: Duration,
    repository: &Repository,
    seen: Switch,
    stages: &[u32],
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let id = repository.name.as_str();
    records::update(ledger, id, retention, |record: &mut Option<RolloutRecord>| {
        see(record.get_or_insert_default(), seen, stages, now);
    })
    .await
}

/// Announces a change of the variable, so that the history has its person and reason.
///
/// # Errors
/// The failure of the ledger.
pub async fn announce(
    ledger: &dyn Ledger,
    retention: Duration,
    repository: &Repository,
    on: bool,
    origin: &Origin,
) -> Result<(), Failure> {
    let id = repository.name.as_str();
    records::update(ledger, id, retention, |record: &mut Option<RolloutRecord>| {
        record.get_or_insert_default().intent = Some(Intent {
            on,
            origin: origin.clone(),
        });
    })
    .await
}

/// Records a change of the variable that a person has made. A worker may have seen it earlier, without its author.
///
/// # Errors
/// The failure of the ledger.
pub async fn record(
    ledger: &dyn Ledger,
    retention: Duration,
    repository: &Repository,
    seen: Switch,
    origin: &Origin,
    stages: &[u32],
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let id = repository.name.as_str();
    records::update(ledger, id, retention, |record: &mut Option<RolloutRecord>| {
        see_of_person(record.get_or_insert_default(), seen, origin, stages, now);
    })
    .await
}

fn see_of_person(record: &mut RolloutRecord, seen: Switch, origin: &Origin, stages: &[u32], now: DateTime<Utc>) {
    record.intent = Some(Intent {
        on: seen.on,
        origin: origin.clone(),
    });
    see(record, seen, stages, now);
    if record.intent.take().is_some() {
        attribute(record, seen, origin);
    }
}

/// Adds the author to the change that a worker has recorded without one.
fn attribute(record: &mut RolloutRecord, seen: Switch, origin: &Origin) {
    let what = if seen.on { Changed::Enable } else { Changed::Disable };
    let is_it = |change: &&mut Change| change.what == what && change.by.is_none() && Some(change.at) == seen.updated_at;
    if let Some(change) = record.history.iter_mut().rev().find(is_it) {
        change.by.clone_from(&origin.by);
        change.why.clone_from(&origin.why);
    }
}

/// Applies a state of the variable to the record.
fn see(record: &mut RolloutRecord, seen: Switch, stages: &[u32], now: DateTime<Utc>) {
    let known = record.variable;
    if known.is_some_and(|known| !seen.is_newer_than(&known)) {
        return;
    }
    record.variable = Some(seen);
    if seen.on {
        switched_on(record, known, seen, stages, now);
    } else if known.is_some_and(|known| known.on) {
        let origin = origin(record, seen, now);
        record.switched_off(origin, stages);
    }
}

/// Records that routing is on after a change of the variable. If it was on before, a person has switched it off and on again
/// between two looks, or has written the same value again. GitHub shows only the time of the last change, so both count as
/// switched on: evidence that a person wants to leave behind must not switch routing off again, and a mere repetition only
/// costs the older evidence, which a real fault soon replaces. Only persons who may switch routing can write the variable.
fn switched_on(record: &mut RolloutRecord, known: Option<Switch>, seen: Switch, stages: &[u32], now: DateTime<Utc>) {
    let mut overrules = false;
    if let Some(rollback) = record.rollback.as_mut().filter(|rollback| rollback.is_in_force()) {
        let is_announced = record.intent.as_ref().is_some_and(|intent| intent.explains(true, now));
        if !is_announced && !rollback.is_overruled_by(seen.updated_at) {
            // The rollback is not written yet.
            return;
        }
        rollback.overrule(now);
        overrules = true;
    }
    let on_since = seen.updated_at.unwrap_or(now);
    let is_recorded = record.enabled_at.is_some_and(|enabled_at| enabled_at >= on_since);
    if known.is_none() && record.intent.is_none() && !overrules {
        // Routing was on before jitgate first saw it, so this is no change.
        record.enabled_at = Some(on_since);
        record.canary.apply(CanaryEvent::SwitchOn, stages);
    } else if !is_recorded {
        let origin = origin(record, seen, now);
        record.switched_on(on_since, origin, stages);
    }
}

/// Returns the author of a change: the person who announced it, or an unknown person.
fn origin(record: &mut RolloutRecord, seen: Switch, now: DateTime<Utc>) -> Origin {
    match record.intent.take_if(|intent| intent.explains(seen.on, now)) {
        Some(intent) => intent.origin,
        None => Origin::unknown(seen.updated_at.unwrap_or(now)),
    }
}

/// Ends the alert and the latch of a rollback that a person has overruled.
async fn end_rollback(ctx: &Context, repository: &Repository, on_since: Option<DateTime<Utc>>) -> Result<(), Failure> {
    let (ledger, name, retention) = (ctx.ledger.as_ref(), &repository.name, ctx.settings.retention);
    let rollout: Option<RolloutRecord> = records::load(ledger, name.as_str()).await?;
    let rollback = rollout.and_then(|rollout| rollout.rollback);
    let is_over = |record: &RepositoryRecord| match (&record.rolled_back, &rollback) {
        (None, _) => false,
        (Some(latch), Some(rollback)) => rollback.ends_latch(latch.at),
        // An earlier version has recorded the rollback.
        (Some(latch), None) => on_since.is_some_and(|on_since| latch.at < on_since),
    };
    let record: Option<RepositoryRecord> = records::load(ledger, name.as_str()).await?;
    if !record.is_some_and(|record| is_over(&record)) {
        return Ok(());
    }
    let key = AlertKey::new(AlertKind::Rollback, Some(name));
    ctx.alerts.over(&key, None).await?;
    report::end_failure(ctx, repository).await?;
    records::change(ledger, name.as_str(), retention, |record: &mut RepositoryRecord| {
        if is_over(record) {
            record.rolled_back = None;
        }
    })
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::{Rollback, RollbackStep, Trigger};
    use crate::domain::samples::{at, cause};

    const STAGES: [u32; 3] = [1, 10, 25];

    fn switch(on: bool, updated: i64, asked: i64) -> Switch {
        Switch {
            on,
            updated_at: Some(at(updated)),
            seen_at: at(asked),
        }
    }

    fn whats(record: &RolloutRecord) -> Vec<Changed> {
        record.history.iter().map(|change| change.what).collect()
    }

    #[test]
    fn an_answer_from_before_a_change_changes_nothing() {
        let mut record = RolloutRecord::default();
        see(&mut record, switch(true, 10, 20), &STAGES, at(20));
        see(&mut record, switch(false, 30, 35), &STAGES, at(35));
        let known = record.clone();
        // A slow answer shows the value before the change.
        see(&mut record, switch(true, 10, 25), &STAGES, at(40));
        assert_eq!(record, known);
        see(&mut record, switch(true, 50, 55), &STAGES, at(55));
        assert_eq!(whats(&record), [Changed::Disable, Changed::Enable]);
    }

    #[test]
    fn a_variable_that_is_written_again_counts_as_switched_on() {
        let mut record = RolloutRecord::default();
        see(&mut record, switch(true, 10, 20), &STAGES, at(20));
        assert_eq!((whats(&record), record.enabled_at), (vec![], Some(at(10))));
        see(&mut record, switch(true, 50, 60), &STAGES, at(60));
        assert_eq!(
            (whats(&record), record.enabled_at),
            (vec![Changed::Enable], Some(at(50)))
        );
        see(&mut record, switch(true, 50, 70), &STAGES, at(70));
        assert_eq!(whats(&record), [Changed::Enable]);
    }

    #[test]
    fn a_change_that_a_worker_has_seen_first_gets_its_person() {
        let mut record = RolloutRecord::default();
        see(&mut record, switch(true, 10, 20), &STAGES, at(20));
        see(&mut record, switch(false, 30, 35), &STAGES, at(35));
        let origin = Origin {
            by: Some("bob".to_owned()),
            why: Some("a rehearsal".to_owned()),
            at: at(29),
        };
        see_of_person(&mut record, switch(false, 30, 31), &origin, &STAGES, at(36));
        assert_eq!(
            (whats(&record), record.intent.is_none()),
            (vec![Changed::Disable], true)
        );
        assert_eq!(record.history[0].by.as_deref(), Some("bob"));
        assert_eq!(record.history[0].why.as_deref(), Some("a rehearsal"));
    }

    /// A rollback at 100, whose variable was switched on at 10.
    fn rolling_back(step: RollbackStep) -> RolloutRecord {
        let mut record = RolloutRecord::default();
        let cause = cause(Trigger::Offline, false);
        record.rolled_back(&cause, at(100), &STAGES);
        record.rollback = Some(Rollback {
            step,
            before: (step > RollbackStep::Begun).then(|| at(10)),
            ..Rollback::begun(cause, at(100))
        });
        record
    }

    #[test]
    fn a_variable_that_is_not_written_yet_does_not_overrule_its_rollback() {
        for step in [RollbackStep::Begun, RollbackStep::Writing] {
            let mut record = rolling_back(step);
            see(&mut record, switch(true, 10, 101), &STAGES, at(101));
            assert!(record.rollback.as_ref().is_some_and(Rollback::is_in_force), "{step:?}");
            assert_eq!(
                (whats(&record), record.enabled_at),
                (vec![Changed::Rollback], None),
                "{step:?}"
            );
        }
        let mut record = rolling_back(RollbackStep::Writing);
        see(&mut record, switch(true, 110, 111), &STAGES, at(111));
        assert!(record.rollback.as_ref().is_some_and(|rollback| !rollback.is_in_force()));
        assert_eq!(whats(&record), [Changed::Rollback, Changed::Enable]);
    }

    #[test]
    fn a_person_who_announces_it_overrules_a_rollback_that_is_not_written_yet() {
        let mut record = rolling_back(RollbackStep::Begun);
        let origin = Origin {
            by: Some("alice".to_owned()),
            why: Some("it was a fault of GitHub".to_owned()),
            at: at(101),
        };
        record.intent = Some(Intent { on: true, origin });
        see(&mut record, switch(true, 102, 103), &STAGES, at(103));
        let rollback = record.rollback.as_ref().expect("a rollback");
        assert!(
            !rollback.is_in_force() && !rollback.is_unfinished(),
            "nothing is written any more"
        );
        let last = record.history.last().and_then(|change| change.by.as_deref());
        assert_eq!(last, Some("alice"));
    }
}
