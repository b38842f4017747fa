//! The next question to GitHub. Only the facts that a decision needs are asked for.
//!
//! The caller asks, stores the answer and calls again until no question is left. Each question costs at most one API
//! call; `docs/ARCHITECTURE.md` counts them.

use super::admission::{self, Missing, asks_for_a_runner, refusals_at_hand};
use super::event::{Action, JobEvent};
use super::facts::{Fact, Facts, User};
use super::labels::LabelsClass;
use super::own_rerun::{self, OwnRerun};
use super::policy::Policy;
use super::routing::{self, RoutingState, RoutingVerdict, Situation};
use super::trust::{self, Trust, pulls_at_head};
use chrono::{DateTime, Utc};

/// A question to GitHub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    Run,
    /// The pull requests of the run's head.
    Pulls {
        owner: String,
        branch: String,
    },
    /// Do these pull requests change a file under `.github/`?
    ChangedFiles(Vec<u64>),
    /// Was the base of one of these pull requests ever changed?
    Retargeted(Vec<u64>),
    /// The commits of this pull request.
    Commits(u64),
    Variable,
    /// The permission of this user.
    Permission(String),
    /// The live record of the job.
    LiveJob,
    /// The login of the bot of jitgate's own App.
    OwnBot,
}

/// Returns the next question, or `None` if the decision can be made.
#[must_use]
pub fn next(event: &JobEvent, facts: &Facts, policy: &Policy, now: DateTime<Utc>) -> Option<Question> {
    if facts.ledger.admitted.is_some() {
        return None;
    }
    if concerns_us(event, facts, policy) && facts.live_job.is_unasked() {
        return Some(Question::LiveJob);
    }
    let mismatch = facts.live_job.known().is_some_and(|live| !live.agrees_with(&event.job));
    if event.job.was_skipped() || mismatch || facts.show_another_repository(event) {
        return None;
    }
    if facts.run.is_unasked() {
        return Some(Question::Run);
    }
    let run = facts.run.known()?;
    let class = policy.labels.classify(&event.job);
    let refused = !trust::reasons_of_the_run(run, &policy.trust).is_empty();
    // A refusal by the run alone needs no pull request, unless the job could reach us and its author becomes
    // accountable.
    let pulls_matter = run.event == "pull_request" && (!refused || class.could_reach_us());
    if pulls_matter
        && facts.pulls.is_unasked()
        && let Some((owner, branch)) = run
            .head_repository
            .as_ref()
            .map(|head| head.owner.clone())
            .zip(run.head_branch.clone())
    {
        return Some(Question::Pulls { owner, branch });
    }
    if facts.variable.is_unasked() {
        return Some(Question::Variable);
    }
    let trust = trust::judge(facts, &policy.trust).trust;
    match trust {
        Trust::Ineligible | Trust::Unknown => None,
        Trust::Untrusted => next_for_untrusted(class, facts, policy),
        Trust::Trusted if class == LabelsClass::Pool => next_for_admission(event, facts, policy, now),
        // An attempt that jitgate started accuses no one.
        Trust::Trusted if own_rerun::of(facts) == OwnRerun::Unasked => Some(Question::OwnBot),
        Trust::Trusted => {
            let verdict = routing::judge(&Situation::of(event, facts, policy, trust));
            if verdict != RoutingVerdict::NotRouted {
                return None;
            }
            // Only GitHub's live record of the job is evidence against a person.
            let live = facts.live_job.is_unasked().then_some(Question::LiveJob);
            live.or_else(|| unasked_author(facts, policy))
        }
    }
}

/// Returns true if the job could reach one of our runners or has one. Its decision then depends on GitHub's live record
/// of it.
fn concerns_us(event: &JobEvent, facts: &Facts, policy: &Policy) -> bool {
    let over = event.action == Action::Completed && facts.ledger.served;
    let could_reach_us = !event.job.was_skipped() && policy.labels.classify(&event.job).could_reach_us();
    could_reach_us || over || facts.ledger.taken_by.is_some()
}

fn next_for_untrusted(class: LabelsClass, facts: &Facts, policy: &Policy) -> Option<Question> {
    let run = facts.run.known()?;
    let by_the_run = !trust::reasons_of_the_run(run, &policy.trust).is_empty();
    let their_own = trust::is_their_own(facts, &policy.trust);
    let concerns_us = class.could_reach_us() || facts.ledger.taken_by.is_some();
    if !concerns_us || (!their_own && facts.ledger.catching_up) {
        return None;
    }
    if trust::may_accuse(facts, &policy.trust).is_none() {
        return unasked_actor(facts);
    }
    if !trust::pulls_are_evidence(facts, &policy.trust) {
        return None;
    }
    next_for_routing_rule(class, facts, policy).or_else(|| {
        let broken = facts.changes_workflows == Fact::Known(false) && facts.retargeted.known().is_some();
        // A permission can contradict only an association, and it matters only if the verdict would switch routing off.
        let accuses = !by_the_run && (broken || policy.rollback_on_attempt);
        accuses.then(|| unasked_author(facts, policy)).flatten()
    })
}

/// Returns the question that distinguishes a broken routing rule from an attempt.
fn next_for_routing_rule(class: LabelsClass, facts: &Facts, policy: &Policy) -> Option<Question> {
    let (run, pulls) = (facts.run.known()?, facts.pulls.known()?);
    let could_apply = class == LabelsClass::Pool
        && policy.routing.routes(&run.path)
        && routing::all_bases_are_routed(facts, policy) == Some(true);
    if !could_apply {
        return None;
    }
    let numbers = || pulls_at_head(pulls, run).iter().map(|pull| pull.number).collect();
    match facts.changes_workflows {
        Fact::NotAsked => Some(Question::ChangedFiles(numbers())),
        Fact::Known(false) if facts.retargeted.is_unasked() => Some(Question::Retargeted(numbers())),
        _ => None,
    }
}

fn next_for_admission(event: &JobEvent, facts: &Facts, policy: &Policy, now: DateTime<Utc>) -> Option<Question> {
    let ledger = &facts.ledger;
    if !ledger.at_gate {
        if !asks_for_a_runner(event, ledger) || ledger.quarantined || ledger.at_capacity {
            return None;
        }
        if routing::state(facts) == RoutingState::Off && ledger.rolled_back {
            return None;
        }
    }
    if !refusals_at_hand(event, facts, &policy.trust, now).is_empty() {
        return None;
    }
    admission::next_missing(facts, &policy.trust).map(|missing| match missing {
        Missing::Permission(login) => Question::Permission(login),
        Missing::Commits(number) => Question::Commits(number),
        Missing::OwnBot => Question::OwnBot,
    })
}

fn unasked_actor(facts: &Facts) -> Option<Question> {
    let run = facts.run.known()?;
    let actors = [&run.actor, &run.triggering_actor].into_iter().flatten();
    ask_about(actors, facts)
}

fn unasked_author(facts: &Facts, policy: &Policy) -> Option<Question> {
    let (run, pulls) = (facts.run.known()?, facts.pulls.known()?);
    let judged = trust::accountable_pulls(pulls, run, &policy.trust);
    ask_about(judged.into_iter().filter_map(|pull| pull.author.as_ref()), facts)
}

fn ask_about<'a>(mut users: impl Iterator<Item = &'a User>, facts: &Facts) -> Option<Question> {
    let unasked = users.find(|user| !facts.permissions.contains_key(&user.login))?;
    Some(Question::Permission(unasked.login.clone()))
}
