//! Quarantine: while an untrusted job that could reach us waits in a runner group, no runner is created there.
//!
//! Quarantine reduces the window for theft. The security boundary is the job gate. A quarantine therefore ends by
//! itself, one author can cause only a few in a row, and no job is held longer than the duration of one quarantine,
//! independent of their causes: a flood of pull requests starves no job (ADR 0015).

use super::context::Context;
use super::records::{self, Record, RunnerRecord};
use super::runners::thefts::{self, Thefts, Waiter};
use crate::domain::alert::{Alert, AlertKey, AlertKind};
use crate::domain::ids::JobId;
use crate::ports::ledger::Kind;
use crate::ports::{Failure, Ledger};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Maximum number of quarantines by one author within [`AUTHOR_WINDOW`].
const MAX_PER_AUTHOR: usize = 3;
/// The window for [`MAX_PER_AUTHOR`].
const AUTHOR_WINDOW: TimeDelta = TimeDelta::hours(1);

/// The untrusted jobs of one runner group and the runners stolen in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GroupRecord {
    entries: Vec<Held>,
    #[serde(default)]
    pub(in crate::app) thefts: Thefts,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    job: JobId,
    author: String,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Record for GroupRecord {
    const KIND: Kind = Kind::Group;
    fn is_unfinished(&self) -> bool {
        false
    }
}

/// Starts a quarantine of a group because of `job`. A job holds it once, independent of the number of its events.
///
/// # Errors
/// The failure of the ledger.
pub async fn begin(
    ledger: &dyn Ledger,
    group: &str,
    job: JobId,
    author: &str,
    now: DateTime<Utc>,
    length: TimeDelta,
    retention: Duration,
) -> Result<(), Failure> {
    records::update(ledger, group, retention, |record: &mut Option<GroupRecord>| {
        let record = record.get_or_insert_default();
        let is_recent = |held: &Held| now - held.since < AUTHOR_WINDOW;
        let recent = || record.entries.iter().filter(|held| is_recent(held));
        let is_known = recent().any(|held| held.job == job);
        if is_known || recent().filter(|held| held.author == author).count() >= MAX_PER_AUTHOR {
            return;
        }
        record.entries.retain(is_recent);
        record.entries.push(Held {
            job,
            author: author.to_owned(),
            since: now,
            until: now + length,
        });
    })
    .await
}

/// Ends the quarantine by `job`, which is over, cancelled or trusted. Returns true if there was one.
///
/// # Errors
/// The failure of the ledger.
pub async fn end(
    ledger: &dyn Ledger,
    group: &str,
    job: JobId,
    now: DateTime<Utc>,
    retention: Duration,
) -> Result<bool, Failure> {
    let held = records::change(ledger, group, retention, |record: &mut GroupRecord| {
        let mut entries = record.entries.iter_mut();
        let held = entries.find(|held| held.job == job && held.until > now);
        held.map(|held| held.until = now)
    });
    Ok(held.await?.flatten().is_some())
}

impl GroupRecord {
    /// Returns the end of the hold on a job by others or by thefts, or `None` if it is not held.
    pub(in crate::app) fn holds_until(&self, waiter: Waiter, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let by_others = self.entries.iter().filter(|held| held.job != waiter.job);
        let until = by_others.map(|held| held.until).max();
        let until = until.map(|until| until.min(waiter.since + waiter.at_most));
        until.max(self.thefts.hold_until(waiter)).filter(|until| *until > now)
    }
}

/// Returns the untrusted jobs of a group.
///
/// # Errors
/// The failure of the ledger.
pub(in crate::app) async fn of_group(ledger: &dyn Ledger, group: &str) -> Result<GroupRecord, Failure> {
    Ok(records::load(ledger, group).await?.unwrap_or_default())
}

/// Counts a stolen runner and raises an alert if this starts a pause. Must be repeated after a failure or a crash,
/// before the job of the runner can get another one.
pub(in crate::app) async fn count_theft(ctx: &Context, runner: &RunnerRecord) -> Result<(), Failure> {
    let Some(repository) = ctx.settings.repository(runner.repository.as_str()) else {
        return Ok(());
    };
    let (group, now) = (repository.group_key(), ctx.clock.now());
    let shortest = thefts::shortest(repository.quarantine);
    let paused = records::update(
        ctx.ledger.as_ref(),
        &group,
        ctx.settings.retention,
        |record: &mut Option<GroupRecord>| {
            let thefts = &mut record.get_or_insert_default().thefts;
            thefts.note(&runner.name, shortest, now);
            thefts.pause_at(now).map(|pause| (thefts.count, pause))
        },
    );
    let Some((thefts, pause)) = paused.await? else {
        return Ok(());
    };
    let pause_s = (pause.until - pause.since).num_seconds();
    tracing::warn!(
        group,
        thefts,
        pause_s,
        "{thefts} runners of {group} were stolen in a row; none is created there for {pause_s} s"
    );
    let by = runner
        .taken_by
        .map_or_else(String::new, |job| format!(", the last one by job {job}"));
    let what = format!(
        "{thefts} runners of {group} were stolen in a row{by}: no runner is created there for {pause_s} s, and no trusted job \
         waits for that longer than {} s in all",
        (shortest * thefts::MAX_HELD_PAUSES).num_seconds()
    );
    let key = AlertKey::new(AlertKind::StolenRunner, Some(&repository.name)).caused_by("thefts");
    ctx.alerts.raise(Alert::new(&key, None, &what, now)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;

    fn held_by(jobs: &[(u64, i64)]) -> GroupRecord {
        let held = |&(job, since): &(u64, i64)| Held {
            job: JobId(job),
            author: format!("author-{job}"),
            since: at(since),
            until: at(since + 60),
        };
        GroupRecord {
            entries: jobs.iter().map(held).collect(),
            ..GroupRecord::default()
        }
    }

    fn waiter(job: u64, since: i64) -> Waiter {
        Waiter {
            job: JobId(job),
            since: at(since),
            at_most: TimeDelta::seconds(60),
        }
    }

    #[test]
    fn others_hold_a_job_and_it_does_not_hold_itself() {
        let group = held_by(&[(1, 0)]);
        assert_eq!(group.holds_until(waiter(2, 10), at(10)), Some(at(60)));
        assert_eq!(group.holds_until(waiter(2, 10), at(60)), None);
        assert_eq!(group.holds_until(waiter(1, 10), at(10)), None);
        assert_eq!(GroupRecord::default().holds_until(waiter(2, 10), at(10)), None);
    }

    #[test]
    fn however_many_come_one_after_the_other_nobody_is_held_longer_than_one_lasts() {
        let flood: Vec<(u64, i64)> = (1..100).map(|n| (n, i64::try_from(n).expect("small") * 5)).collect();
        let group = held_by(&flood);
        assert_eq!(group.holds_until(waiter(1000, 7), at(20)), Some(at(67)));
        assert_eq!(group.holds_until(waiter(1000, 7), at(67)), None);
    }
}
