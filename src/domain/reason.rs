//! Reason codes for jobs that are not trusted, are refused or have to wait.
//!
//! A code is text in records, in JSON and in the contract, and a type everywhere else. Codes of another version of
//! jitgate survive in [`Reason::Other`].

use super::facts::Cause;
use super::labels::LabelsClass;
use super::policy::Permission;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! reasons {
    (
        plain { $($name:ident = $code:literal, $sentence:literal, $remedy:literal;)* }
        with_argument { $($family:ident($argument:ty) = $prefix:literal, $about:literal, $cure:literal;)* }
    ) => {
        /// The reason behind a verdict.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", from = "String")]
        pub enum Reason {
            $(#[doc = $sentence] $name,)*
            $(#[doc = $about] $family($argument),)*
            /// A code of another version of jitgate.
            Other(String),
        }

        impl Reason {
            /// Returns one sentence that explains the code; none for a code of another version.
            #[must_use]
            pub fn explanation(&self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($sentence),)*
                    $(Self::$family(_) => Some($about),)*
                    Self::Other(_) => None,
                }
            }

            /// Returns what a person can do about it; none for a code of another version.
            #[must_use]
            pub fn remedy(&self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($remedy),)*
                    $(Self::$family(_) => Some($cure),)*
                    Self::Other(_) => None,
                }
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name => f.write_str($code),)*
                    $(Self::$family(argument) => write!(f, "{}:{}", $prefix, argument.word()),)*
                    Self::Other(code) => f.write_str(code),
                }
            }
        }

        impl From<String> for Reason {
            fn from(code: String) -> Self {
                let known = match code.split_once(':') {
                    None => match code.as_str() {
                        $($code => Some(Self::$name),)*
                        _ => None,
                    },
                    Some((prefix, argument)) => match prefix {
                        $($prefix => Argument::read(argument).map(Self::$family),)*
                        _ => None,
                    },
                };
                known.unwrap_or(Self::Other(code))
            }
        }
    };
}

reasons! {
    plain {
        Fork = "fork",
            "The commit of the run comes from a fork.",
            "push the branch to the repository itself, or run the job on hosted runners";
        HeadRepositoryGone = "head-repository-gone",
            "The repository that the commit of the run came from is deleted.",
            "push the branch to the repository itself";
        BotActor = "bot-actor",
            "A bot or a deleted account caused the run.",
            "let a person push to the branch, or add the bot to trust.allow_bots if its code may run here";
        NoPullRequest = "no-pull-request",
            "GitHub shows no pull request for the commit of the run.",
            "open a pull request from the branch and run the workflow again";
        RunGone = "run-gone",
            "GitHub shows no run with this id.",
            "run the workflow again if the run was deleted";
        JobGone = "job-gone",
            "GitHub shows no job with this id.",
            "run the workflow again if the run was deleted";
        JobMismatch = "job-mismatch",
            "The delivery describes another job than the one GitHub shows under this id.",
            "replace the webhook secret if anyone but GitHub knows it";
        RepositoryChanged = "repository-changed",
            "The repository is not the one that is pinned under this name.",
            "see `jitgate alert list --kind repository-changed`";
        PublicRepository = "public-repository",
            "The repository is not private, and this runner host serves private repositories only.",
            "choose another runners.host, or set local.public_repositories to true if code that passes trust may run here";
        PullRequestClosed = "pull-request-closed",
            "Every pull request for the commit of the run is closed.",
            "reopen the pull request and run the workflow again";
        HeadMoved = "head-moved",
            "The pull request has another head commit than the run.",
            "wait for the run of the newer commit";
        BotTriggeringActor = "bot-triggering-actor",
            "A bot or a deleted account started this attempt of the run.",
            "let a person run the workflow again, or add the bot to trust.allow_bots if its code may run here";
        CommitsUnknown = "commits-unknown",
            "GitHub does not list the commit of the run among the commits of the pull request.",
            "push to the pull request again";
        UnverifiedCommit = "unverified-commit",
            "GitHub has not verified the signature of every commit of the pull request.",
            "sign the commits, or set trust.require_verified_commits to false";
        CommitAuthor = "commit-author",
            "A commit on the branch of an allowed bot has an author that its entry does not permit.",
            "see commits_by of the bot in trust.allow_bots";
        JobNotQueued = "job-not-queued",
            "The job no longer waits for a runner.",
            "nothing to do";
        Stale = "stale",
            "The job was queued for more than 25 hours, and GitHub has failed it.",
            "run the workflow again";
        RoutingOff = "routing-off",
            "Self-hosted routing is off, so the job runs on a hosted runner.",
            "set the routing variable to true to switch routing on";
        RolledBack = "rolled-back",
            "Self-hosted routing was switched off after this job was routed.",
            "run the workflow again, which routes it anew";
        Stopped = "stopped",
            "An operator has stopped all self-hosted runners of the repository.",
            "when it is safe again, run `jitgate routing enable`, then run the workflow again";
        Quarantined = "quarantined",
            "An untrusted job waits for a runner of the same group.",
            "wait: the job continues when the quarantine ends, after routing.quarantine_s at most";
        AtCapacity = "at-capacity",
            "Every slot for a runner is in use.",
            "wait for a free slot, or raise runners.max";
        GitHubUnavailable = "github-unavailable",
            "GitHub did not give an answer that the verdict needs.",
            "see GitHub's status page; jitgate asks again";
        RateLimited = "rate-limited",
            "The rate limit of GitHub leaves no call for an answer that the verdict needs.",
            "see jitgate_github_rate_limit_remaining in /metrics; jitgate asks again after the reset";
        OverBudget = "over-budget",
            "The person or the fork behind the job has used up its budget of calls to GitHub.",
            "wait: jitgate asks again when the budget is renewed";
    }
    with_argument {
        Event(String) = "event",
            "Only `pull_request` runs get a runner here, and another event started this run.",
            "run jobs of other events on hosted runners";
        Association(String) = "association",
            "The author association of the pull request is not accepted.",
            "let a member open the pull request, or add the association to trust.associations";
        AuthorPermission(Permission) = "author-permission",
            "The author of the pull request has too little permission on the repository.",
            "grant the author trust.min_permission, or run the job on hosted runners";
        ActorPermission(Permission) = "actor-permission",
            "The person who caused the run has too little permission on the repository.",
            "grant the person trust.min_permission, or run the job on hosted runners";
        TriggeringActorPermission(Permission) = "triggering-actor-permission",
            "The person who started this attempt of the run has too little permission on the repository.",
            "let a person with trust.min_permission run the workflow again";
        Labels(LabelsClass) = "labels",
            "The labels of the job do not ask for this pool.",
            "compare `runs-on` in the workflow with routing.labels";
    }
}

/// An argument: the part of a code after the colon.
trait Argument: Sized {
    fn word(&self) -> &str;
    fn read(word: &str) -> Option<Self>;
}

impl Argument for String {
    fn word(&self) -> &str {
        self
    }

    fn read(word: &str) -> Option<Self> {
        Some(word.to_owned())
    }
}

impl Argument for Permission {
    fn word(&self) -> &str {
        self.as_str()
    }

    fn read(word: &str) -> Option<Self> {
        let all = [Self::None, Self::Read, Self::Write, Self::Admin];
        all.into_iter().find(|permission| permission.as_str() == word)
    }
}

impl Argument for LabelsClass {
    fn word(&self) -> &str {
        self.as_str()
    }

    fn read(word: &str) -> Option<Self> {
        let all = [Self::Pool, Self::Reachable, Self::Foreign, Self::Hosted];
        all.into_iter().find(|class| class.as_str() == word)
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.to_string()
    }
}

impl From<Cause> for Reason {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Unavailable => Self::GitHubUnavailable,
            Cause::RateLimited => Self::RateLimited,
            Cause::OverBudget => Self::OverBudget,
        }
    }
}

impl Reason {
    /// Returns true if this refusal can result from an older state, which GitHub shows for a few seconds after an
    /// event.
    #[must_use]
    pub fn may_be_outdated(&self) -> bool {
        matches!(
            self,
            Self::HeadMoved
                | Self::AuthorPermission(Permission::None)
                | Self::ActorPermission(Permission::None)
                | Self::TriggeringActorPermission(Permission::None)
        )
    }

    /// Returns true if no later event lifts this refusal. The job would wait until GitHub fails it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::HeadMoved
                | Self::PullRequestClosed
                | Self::BotTriggeringActor
                | Self::AuthorPermission(_)
                | Self::ActorPermission(_)
                | Self::TriggeringActorPermission(_)
                | Self::CommitAuthor
                | Self::CommitsUnknown
                | Self::UnverifiedCommit
        )
    }

    /// Returns true if the job waits for jitgate itself and not for an answer by GitHub.
    #[must_use]
    pub fn is_lifted_by_the_pool(&self) -> bool {
        matches!(self, Self::Quarantined | Self::AtCapacity)
    }
}

/// Returns the codes as a comma-separated list.
#[must_use]
pub fn join<'a>(reasons: impl IntoIterator<Item = &'a Reason>) -> String {
    let codes: Vec<String> = reasons.into_iter().map(ToString::to_string).collect();
    codes.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_back_as_it_was_written_even_one_of_another_version() {
        for (code, reason) in [
            ("fork", Reason::Fork),
            ("event:push", Reason::Event("push".to_owned())),
            ("event:", Reason::Event(String::new())),
            ("association:a:b", Reason::Association("a:b".to_owned())),
            ("author-permission:none", Reason::AuthorPermission(Permission::None)),
            ("labels:foreign", Reason::Labels(LabelsClass::Foreign)),
            (
                "author-permission:owner",
                Reason::Other("author-permission:owner".to_owned()),
            ),
            ("fork:1", Reason::Other("fork:1".to_owned())),
            ("event", Reason::Other("event".to_owned())),
            ("approval-missing", Reason::Other("approval-missing".to_owned())),
        ] {
            let json = serde_json::json!(code);
            assert_eq!(
                serde_json::from_value::<Reason>(json.clone()).ok(),
                Some(reason.clone()),
                "{code}"
            );
            assert_eq!(serde_json::to_value(&reason).ok(), Some(json), "{reason:?}");
        }
    }
}
