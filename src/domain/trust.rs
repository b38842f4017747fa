//! The trust verdict on the code that a job runs. Only one of the four verdicts permits a runner.

use super::facts::{Cause, Fact, Facts, Pull, Run, User};
use super::policy::{AllowedBot, Permission, TrustPolicy};
use super::reason::Reason;
use serde::{Deserialize, Serialize};

/// The result of the trust rule for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The rule holds.
    Trusted,
    /// The rule fails.
    Untrusted,
    /// The run is not a `pull_request` run.
    Ineligible,
    /// GitHub did not answer.
    Unknown,
}

impl Trust {
    /// Returns the name used in records and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Untrusted => "untrusted",
            Self::Ineligible => "ineligible",
            Self::Unknown => "unknown",
        }
    }
}

/// A trust verdict with its pull request and reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub trust: Trust,
    /// The judged pull request, if one was found.
    pub pull_request: Option<u64>,
    /// The reasons. They are empty for [`Trust::Trusted`] and for an event that is not judged.
    pub reasons: Vec<Reason>,
}

/// Applies the trust rule to the known facts. A fact that was not asked for counts as missing, so the verdict is
/// [`Trust::Unknown`] until [`super::question::next`] returns no question.
#[must_use]
pub fn judge(facts: &Facts, policy: &TrustPolicy) -> Judgement {
    let verdict = |trust, reasons| Judgement {
        trust,
        pull_request: None,
        reasons,
    };
    let unknown = |reason| verdict(Trust::Unknown, vec![reason]);
    let run = match &facts.run {
        Fact::Known(run) => run,
        Fact::Gone => return unknown(Reason::RunGone),
        Fact::NotAsked => return unknown(Reason::GitHubUnavailable),
        Fact::Failed(cause) => return unknown((*cause).into()),
    };
    if run.event != "pull_request" {
        return verdict(Trust::Ineligible, vec![Reason::Event(run.event.clone())]);
    }
    let mut reasons = reasons_of_the_run(run, policy);
    let pulls: &[Pull] = match &facts.pulls {
        Fact::Known(pulls) => pulls,
        // The run is parked, so its content has no effect now.
        Fact::Failed(cause @ Cause::OverBudget) => return unknown((*cause).into()),
        // The run alone is sufficient for a refusal.
        Fact::NotAsked | Fact::Failed(_) if !reasons.is_empty() => return verdict(Trust::Untrusted, reasons),
        // Without a branch, no pull request can be looked up.
        _ if run.head_branch.is_none() => &[],
        Fact::Gone => &[],
        Fact::NotAsked => return unknown(Reason::GitHubUnavailable),
        Fact::Failed(cause) => return unknown((*cause).into()),
    };
    let accepted = accepted(pulls, run, policy);
    if let Some(pull) = accepted.first() {
        return Judgement {
            trust: if reasons.is_empty() {
                Trust::Trusted
            } else {
                Trust::Untrusted
            },
            pull_request: Some(pull.number),
            reasons,
        };
    }
    let refused = candidates(pulls.iter(), run);
    if refused.is_empty() {
        reasons.push(Reason::NoPullRequest);
    }
    for pull in &refused {
        let reason = Reason::Association(pull.author_association.clone());
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    Judgement {
        trust: Trust::Untrusted,
        pull_request: refused.first().map(|pull| pull.number),
        reasons,
    }
}

/// Returns the refusals that follow from the run alone.
#[must_use]
pub fn reasons_of_the_run(run: &Run, policy: &TrustPolicy) -> Vec<Reason> {
    let mut reasons = Vec::new();
    match &run.head_repository {
        None => reasons.push(Reason::HeadRepositoryGone),
        Some(head) if head.id != run.repository_id => reasons.push(Reason::Fork),
        Some(_) => {}
    }
    // GitHub shows a deleted account as null. It is treated like a bot.
    if run
        .actor
        .as_ref()
        .is_none_or(|actor| actor.is_bot() && policy.allowed_bot(actor, run).is_none())
    {
        reasons.push(Reason::BotActor);
    }
    reasons
}

/// Returns the accepted pull requests of the run: those by accepted authors whose head is the run's commit, open ones
/// first; otherwise those whose head has moved, which admission refuses. Other pull requests do not count, because
/// anyone can open one on a branch of the repository.
#[must_use]
pub fn accepted<'a>(pulls: &'a [Pull], run: &Run, policy: &TrustPolicy) -> Vec<&'a Pull> {
    candidates(pulls.iter().filter(|pull| policy.accepts(pull)), run)
}

/// Returns the pull requests whose authors must confirm an accusation by their permissions: all accepted ones at the
/// run's commit, including closed ones; otherwise the judged ones.
#[must_use]
pub fn accountable_pulls<'a>(pulls: &'a [Pull], run: &Run, policy: &TrustPolicy) -> Vec<&'a Pull> {
    let mut here = pulls_at_head(pulls, run);
    here.retain(|pull| policy.accepts(pull));
    if here.is_empty() {
        return judged(pulls, run, policy);
    }
    here
}

/// Returns the accepted pull requests, or the other ones if there are none.
#[must_use]
pub fn judged<'a>(pulls: &'a [Pull], run: &Run, policy: &TrustPolicy) -> Vec<&'a Pull> {
    match accepted(pulls, run, policy) {
        accepted if !accepted.is_empty() => accepted,
        _ => candidates(pulls.iter(), run),
    }
}

/// Returns the pull requests whose head is the run's commit. If there are none, returns those whose head has moved: the
/// open ones, or else the newest.
#[must_use]
pub fn candidates<'a>(pulls: impl Iterator<Item = &'a Pull>, run: &Run) -> Vec<&'a Pull> {
    let pulls: Vec<&Pull> = pulls.collect();
    let those = |test: &dyn Fn(&Pull) -> bool| pulls.iter().copied().filter(|pull| test(pull)).collect::<Vec<_>>();
    let here = |pull: &Pull| pull.head_sha == run.head_sha;
    for found in [
        those(&|pull| here(pull) && pull.open),
        those(&|pull| here(pull)),
        those(&|pull| pull.open),
    ] {
        if !found.is_empty() {
            return found;
        }
    }
    pulls.into_iter().max_by_key(|pull| pull.number).into_iter().collect()
}

/// Returns all pull requests at the run's commit.
#[must_use]
pub fn pulls_at_head<'a>(pulls: &'a [Pull], run: &Run) -> Vec<&'a Pull> {
    pulls.iter().filter(|pull| pull.head_sha == run.head_sha).collect()
}

/// Returns true if the pull requests are evidence for the correct routing of this run. They are not if their head has
/// moved, because their files and authors have changed. They are not if only some of them are accepted either: anyone
/// can open a second pull request on a branch of the repository, and the run does not name its own.
#[must_use]
pub fn pulls_are_evidence(facts: &Facts, policy: &TrustPolicy) -> bool {
    let (Some(run), Some(pulls)) = (facts.run.known(), facts.pulls.known()) else {
        return false;
    };
    let here = pulls_at_head(pulls, run);
    let welcome = here.iter().filter(|pull| policy.accepts(pull)).count();
    // An accepted pull request whose head has moved decides the verdict, so the others are no evidence.
    let of_one_mind = welcome == here.len() || (welcome == 0 && accepted(pulls, run, policy).is_empty());
    !here.is_empty() && (of_one_mind || !reasons_of_the_run(run, policy).is_empty())
}

/// Returns true if the people behind an untrusted run caused the refusal: the run itself shows it, or its actor opened
/// the refused pull request.
#[must_use]
pub fn is_their_own(facts: &Facts, policy: &TrustPolicy) -> bool {
    let Some(run) = facts.run.known() else { return false };
    let refused = facts.pulls.known().map(|pulls| candidates(pulls.iter(), run));
    let mut authors = refused.iter().flatten().filter_map(|pull| pull.author.as_ref());
    !reasons_of_the_run(run, policy).is_empty()
        || authors.any(|author| run.actor.as_ref().is_some_and(|actor| actor.login == author.login))
}

/// Returns true if the people behind an untrusted run are accountable for it, and `None` while that is not known.
/// Anyone can open a pull request on a branch of the repository, so a pull request by another person counts against the
/// actors of a run only if their own permission is not sufficient.
#[must_use]
pub fn may_accuse(facts: &Facts, policy: &TrustPolicy) -> Option<bool> {
    let run = facts.run.known()?;
    if is_their_own(facts, policy) || facts.pulls.known().is_some_and(Vec::is_empty) {
        return Some(true);
    }
    let mut answer = Some(false);
    for user in [&run.actor, &run.triggering_actor] {
        match facts.permission_of(user.as_ref()) {
            Fact::Known(permission) if policy.suffices(permission) => {}
            Fact::Known(_) | Fact::Gone => return Some(true),
            Fact::NotAsked | Fact::Failed(_) => answer = None,
        }
    }
    answer
}

/// Returns true if the association and the permission of every author agree, and `None` while a permission is not
/// known. GitHub shows private members as CONTRIBUTOR and invitees with read access as COLLABORATOR.
#[must_use]
pub fn association_agrees(facts: &Facts, policy: &TrustPolicy) -> Option<bool> {
    let (run, pulls) = (facts.run.known()?, facts.pulls.known()?);
    let answers = accountable_pulls(pulls, run, policy).into_iter().map(|pull| {
        let permission = facts.permission_of(pull.author.as_ref());
        permission.known().map(|p| policy.suffices(*p) == policy.accepts(pull))
    });
    let answers: Vec<Option<bool>> = answers.collect();
    if answers.contains(&Some(false)) {
        Some(false)
    } else if answers.contains(&None) {
        None
    } else {
        Some(true)
    }
}

/// Returns true if the verdict is certain enough to switch routing off: it depends on the run itself, or the
/// permissions of the commit's authors confirm their associations. An unknown permission is no confirmation.
#[must_use]
pub fn is_beyond_doubt(facts: &Facts, policy: &TrustPolicy) -> bool {
    let by_the_run = facts
        .run
        .known()
        .is_some_and(|run| !reasons_of_the_run(run, policy).is_empty());
    by_the_run || (pulls_are_evidence(facts, policy) && association_agrees(facts, policy) == Some(true))
}

impl TrustPolicy {
    /// Returns true if the author of a pull request passes the trust rule.
    #[must_use]
    pub fn accepts(&self, pull: &Pull) -> bool {
        let given = &pull.author_association;
        self.associations
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(given))
    }

    /// Returns the entry that exempts a bot from the bot and permission rules in this run. Only runs for branches of
    /// the repository itself that the entry names are exempt.
    #[must_use]
    pub fn allowed_bot(&self, user: &User, run: &Run) -> Option<&AllowedBot> {
        let branch = run.head_branch.as_deref()?;
        let covers = |bot: &&AllowedBot| bot.login.eq_ignore_ascii_case(&user.login) && bot.branches.is_match(branch);
        self.allow_bots.iter().filter(|_| user.is_bot()).find(covers)
    }

    /// Returns true if the permission is sufficient for a runner.
    #[must_use]
    pub fn suffices(&self, permission: Permission) -> bool {
        permission >= self.min_permission
    }
}
