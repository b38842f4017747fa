//! Admission: asked besides trust, right before a runner is made.

use super::event::{Action, Job, JobEvent, JobStatus};
use super::facts::{Cause, Fact, Facts, LedgerFacts, User};
use super::policy::{Permission, TrustPolicy};
use super::trust::{candidates, cause_code};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Whether a runner is made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdmissionVerdict {
    /// Make one.
    Admit,
    /// Never, for the reasons given.
    Deny,
    /// Not now; asked again later.
    Hold,
    /// Nobody asked for one.
    None,
}

impl AdmissionVerdict {
    /// The word used in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Deny => "deny",
            Self::Hold => "hold",
            Self::None => "none",
        }
    }
}

/// The verdict with its reason codes; `Deny` and `Hold` have at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// The verdict.
    pub verdict: AdmissionVerdict,
    /// Reason codes.
    pub reasons: Vec<String>,
}

impl Admission {
    /// A verdict with reasons.
    #[must_use]
    pub fn new(verdict: AdmissionVerdict, reasons: Vec<String>) -> Self {
        Self { verdict, reasons }
    }
}

/// GitHub fails a job that was queued for 24 h; an hour of grace for its clock and ours.
pub const STALE_AFTER: TimeDelta = TimeDelta::hours(25);

/// How often "no such run", "no such job" or "no such user" is asked again: GitHub's replicas can lag behind its own webhook.
pub const GONE_ATTEMPTS: u32 = 2;

/// Whether the event asks for a runner, and the job neither has nor had one. GitHub sends `queued` with status `waiting`
/// before a job can run.
#[must_use]
pub fn asks_for_a_runner(event: &JobEvent, ledger: &LedgerFacts) -> bool {
    let asks = event.action == Action::Queued && event.job.status != JobStatus::Waiting;
    asks && !ledger.served && ledger.taken_by.is_none()
}

/// Whether the job was queued for so long that GitHub itself has failed it. `started_at` is filled while it is queued.
#[must_use]
pub fn is_stale(job: &Job, now: DateTime<Utc>) -> bool {
    job.created_at
        .or(job.started_at)
        .is_some_and(|at| now - at > STALE_AFTER)
}

/// Refusals that need no further question to GitHub.
#[must_use]
pub fn refusals_at_hand(event: &JobEvent, facts: &Facts, policy: &TrustPolicy, now: DateTime<Utc>) -> Vec<String> {
    let mut reasons = Vec::new();
    let job = &event.job;
    let run = facts.run.known();
    let superseded = run.is_some_and(|run| run.run_attempt > job.run_attempt);
    if facts.ledger.overtaken || superseded || job.status != JobStatus::Queued || job.conclusion.is_some() {
        reasons.push("job-not-queued".to_owned());
    }
    if is_stale(job, now) {
        reasons.push("stale".to_owned());
    }
    if event.is_public && !policy.public_repositories {
        reasons.push("public-repository".to_owned());
    }
    if let Some((run, pulls)) = run.zip(facts.pulls.known()) {
        let judged = candidates(pulls, run);
        if !judged.iter().any(|pull| pull.open) {
            reasons.push("pull-request-closed".to_owned());
        }
        if job.head_sha != run.head_sha || !judged.iter().any(|pull| pull.head_sha == job.head_sha) {
            reasons.push("head-moved".to_owned());
        }
        let presser = run.triggering_actor.as_ref();
        if presser.is_none_or(|user| user.is_bot() && !policy.allows_bot(&user.login)) {
            reasons.push("bot-triggering-actor".to_owned());
        }
    }
    reasons
}

/// Whether the job still waits for a runner, going by the refusals at hand: if not, cancelling its run could only hit
/// jobs that run, or a later attempt.
#[must_use]
pub fn still_waits(refusals: &[String]) -> bool {
    !refusals.iter().any(|r| r == "job-not-queued" || r == "stale")
}

/// Everyone whose permission admission asks for, with the prefix of their reason code; exempt bots are left out.
#[must_use]
pub fn people<'a>(facts: &'a Facts, policy: &TrustPolicy) -> Vec<(&'static str, Option<&'a User>)> {
    let (Some(run), Some(pulls)) = (facts.run.known(), facts.pulls.known()) else {
        return Vec::new();
    };
    let mut people: Vec<(&'static str, Option<&User>)> = candidates(pulls, run)
        .into_iter()
        .map(|pull| ("author-permission", pull.author.as_ref()))
        .collect();
    people.push(("actor-permission", run.actor.as_ref()));
    people.push(("triggering-actor-permission", run.triggering_actor.as_ref()));
    people.retain(|(_, user)| user.is_none_or(|user| !(user.is_bot() && policy.allows_bot(&user.login))));
    people
}

/// Admission of a trusted job whose labels are ours. Refusals win over holding.
#[must_use]
pub fn judge(event: &JobEvent, facts: &Facts, policy: &TrustPolicy, now: DateTime<Utc>) -> Admission {
    let mut deny = refusals_at_hand(event, facts, policy, now);
    let mut hold: Vec<String> = Vec::new();
    if facts.ledger.quarantined {
        hold.push("quarantined".to_owned());
    }
    if facts.ledger.at_capacity {
        hold.push("at-capacity".to_owned());
    }
    if facts
        .run
        .known()
        .is_some_and(|run| run.run_attempt < event.job.run_attempt)
    {
        // Who pressed the button of this attempt is not known there yet.
        hold.push(cause_code(Cause::Unavailable).to_owned());
    }
    let mut unasked = false;
    for (code, user) in people(facts, policy) {
        match facts.permission_of(user) {
            Fact::Known(permission) if policy.suffices(permission) => {}
            Fact::Known(permission) => deny.push(format!("{code}:{}", permission.as_str())),
            Fact::Gone if facts.ledger.attempts >= GONE_ATTEMPTS => {
                deny.push(format!("{code}:{}", Permission::None.as_str()));
            }
            Fact::Gone => hold.push(format!("{code}:{}", Permission::None.as_str())),
            Fact::Failed(cause) => hold.push(cause_code(cause).to_owned()),
            Fact::NotAsked => unasked = true,
        }
    }
    match &facts.live_job {
        Fact::Known(live) if live.status == JobStatus::Queued => {}
        Fact::Known(_) => deny.push("job-not-queued".to_owned()),
        Fact::Gone if facts.ledger.attempts >= GONE_ATTEMPTS => deny.push("job-gone".to_owned()),
        Fact::Gone => hold.push("job-gone".to_owned()),
        Fact::Failed(cause) => hold.push(cause_code(*cause).to_owned()),
        Fact::NotAsked => unasked = true,
    }
    if unasked && deny.is_empty() && hold.is_empty() {
        // Otherwise it was not asked because something else already refuses or holds.
        hold.push(cause_code(Cause::Unavailable).to_owned());
    }
    if !deny.is_empty() {
        Admission::new(AdmissionVerdict::Deny, without_repeats(deny))
    } else if !hold.is_empty() {
        Admission::new(AdmissionVerdict::Hold, without_repeats(hold))
    } else {
        Admission::new(AdmissionVerdict::Admit, Vec::new())
    }
}

fn without_repeats(reasons: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    reasons
        .into_iter()
        .filter(|reason| seen.insert(reason.clone()))
        .collect()
}
