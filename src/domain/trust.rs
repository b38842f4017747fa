//! Trust: whose code a job runs. Four verdicts, and only one of them opens a door.

use super::facts::{Cause, Fact, Facts, Pull, Run};
use super::policy::{Permission, TrustPolicy};
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
    /// Reason codes; empty exactly for [`Trust::Trusted`] and for what was not judged.
    pub reasons: Vec<String>,
}

/// Reason code of a job that is parked because the person behind it has used up their budget of calls.
pub const OVER_BUDGET: &str = "over-budget";

/// Reason code for a cause.
#[must_use]
pub fn cause_code(cause: Cause) -> &'static str {
    match cause {
        Cause::Unavailable => "github-unavailable",
        Cause::RateLimited => "rate-limited",
        Cause::OverBudget => OVER_BUDGET,
    }
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
    let unknown = |reason: &str| verdict(Trust::Unknown, vec![reason.to_owned()]);
    let run = match &facts.run {
        Fact::Known(run) => run,
        Fact::Gone => return unknown("run-gone"),
        Fact::NotAsked => return unknown(cause_code(Cause::Unavailable)),
        Fact::Failed(cause) => return unknown(cause_code(*cause)),
    };
    if run.event != "pull_request" {
        return verdict(Trust::Ineligible, vec![format!("event:{}", run.event)]);
    }
    let mut reasons = reasons_of_the_run(run, policy);
    let pulls: &[Pull] = match &facts.pulls {
        Fact::Known(pulls) => pulls,
        // Parked: whatever the run shows, nothing is done about it now.
        Fact::Failed(cause @ Cause::OverBudget) => return unknown(cause_code(*cause)),
        // What the run alone shows is enough to refuse.
        Fact::NotAsked | Fact::Failed(_) if !reasons.is_empty() => return verdict(Trust::Untrusted, reasons),
        // Without a branch there is nothing to look a pull request up by.
        _ if run.head_branch.is_none() => &[],
        Fact::Gone => &[],
        Fact::NotAsked => return unknown(cause_code(Cause::Unavailable)),
        Fact::Failed(cause) => return unknown(cause_code(*cause)),
    };
    let candidates = candidates(pulls, run);
    if candidates.is_empty() {
        reasons.push("no-pull-request".to_owned());
    }
    let refused = candidates.iter().filter(|pull| !policy.accepts(pull));
    for pull in refused.clone() {
        let reason = format!("association:{}", pull.author_association);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    Judgement {
        trust: if reasons.is_empty() {
            Trust::Trusted
        } else {
            Trust::Untrusted
        },
        pull_request: refused.chain(&candidates).map(|pull| pull.number).next(),
        reasons,
    }
}

/// What the run alone shows against it.
#[must_use]
pub fn reasons_of_the_run(run: &Run, policy: &TrustPolicy) -> Vec<String> {
    let mut reasons = Vec::new();
    match &run.head_repository {
        None => reasons.push("head-repository-gone".to_owned()),
        Some(head) if head.id != run.repository_id => reasons.push("fork".to_owned()),
        Some(_) => {}
    }
    // A deleted account shows as null: nobody to trust, so it is treated as a bot is.
    if run
        .actor
        .as_ref()
        .is_none_or(|actor| actor.is_bot() && !policy.allows_bot(&actor.login))
    {
        reasons.push("bot-actor".to_owned());
    }
    reasons
}

/// The pull requests that are judged: those whose head is the run's commit. Where there are none, those of the same
/// branch whose head has moved on, the open ones or else the newest: they can still be judged, and admission refuses them.
#[must_use]
pub fn candidates<'a>(pulls: &'a [Pull], run: &Run) -> Vec<&'a Pull> {
    let those = |test: &dyn Fn(&Pull) -> bool| pulls.iter().filter(|pull| test(pull)).collect::<Vec<_>>();
    let exact = those(&|pull| pull.head_sha == run.head_sha);
    if !exact.is_empty() {
        return exact;
    }
    let open = those(&|pull| pull.open);
    if !open.is_empty() {
        return open;
    }
    pulls.iter().max_by_key(|pull| pull.number).into_iter().collect()
}

/// Whether the pull requests that were found say how this run should have been routed. They don't when their head has
/// moved on: their files and their authors are other ones by now. Nor when only some of them are trusted: anybody can open
/// a second pull request on somebody else's branch, and the run does not say which one it was made for.
#[must_use]
pub fn pulls_are_evidence(facts: &Facts, policy: &TrustPolicy) -> bool {
    let (Some(run), Some(pulls)) = (facts.run.known(), facts.pulls.known()) else {
        return false;
    };
    let judged = candidates(pulls, run);
    let accepted = judged.iter().filter(|pull| policy.accepts(pull)).count();
    let of_one_mind = accepted == 0 || accepted == judged.len() || !reasons_of_the_run(run, policy).is_empty();
    !judged.is_empty() && judged.iter().all(|pull| pull.head_sha == run.head_sha) && of_one_mind
}

/// Whether every author's association and permission say the same; none while a permission is not known. Private members
/// show as CONTRIBUTOR, invitees with read access as COLLABORATOR.
#[must_use]
pub fn association_agrees(facts: &Facts, policy: &TrustPolicy) -> Option<bool> {
    let (run, pulls) = (facts.run.known()?, facts.pulls.known()?);
    let answers = candidates(pulls, run).into_iter().map(|pull| {
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

    /// Whether a bot is exempt from the bot and permission rules.
    #[must_use]
    pub fn allows_bot(&self, login: &str) -> bool {
        self.allow_bots.iter().any(|bot| bot.eq_ignore_ascii_case(login))
    }

    /// Whether a permission is enough for a runner.
    #[must_use]
    pub fn suffices(&self, permission: Permission) -> bool {
        permission >= self.min_permission
    }
}
