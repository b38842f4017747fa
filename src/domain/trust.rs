//! Trust: whose code a job runs. Four verdicts, and only one of them opens a door.

use super::facts::{Cause, Fact, Facts, Pull, Run, User};
use super::policy::{AllowedBot, Permission, TrustPolicy};
use super::reason::Reason;
use serde::{Deserialize, Serialize};

/// The routing rule's answer for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The rule holds.
    Trusted,
    /// The rule fails.
    Untrusted,
    /// Not a `pull_request` run at all; nobody's fault.
    Ineligible,
    /// GitHub did not say.
    Unknown,
}

impl Trust {
    /// The word used in records and metrics.
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

/// A verdict with its pull request and its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub trust: Trust,
    /// The pull request that was judged, where one was found.
    pub pull_request: Option<u64>,
    /// Empty exactly for [`Trust::Trusted`] and for what was not judged.
    pub reasons: Vec<Reason>,
}

/// Applies the routing rule to what is known. A fact that was not asked for counts as missing, so the verdict is
/// [`Trust::Unknown`] until [`super::question::next`] is satisfied.
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
        // Parked: whatever the run shows, nothing is done about it now.
        Fact::Failed(cause @ Cause::OverBudget) => return unknown((*cause).into()),
        // What the run alone shows is enough to refuse.
        Fact::NotAsked | Fact::Failed(_) if !reasons.is_empty() => return verdict(Trust::Untrusted, reasons),
        // Without a branch there is nothing to look a pull request up by.
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

/// What the run alone shows against it.
#[must_use]
pub fn reasons_of_the_run(run: &Run, policy: &TrustPolicy) -> Vec<Reason> {
    let mut reasons = Vec::new();
    match &run.head_repository {
        None => reasons.push(Reason::HeadRepositoryGone),
        Some(head) if head.id != run.repository_id => reasons.push(Reason::Fork),
        Some(_) => {}
    }
    // A deleted account shows as null: nobody to trust, so it is treated as a bot is.
    if run
        .actor
        .as_ref()
        .is_none_or(|actor| actor.is_bot() && policy.allowed_bot(actor, run).is_none())
    {
        reasons.push(Reason::BotActor);
    }
    reasons
}

/// The pull requests that speak for the run: those by accepted authors whose head is the run's commit, the open ones if
/// there are any; else those whose head has moved on, which admission refuses. Pull requests of others do not count: anybody
/// can open one on a branch of the repository.
#[must_use]
pub fn accepted<'a>(pulls: &'a [Pull], run: &Run, policy: &TrustPolicy) -> Vec<&'a Pull> {
    candidates(pulls.iter().filter(|pull| policy.accepts(pull)), run)
}

/// The pull requests whose authors have to bear an accusation out: all at the run's commit that speak for it, closed ones
/// included; else those that are judged.
#[must_use]
pub fn held_to_account<'a>(pulls: &'a [Pull], run: &Run, policy: &TrustPolicy) -> Vec<&'a Pull> {
    let mut here = pulls_at_head(pulls, run);
    here.retain(|pull| policy.accepts(pull));
    if here.is_empty() {
        return judged(pulls, run, policy);
    }
    here
}

/// The accepted pull requests, or where there are none those of others.
#[must_use]
pub fn judged<'a>(pulls: &'a [Pull], run: &Run, policy: &TrustPolicy) -> Vec<&'a Pull> {
    match accepted(pulls, run, policy) {
        accepted if !accepted.is_empty() => accepted,
        _ => candidates(pulls.iter(), run),
    }
}

/// Those of `pulls` that count: those whose head is the run's commit. Where there are none, those whose head has moved
/// on, the open ones or else the newest.
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

/// Everything at the run's commit, accepted or not, open or closed.
#[must_use]
pub fn pulls_at_head<'a>(pulls: &'a [Pull], run: &Run) -> Vec<&'a Pull> {
    pulls.iter().filter(|pull| pull.head_sha == run.head_sha).collect()
}

/// Whether the pull requests that were found say how this run should have been routed. They don't when their head has
/// moved on: their files and their authors are other ones by now. Nor when only some of them are trusted: anybody can open
/// a second pull request on a branch of the repository, and the run does not say which one it was made for.
#[must_use]
pub fn pulls_are_evidence(facts: &Facts, policy: &TrustPolicy) -> bool {
    let (Some(run), Some(pulls)) = (facts.run.known(), facts.pulls.known()) else {
        return false;
    };
    let here = pulls_at_head(pulls, run);
    let welcome = here.iter().filter(|pull| policy.accepts(pull)).count();
    let of_one_mind = welcome == 0 || welcome == here.len() || !reasons_of_the_run(run, policy).is_empty();
    !here.is_empty() && of_one_mind
}

/// Whether the people behind an untrusted run are the ones it is refused for: by what the run itself shows, or because its
/// actor opened the pull request that is refused.
#[must_use]
pub fn is_their_own(facts: &Facts, policy: &TrustPolicy) -> bool {
    let Some(run) = facts.run.known() else { return false };
    let refused = facts.pulls.known().map(|pulls| candidates(pulls.iter(), run));
    let mut authors = refused.iter().flatten().filter_map(|pull| pull.author.as_ref());
    !reasons_of_the_run(run, policy).is_empty()
        || authors.any(|author| run.actor.as_ref().is_some_and(|actor| actor.login == author.login))
}

/// Whether an untrusted run may be held against the people behind it; none while that is not known. Anybody can open a pull
/// request on a branch of the repository, so one of somebody else counts against a run's actors only if they have too
/// little permission.
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

/// Whether every author's association and permission say the same; none while a permission is not known. Private members
/// show as CONTRIBUTOR, invitees with read access as COLLABORATOR.
#[must_use]
pub fn association_agrees(facts: &Facts, policy: &TrustPolicy) -> Option<bool> {
    let (run, pulls) = (facts.run.known()?, facts.pulls.known()?);
    let answers = held_to_account(pulls, run, policy).into_iter().map(|pull| {
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

/// Whether the verdict is sure enough to switch routing off because of it: it rests on the run itself, or on associations
/// of this very commit's authors that the permissions bear out. While a permission is not known nobody is accused.
#[must_use]
pub fn is_beyond_doubt(facts: &Facts, policy: &TrustPolicy) -> bool {
    let by_the_run = facts
        .run
        .known()
        .is_some_and(|run| !reasons_of_the_run(run, policy).is_empty());
    by_the_run || (pulls_are_evidence(facts, policy) && association_agrees(facts, policy) == Some(true))
}

impl TrustPolicy {
    /// Whether the author of a pull request passes the routing rule.
    #[must_use]
    pub fn accepts(&self, pull: &Pull) -> bool {
        let given = &pull.author_association;
        self.associations
            .iter()
            .any(|wanted| wanted.eq_ignore_ascii_case(given))
    }

    /// The entry that exempts a bot from the bot and permission rules in this run. Only runs for the repository's own
    /// branches that the entry names are exempt.
    #[must_use]
    pub fn allowed_bot(&self, user: &User, run: &Run) -> Option<&AllowedBot> {
        let branch = run.head_branch.as_deref()?;
        let covers = |bot: &&AllowedBot| bot.login.eq_ignore_ascii_case(&user.login) && bot.branches.is_match(branch);
        self.allow_bots.iter().filter(|_| user.is_bot()).find(covers)
    }

    /// Whether a permission is enough for a runner.
    #[must_use]
    pub fn suffices(&self, permission: Permission) -> bool {
        permission >= self.min_permission
    }
}
