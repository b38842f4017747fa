//! Admission: the checks, in addition to trust, immediately before a runner is created.

use super::event::{Action, Job, JobEvent, JobStatus};
use super::facts::{Cause, Commit, Fact, Facts, LedgerFacts, Pull, Run, User};
use super::own_rerun::{self, OwnRerun};
use super::policy::{AllowedBot, CommitsBy, Permission, TrustPolicy};
use super::reason::Reason;
use super::trust::accepted;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The verdict on the creation of a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdmissionVerdict {
    /// A runner is created.
    Admit,
    /// No runner is created, for the given reasons.
    Deny,
    /// No runner is created now; the question is asked again later.
    Hold,
    /// The event does not ask for a runner.
    None,
}

impl AdmissionVerdict {
    /// Returns the name used in records and metrics.
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

/// The verdict with its reasons. `Deny` and `Hold` have at least one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    pub verdict: AdmissionVerdict,
    pub reasons: Vec<Reason>,
}

impl Admission {
    /// Returns a verdict with reasons.
    #[must_use]
    pub fn new(verdict: AdmissionVerdict, reasons: Vec<Reason>) -> Self {
        Self { verdict, reasons }
    }
}

/// Age at which a queued job is stale. GitHub fails a queued job after 24 h; one hour is added for clock differences.
pub const MAX_QUEUE_AGE: TimeDelta = TimeDelta::hours(25);

/// Number of attempts before "no such run" or "no such job" is believed. They take about 15 s, because GitHub's
/// replicas can lag behind its webhooks.
pub const MIN_GONE_ATTEMPTS: u32 = 4;

/// Time after a delivery in which an absence or an older state at GitHub decides nothing, because GitHub's lists can
/// lag behind its webhooks by seconds.
pub const SETTLING_DELAY: TimeDelta = TimeDelta::seconds(6);

/// Returns true if the event asks for a runner and the job neither has nor had one. GitHub sends `queued` with status
/// `waiting` before a job can run.
#[must_use]
pub fn asks_for_a_runner(event: &JobEvent, ledger: &LedgerFacts) -> bool {
    let asks = event.action == Action::Queued && event.job.status != JobStatus::Waiting;
    asks && !ledger.served && ledger.taken_by.is_none()
}

/// Returns true if the job was queued for so long that GitHub itself has failed it. GitHub sets `started_at` although
/// the job is still queued.
#[must_use]
pub fn is_stale(job: &Job, now: DateTime<Utc>) -> bool {
    job.created_at
        .or(job.started_at)
        .is_some_and(|at| now - at > MAX_QUEUE_AGE)
}

/// Returns the refusals that need no further question to GitHub.
#[must_use]
pub fn refusals_at_hand(event: &JobEvent, facts: &Facts, policy: &TrustPolicy, now: DateTime<Utc>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let job = &event.job;
    let run = facts.run.known();
    let superseded = run.is_some_and(|run| run.run_attempt > job.run_attempt);
    let waits = job.status == JobStatus::Queued && job.conclusion.is_none() && !facts.ledger.overtaken;
    if superseded || !(waits || facts.ledger.at_gate) {
        reasons.push(Reason::JobNotQueued);
    }
    if !facts.ledger.at_gate && is_stale(job, now) {
        reasons.push(Reason::Stale);
    }
    // The run, unlike a payload, cannot be forged.
    if run.is_some_and(|run| run.private != Some(true)) && !policy.public_repositories {
        reasons.push(Reason::PublicRepository);
    }
    if let Some((run, pulls)) = run.zip(facts.pulls.known()) {
        let judged = accepted(pulls, run, policy);
        if !judged.iter().any(|pull| pull.open) {
            reasons.push(Reason::PullRequestClosed);
        }
        if job.head_sha != run.head_sha || !judged.iter().any(|pull| pull.head_sha == job.head_sha) {
            reasons.push(Reason::HeadMoved);
        }
        let presser = run.triggering_actor.as_ref();
        let is_bot = presser.is_none_or(|user| user.is_bot() && policy.allowed_bot(user, run).is_none());
        // A re-run by jitgate itself is no bot's wish. Until it is known to be none, `checks` holds the job.
        if is_bot && own_rerun::of(facts) == OwnRerun::No {
            reasons.push(Reason::BotTriggeringActor);
        }
    }
    reasons
}

/// Returns true if the job still waits for a runner, according to the refusals at hand. Otherwise cancelling its run
/// could only affect jobs that run, or a later attempt.
#[must_use]
pub fn still_waits(refusals: &[Reason]) -> bool {
    !refusals
        .iter()
        .any(|reason| matches!(reason, Reason::JobNotQueued | Reason::Stale))
}

/// The state of one condition of admission.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Check {
    Met,
    Refused(Reason),
    /// GitHub knows no such user. One such answer is not final.
    Absent(Reason),
    Open(Cause),
    Unasked(Missing),
}

/// A fact that admission has to ask GitHub for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The permission of this user.
    Permission(String),
    /// The commits of this pull request.
    Commits(u64),
    /// The login of the bot of jitgate's own App.
    OwnBot,
}

/// Returns the next missing fact, unless a condition already refuses or is open.
#[must_use]
pub fn next_missing(facts: &Facts, policy: &TrustPolicy) -> Option<Missing> {
    for check in checks(facts, policy) {
        match check {
            Check::Met => {}
            Check::Refused(_) | Check::Absent(_) | Check::Open(_) => return None,
            Check::Unasked(missing) => return Some(missing),
        }
    }
    None
}

/// Returns the conditions on the people behind the run and on the commits.
fn checks(facts: &Facts, policy: &TrustPolicy) -> Vec<Check> {
    let (Some(run), Some(pulls)) = (facts.run.known(), facts.pulls.known()) else {
        return Vec::new();
    };
    let judged = accepted(pulls, run, policy);
    let mut checks = author_checks(facts, policy, run, &judged);
    let actor = run.actor.as_ref();
    checks.push(permission_check(facts, policy, run, Reason::ActorPermission, actor));
    checks.push(presser_check(facts, policy, run));
    checks.extend(commit_checks(facts, policy, run, &judged));
    checks
}

/// Returns the condition on the authors. One pull request whose author has permission is sufficient; other pull
/// requests for the same commit change nothing.
fn author_checks(facts: &Facts, policy: &TrustPolicy, run: &Run, judged: &[&Pull]) -> Vec<Check> {
    let author_check =
        |pull: &&Pull| permission_check(facts, policy, run, Reason::AuthorPermission, pull.author.as_ref());
    let mut checks: Vec<Check> = judged.iter().map(author_check).collect();
    let tests: [fn(&Check) -> bool; 3] = [
        |check| *check == Check::Met,
        |check| matches!(check, Check::Unasked(_)),
        |check| matches!(check, Check::Open(_) | Check::Absent(_)),
    ];
    // The best state of all pull requests counts.
    if let Some(best) = tests.into_iter().find(|test| checks.iter().any(test)) {
        checks.retain(best);
        checks.truncate(1);
    }
    checks
}

/// Returns the condition on the user who started the attempt.
fn presser_check(facts: &Facts, policy: &TrustPolicy, run: &Run) -> Check {
    let presser = run.triggering_actor.as_ref();
    match own_rerun::of(facts) {
        OwnRerun::Yes => Check::Met,
        OwnRerun::Unasked => Check::Unasked(Missing::OwnBot),
        OwnRerun::Open(cause) => Check::Open(cause),
        OwnRerun::No => permission_check(facts, policy, run, Reason::TriggeringActorPermission, presser),
    }
}

fn permission_check(
    facts: &Facts,
    policy: &TrustPolicy,
    run: &Run,
    too_little: fn(Permission) -> Reason,
    user: Option<&User>,
) -> Check {
    if user.is_some_and(|user| policy.allowed_bot(user, run).is_some()) {
        return Check::Met;
    }
    match (facts.permission_of(user), user) {
        (Fact::Known(permission), _) if policy.suffices(permission) => Check::Met,
        (Fact::Known(permission), _) => Check::Refused(too_little(permission)),
        (Fact::Failed(cause), _) => Check::Open(cause),
        (Fact::NotAsked, Some(user)) => Check::Unasked(Missing::Permission(user.login.clone())),
        (Fact::Gone, _) => Check::Absent(too_little(Permission::None)),
        (Fact::NotAsked, None) => Check::Refused(too_little(Permission::None)),
    }
}

/// Returns the conditions on the commits. They matter if a bot is exempt, because a bot can carry the commits of
/// others, and if signatures are required.
fn commit_checks(facts: &Facts, policy: &TrustPolicy, run: &Run, judged: &[&Pull]) -> Vec<Check> {
    let authors = judged.iter().filter_map(|pull| pull.author.as_ref());
    let involved = [&run.actor, &run.triggering_actor].into_iter().flatten().chain(authors);
    let bots: Vec<&AllowedBot> = involved.filter_map(|user| policy.allowed_bot(user, run)).collect();
    let Some(pull) = judged
        .first()
        .filter(|_| policy.require_verified_commits || !bots.is_empty())
    else {
        return Vec::new();
    };
    let commits = match &facts.commits {
        Fact::NotAsked => return vec![Check::Unasked(Missing::Commits(pull.number))],
        Fact::Failed(cause) => return vec![Check::Open(*cause)],
        Fact::Gone => return vec![Check::Refused(Reason::CommitsUnknown)],
        Fact::Known(commits) => commits,
    };
    if !commits.iter().any(|commit| commit.sha == run.head_sha) {
        // The list belongs to a different head.
        return vec![Check::Refused(Reason::CommitsUnknown)];
    }
    let mut checks = Vec::new();
    if policy.require_verified_commits && !commits.iter().all(|commit| commit.verified) {
        checks.push(Check::Refused(Reason::UnverifiedCommit));
    }
    for bot in bots {
        checks.extend(
            commits
                .iter()
                .map(|commit| commit_author_check(facts, policy, bot, commit)),
        );
    }
    checks
}

fn commit_author_check(facts: &Facts, policy: &TrustPolicy, bot: &AllowedBot, commit: &Commit) -> Check {
    let author = commit.author.as_ref();
    if author.is_some_and(|author| author.is_bot() && author.login.eq_ignore_ascii_case(&bot.login)) {
        return Check::Met;
    }
    match (facts.permission_of(author), author) {
        _ if bot.commits_by == CommitsBy::Bot => Check::Refused(Reason::CommitAuthor),
        (_, Some(author)) if author.is_bot() => Check::Refused(Reason::CommitAuthor),
        (Fact::Known(permission), Some(_)) if policy.suffices(permission) => Check::Met,
        (Fact::NotAsked, Some(author)) => Check::Unasked(Missing::Permission(author.login.clone())),
        (Fact::Failed(cause), Some(_)) => Check::Open(cause),
        _ => Check::Refused(Reason::CommitAuthor),
    }
}

/// Judges the admission of a trusted job with our labels, before a runner is created and again at the job gate.
/// Refusals take precedence over holds.
#[must_use]
pub fn judge(event: &JobEvent, facts: &Facts, policy: &TrustPolicy, now: DateTime<Utc>) -> Admission {
    let mut deny = refusals_at_hand(event, facts, policy, now);
    let mut hold = Vec::new();
    if facts.ledger.quarantined && !facts.ledger.at_gate {
        hold.push(Reason::Quarantined);
    }
    if facts.ledger.at_capacity && !facts.ledger.at_gate {
        hold.push(Reason::AtCapacity);
    }
    if facts
        .run
        .known()
        .is_some_and(|run| run.run_attempt < event.job.run_attempt)
    {
        // GitHub does not show the triggering actor of this attempt yet.
        hold.push(Reason::GitHubUnavailable);
    }
    let mut unasked = false;
    for check in checks(facts, policy) {
        match check {
            Check::Met => {}
            Check::Absent(reason) if facts.ledger.attempts < MIN_GONE_ATTEMPTS => hold.push(reason),
            Check::Refused(reason) | Check::Absent(reason) => deny.push(reason),
            Check::Open(cause) => hold.push(cause.into()),
            Check::Unasked(_) => unasked = true,
        }
    }
    let expected = if facts.ledger.at_gate {
        JobStatus::InProgress
    } else {
        JobStatus::Queued
    };
    match &facts.live_job {
        Fact::Known(live) if live.status == expected => {}
        Fact::Known(_) => deny.push(Reason::JobNotQueued),
        Fact::Gone if facts.ledger.attempts >= MIN_GONE_ATTEMPTS => deny.push(Reason::JobGone),
        Fact::Gone => hold.push(Reason::JobGone),
        Fact::Failed(cause) => hold.push((*cause).into()),
        Fact::NotAsked => unasked = true,
    }
    if facts.ledger.catching_up && deny.iter().all(Reason::may_be_outdated) {
        hold.append(&mut deny);
    }
    if unasked && deny.is_empty() && hold.is_empty() {
        // Otherwise the fact was not asked for because another condition already refuses or holds.
        hold.push(Reason::GitHubUnavailable);
    }
    if !deny.is_empty() {
        Admission::new(AdmissionVerdict::Deny, deduplicated(deny))
    } else if !hold.is_empty() {
        Admission::new(AdmissionVerdict::Hold, deduplicated(hold))
    } else {
        Admission::new(AdmissionVerdict::Admit, Vec::new())
    }
}

fn deduplicated(reasons: Vec<Reason>) -> Vec<Reason> {
    let mut seen = HashSet::new();
    reasons
        .into_iter()
        .filter(|reason| seen.insert(reason.clone()))
        .collect()
}
