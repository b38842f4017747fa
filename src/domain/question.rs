//! Which fact to ask GitHub for next: the fewest that decide.
//!
//! The caller asks, fills the answer in and comes back until there is nothing left to ask. Every question it can name is
//! one API call at most; `docs/ARCHITECTURE.md` counts them.

use super::admission::{asks_for_a_runner, people, refusals_at_hand};
use super::event::JobEvent;
use super::facts::{Fact, Facts};
use super::labels::LabelsClass;
use super::pin;
use super::policy::Policy;
use super::routing::{self, RoutingState, RoutingVerdict, Situation};
use super::trust::{self, Trust, candidates};
use chrono::{DateTime, Utc};

/// A question to GitHub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// The run of the job.
    Run,
    /// The pull requests of the run's head.
    Pulls {
        /// Owner of the head repository.
        owner: String,
        /// Branch in it.
        branch: String,
    },
    /// Whether these pull requests change anything under `.github/`.
    ChangedFiles(Vec<u64>),
    /// The routing variable.
    Variable,
    /// What a user may do.
    Permission(String),
    /// The job as it is now.
    LiveJob,
}

/// The next question, or none when the decision can be made.
#[must_use]
pub fn next(event: &JobEvent, facts: &Facts, policy: &Policy, now: DateTime<Utc>) -> Option<Question> {
    if event.job.was_skipped() || pin::is_changed(event, facts) {
        return None;
    }
    if facts.run.is_unasked() {
        return Some(Question::Run);
    }
    let run = facts.run.known()?;
    let class = policy.labels.classify(&event.job);
    let refused = !trust::reasons_of_the_run(run, &policy.trust).is_empty();
    // A refusal that the run alone shows needs no pull request, unless somebody is to be held to account for it.
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
        Trust::Untrusted => about_an_untrusted(class, facts, policy),
        Trust::Trusted if class == LabelsClass::Pool => about_admission(event, facts, policy, now),
        Trust::Trusted => {
            let verdict = routing::judge(&Situation::of(event, facts, policy, trust));
            (verdict == RoutingVerdict::NotRouted)
                .then(|| unasked_author(facts))
                .flatten()
        }
    }
}

fn about_an_untrusted(class: LabelsClass, facts: &Facts, policy: &Policy) -> Option<Question> {
    let (run, pulls) = (facts.run.known()?, facts.pulls.known()?);
    let judged = candidates(pulls, run);
    if !class.could_reach_us() || !trust::pulls_are_evidence(facts, &policy.trust) {
        return None;
    }
    if facts.changes_workflows.is_unasked() {
        return Some(Question::ChangedFiles(judged.iter().map(|pull| pull.number).collect()));
    }
    // Only an association can be contradicted by a permission.
    let by_association_alone = trust::reasons_of_the_run(run, &policy.trust).is_empty();
    by_association_alone.then(|| unasked_author(facts)).flatten()
}

fn about_admission(event: &JobEvent, facts: &Facts, policy: &Policy, now: DateTime<Utc>) -> Option<Question> {
    let ledger = &facts.ledger;
    if !asks_for_a_runner(event, ledger) || ledger.quarantined || ledger.at_capacity {
        return None;
    }
    if routing::state(facts) == RoutingState::Off && ledger.rolled_back {
        return None;
    }
    if !refusals_at_hand(event, facts, &policy.trust, now).is_empty() {
        return None;
    }
    for (_, user) in people(facts, &policy.trust) {
        match (facts.permission_of(user), user) {
            (Fact::NotAsked, Some(user)) => return Some(Question::Permission(user.login.clone())),
            (Fact::Known(permission), _) if policy.trust.suffices(permission) => {}
            _ => return None,
        }
    }
    facts.live_job.is_unasked().then_some(Question::LiveJob)
}

fn unasked_author(facts: &Facts) -> Option<Question> {
    let (run, pulls) = (facts.run.known()?, facts.pulls.known()?);
    candidates(pulls, run)
        .into_iter()
        .filter_map(|pull| pull.author.as_ref())
        .find(|author| !facts.permissions.contains_key(&author.login))
        .map(|author| Question::Permission(author.login.clone()))
}
