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

/// Reason code for a cause.
#[must_use]
pub fn cause_code(cause: Cause) -> &'static str {
    match cause {
        Cause::Unavailable => "github-unavailable",
        Cause::RateLimited => "rate-limited",
    }
}

/// Applies the routing rule to what is known. A fact that was not asked for counts as missing, so the verdict is
/// [`Trust::Unknown`] until [`super::question::next`] is satisfied.
#[must_use]
pub fn judge(facts: &Facts, policy: &TrustPolicy) -> Judgement {
    let unknown = |reason: &str| Judgement {
        trust: Trust::Unknown,
        pull_request: None,
        reasons: vec![reason.to_owned()],
    };
    let run = match &facts.run {
        Fact::Known(run) => run,
        Fact::Gone => return unknown("run-gone"),
        Fact::NotAsked => return unknown(cause_code(Cause::Unavailable)),
        Fact::Failed(cause) => return unknown(cause_code(*cause)),
    };
    if run.event != "pull_request" {
        return Judgement {
            trust: Trust::Ineligible,
            pull_request: None,
            reasons: vec![format!("event:{}", run.event)],
        };
    }
    let mut reasons = reasons_of_the_run(run, policy);
    // Without a branch there is nothing to look a pull request up by.
    let no_branch = run.head_branch.is_none() && run.head_repository.is_some();
    let pulls: &[Pull] = match &facts.pulls {
        Fact::Known(pulls) => pulls,
        _ if no_branch => &[],
        // What the run alone shows is enough to refuse.
        _ if !reasons.is_empty() => &[],
        Fact::Gone => &[],
        Fact::NotAsked => return unknown(cause_code(Cause::Unavailable)),
        Fact::Failed(cause) => return unknown(cause_code(*cause)),
    };
    let candidates = candidates(pulls, run);
    let none_exists = no_branch || matches!(&facts.pulls, Fact::Gone | Fact::Known(_));
    if candidates.is_empty() && none_exists {
        reasons.push("no-pull-request".to_owned());
    }
    for pull in &candidates {
        let passes = policy
            .associations
            .iter()
            .any(|a| a.eq_ignore_ascii_case(&pull.author_association));
        let reason = format!("association:{}", pull.author_association);
        if !passes && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    Judgement {
        trust: if reasons.is_empty() {
            Trust::Trusted
        } else {
            Trust::Untrusted
        },
        pull_request: candidates.first().map(|pull| pull.number),
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
/// branch whose head has moved on, the newest first: they can still be judged, and admission refuses them.
#[must_use]
pub fn candidates<'a>(pulls: &'a [Pull], run: &Run) -> Vec<&'a Pull> {
    let exact: Vec<&Pull> = pulls.iter().filter(|pull| pull.head_sha == run.head_sha).collect();
    if !exact.is_empty() {
        return exact;
    }
    let newest = pulls.iter().max_by_key(|pull| (pull.open, pull.number));
    newest.into_iter().collect()
}

/// Whether an author's association and permission say different things: private members show as CONTRIBUTOR,
/// invitees with read access as COLLABORATOR. Then nobody is accused and nothing is rolled back.
#[must_use]
pub fn association_disagrees(facts: &Facts, policy: &TrustPolicy) -> bool {
    let (Some(run), Some(pulls)) = (facts.run.known(), facts.pulls.known()) else {
        return false;
    };
    candidates(pulls, run).into_iter().any(|pull| {
        let by_association = policy
            .associations
            .iter()
            .any(|a| a.eq_ignore_ascii_case(&pull.author_association));
        let permission = pull
            .author
            .as_ref()
            .and_then(|author| facts.permissions.get(&author.login))
            .and_then(Fact::known);
        permission.is_some_and(|p| policy.suffices(*p) != by_association)
    })
}

impl TrustPolicy {
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
