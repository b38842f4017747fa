//! A pass over the App's delivery log: requests deliveries that never arrived, oldest first.
//!
//! A request is stored in the ledger before it is sent, by compare-and-set, so that two workers at once send it once. A
//! pass that GitHub interrupts continues where it stopped.

use super::log_pass::LogPass;
use crate::app::context::Context;
use crate::app::records::{self, RecoveryRecord, RedeliveryRecord};
use crate::app::repositories::pins;
use crate::domain::ids::{DeliveryId, RepositoryId};
use crate::domain::recovery::log::{
    Asked, Attempt, Attempts, REDELIVERABLE_FOR, Step, covers_until, next_step, reads_back_to,
};
use crate::ports::Failure;
use crate::ports::github::{LoggedDelivery, Redelivery};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeSet;

/// Maximum number of pages of one pass: 100,000 attempts.
const MAX_PAGES: u32 = 1000;
/// Number of consecutive requests without an answer that end a pass.
const MAX_UNANSWERED: u32 = 3;

/// The choices of an operator for one pass.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogOptions {
    /// The earliest time; by default the newest point that a complete pass covered.
    pub since: Option<DateTime<Utc>>,
    /// Requests nothing and stores nothing.
    pub is_dry: bool,
}

/// The result of a pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LogReport {
    /// Attempts in the log that the pass read.
    pub attempts: usize,
    /// Deliveries that never arrived.
    pub missed: usize,
    /// Redeliveries that were requested, or would be in a dry run.
    pub asked: usize,
    /// Redeliveries that were requested before and are on their way, or wait for their next request.
    pub in_flight: usize,
    /// Deliveries that GitHub cannot send any more.
    pub too_old: usize,
    /// Deliveries that jitgate rejected and would reject again, or that failed after every request.
    pub given_up: usize,
    /// The time to which the pass read.
    pub since: Option<DateTime<Utc>>,
}

/// Makes a pass. `progress` receives the report so far after each page and each request.
///
/// # Errors
/// The failure of GitHub or of the store. The next call continues.
pub async fn pass(
    ctx: &Context,
    options: LogOptions,
    progress: &(dyn Fn(&LogReport) + Sync),
) -> Result<LogReport, Failure> {
    let now = ctx.clock.now();
    let is_by_hand = options.since.is_some() || options.is_dry;
    let unfinished = if is_by_hand {
        None
    } else {
        ctx.recovery.take_log_pass(now)
    };
    let mut pass = match unfinished {
        Some(pass) => pass,
        None => {
            let state: Option<RecoveryRecord> = records::load(ctx.ledger.as_ref(), RecoveryRecord::LOG).await?;
            let covered = state.and_then(|state| state.covered_until);
            if covered.is_some_and(|covered| now - covered > REDELIVERABLE_FOR) {
                tracing::warn!(
                    "GitHub cannot redeliver what it sent more than three days ago; polling finds jobs that are left"
                );
            }
            LogPass::begin(now, reads_back_to(options.since, covered, now))
        }
    };
    let outcome = continue_pass(ctx, &mut pass, options, progress).await;
    if outcome.is_err() && !is_by_hand {
        ctx.recovery.keep_log_pass(pass);
    }
    outcome
}

async fn continue_pass(
    ctx: &Context,
    pass: &mut LogPass,
    options: LogOptions,
    progress: &(dyn Fn(&LogReport) + Sync),
) -> Result<LogReport, Failure> {
    read(ctx, pass, progress).await?;
    let mut report = LogReport {
        attempts: pass.attempts,
        since: Some(pass.back_to),
        ..LogReport::default()
    };
    let mut steps = Vec::new();
    let mut due = Vec::new();
    for (guid, attempts) in pass.log.failed() {
        let is_known = ctx.queue.delivery(&guid).await?.is_some();
        let before: Option<RedeliveryRecord> = records::load(ctx.ledger.as_ref(), guid.as_str()).await?;
        let before = before.map(|record| record.0);
        let step = next_step(&attempts, is_known, before.as_ref(), ctx.clock.now());
        report.count(step);
        steps.push((attempts.first_at, step));
        if step == Step::Ask {
            due.push((guid, attempts, before));
        }
    }
    request_due(ctx, due, options.is_dry, &mut report, progress).await?;
    if !options.is_dry && options.since.is_none() {
        let covered = covers_until(pass.began, steps);
        cover(ctx, covered).await?;
    }
    if report.asked + report.too_old + report.given_up > 0 && !options.is_dry {
        tracing::warn!(
            missed = report.missed,
            asked = report.asked,
            too_old = report.too_old,
            given_up = report.given_up,
            "{} deliveries never arrived; {} were requested again",
            report.missed,
            report.asked
        );
    }
    Ok(report)
}

/// Requests the deliveries that are due, or counts them in a dry run.
async fn request_due(
    ctx: &Context,
    due: Vec<(DeliveryId, Attempts, Option<Asked>)>,
    is_dry: bool,
    report: &mut LogReport,
    progress: &(dyn Fn(&LogReport) + Sync),
) -> Result<(), Failure> {
    let mut unanswered = 0;
    for (guid, attempts, before) in due {
        let asked = if is_dry {
            Answer::Accepted
        } else {
            ask(ctx, &guid, &attempts, before).await?
        };
        unanswered = if asked == Answer::Unknown { unanswered + 1 } else { 0 };
        match asked {
            Answer::Accepted => report.asked += 1,
            Answer::Refused => report.too_old += 1,
            Answer::Elsewhere | Answer::Unknown => report.in_flight += 1,
        }
        progress(report);
        if unanswered == MAX_UNANSWERED {
            return Err(Failure::Transient(
                "GitHub does not answer requests for redeliveries".to_owned(),
            ));
        }
    }
    Ok(())
}

impl LogReport {
    fn count(&mut self, step: Step) {
        match step {
            Step::Arrived => return,
            Step::Ask => {}
            Step::Rejected | Step::GivenUp => self.given_up += 1,
            Step::TooOld => self.too_old += 1,
            Step::InFlight | Step::Later(_) => self.in_flight += 1,
        }
        self.missed += 1;
    }
}

async fn read(ctx: &Context, pass: &mut LogPass, progress: &(dyn Fn(&LogReport) + Sync)) -> Result<(), Failure> {
    let ours = repository_ids(ctx).await?;
    while !pass.is_read {
        let page = ctx.github.deliveries(pass.cursor.as_deref()).await?;
        let is_past = page
            .deliveries
            .iter()
            .any(|attempt| attempt.delivered_at < pass.back_to);
        for attempt in page.deliveries {
            if attempt.delivered_at >= pass.back_to {
                pass.attempts += 1;
                if concerns_us(&attempt, ours.as_ref()) {
                    pass.log.add(&of_log(attempt));
                }
            }
        }
        pass.pages += 1;
        pass.cursor = page.next;
        pass.is_read = is_past || pass.cursor.is_none() || pass.pages >= MAX_PAGES;
        progress(&LogReport {
            attempts: pass.attempts,
            ..LogReport::default()
        });
    }
    Ok(())
}

fn of_log(attempt: LoggedDelivery) -> Attempt {
    Attempt {
        id: attempt.id,
        guid: attempt.guid,
        at: attempt.delivered_at,
        status: attempt.status_code,
    }
}

/// Returns the ids of the configured repositories, or none if one is not known yet.
async fn repository_ids(ctx: &Context) -> Result<Option<BTreeSet<RepositoryId>>, Failure> {
    let mut ids = BTreeSet::new();
    for repository in &ctx.settings.repositories {
        let Some(id) = pins::pinned(ctx.ledger.as_ref(), repository).await?.id else {
            return Ok(None);
        };
        ids.insert(id);
    }
    Ok(Some(ids))
}

fn concerns_us(attempt: &LoggedDelivery, ours: Option<&BTreeSet<RepositoryId>>) -> bool {
    let is_ours = |id| ours.is_none_or(|ours| ours.contains(&id));
    attempt.event == "workflow_job" && attempt.repository_id.is_none_or(is_ours)
}

/// The answer to a request for a redelivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Accepted,
    /// GitHub does not have it any more.
    Refused,
    /// Another worker requests it.
    Elsewhere,
    /// GitHub did not answer, so it may or may not have accepted it.
    Unknown,
}

async fn ask(ctx: &Context, guid: &DeliveryId, attempts: &Attempts, before: Option<Asked>) -> Result<Answer, Failure> {
    let request = Asked::again(before.as_ref(), attempts.newest_id, ctx.clock.now());
    if !replace(ctx, guid, before, request).await? {
        return Ok(Answer::Elsewhere);
    }
    match ctx.github.redeliver(attempts.newest_id).await {
        Ok(Redelivery::Accepted) => {
            let accepted = Asked {
                accepted: true,
                ..request
            };
            replace(ctx, guid, Some(request), accepted).await?;
            tracing::info!(delivery = %guid, "requested delivery {guid} again, which never arrived");
            Ok(Answer::Accepted)
        }
        Ok(Redelivery::Impossible) => {
            let refused = Asked {
                refused: true,
                ..request
            };
            replace(ctx, guid, Some(request), refused).await?;
            tracing::warn!(delivery = %guid, "GitHub cannot send delivery {guid} again");
            Ok(Answer::Refused)
        }
        Err(Failure::Transient(why)) => {
            tracing::debug!(delivery = %guid, why, "GitHub did not answer the request for delivery {guid}");
            Ok(Answer::Unknown)
        }
        // A rate limit or a refusal: GitHub did nothing.
        Err(failure) => {
            match before {
                Some(before) => drop(replace(ctx, guid, Some(request), before).await?),
                None => records::remove::<RedeliveryRecord>(ctx.ledger.as_ref(), guid.as_str()).await?,
            }
            Err(failure)
        }
    }
}

/// Replaces the record of a request. Returns false if another worker has changed it.
async fn replace(ctx: &Context, guid: &DeliveryId, from: Option<Asked>, to: Asked) -> Result<bool, Failure> {
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    records::update(
        ledger,
        guid.as_str(),
        retention,
        |record: &mut Option<RedeliveryRecord>| {
            let is_as_seen = record.as_ref().map(|record| record.0) == from;
            if is_as_seen {
                *record = Some(RedeliveryRecord(to));
            }
            is_as_seen
        },
    )
    .await
}

async fn cover(ctx: &Context, until: DateTime<Utc>) -> Result<(), Failure> {
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    records::update(
        ledger,
        RecoveryRecord::LOG,
        retention,
        |record: &mut Option<RecoveryRecord>| {
            record.get_or_insert_default().covered_until = Some(until);
        },
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;

    #[test]
    fn only_deliveries_about_jobs_of_our_repositories_concern_us() {
        let attempt = LoggedDelivery {
            id: 1,
            guid: DeliveryId::parse("guid-1").expect("an id"),
            delivered_at: at(0),
            redelivery: false,
            status: "OK".to_owned(),
            status_code: 502,
            event: "workflow_job".to_owned(),
            action: None,
            repository_id: Some(RepositoryId(7)),
            installation_id: None,
        };
        let (ours, others) = (BTreeSet::from([RepositoryId(7)]), BTreeSet::from([RepositoryId(8)]));
        assert!(concerns_us(&attempt, Some(&ours)) && concerns_us(&attempt, None));
        assert!(!concerns_us(&attempt, Some(&others)));
        let without_a_repository = LoggedDelivery {
            repository_id: None,
            ..attempt.clone()
        };
        assert!(concerns_us(&without_a_repository, Some(&others)));
        let push = LoggedDelivery {
            event: "push".to_owned(),
            ..attempt
        };
        assert!(!concerns_us(&push, Some(&ours)));
    }
}
