//! The JSON of a world: the `github` object of a fixture, and of every change to it.
//!
//! Every field except the key of an entry is optional. An unknown key is rejected, so that a typing error cannot leave
//! a default in place. `docs/fixtures.md` is the reference.

use super::moment::Moment;
use crate::domain::ids::RepositoryName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A change to the world; the first change creates it. Entries are matched by id, number, name or login, and only the
/// given fields change.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    pub(super) repositories: Vec<RepositoryChange>,
    pub(super) forks: Vec<RepositoryChange>,
    pub(super) users: Vec<UserChange>,
    pub(super) pulls: Vec<PullChange>,
    pub(super) runs: Vec<RunChange>,
    pub(super) runners: Vec<RunnerChange>,
    pub(super) permissions: BTreeMap<String, Role>,
    pub(super) variables: BTreeMap<String, Option<String>>,
    pub(super) app: Option<AppChange>,
    pub(super) rate_limit: Option<RateLimitChange>,
    pub(super) report_timeout_s: Option<u32>,
    pub(super) faults: Vec<Fault>,
    pub(super) delivers: Option<bool>,
    pub(super) announces: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryChange {
    pub(super) full_name: RepositoryName,
    pub(super) id: Option<u64>,
    pub(super) private: Option<bool>,
    pub(super) default_branch: Option<String>,
    pub(super) deleted: Option<bool>,
    #[serde(default)]
    pub(super) permissions: BTreeMap<String, Role>,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, Option<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    pub(super) login: String,
    pub(super) id: Option<u64>,
    #[serde(rename = "type")]
    pub(super) kind: Option<UserKind>,
    pub(super) deleted: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PullChange {
    pub(super) number: u64,
    pub(super) repository: Option<RepositoryName>,
    pub(super) author: Option<String>,
    pub(super) association: Option<Association>,
    pub(super) head: Option<HeadChange>,
    pub(super) state: Option<PullState>,
    pub(super) files: Option<Vec<String>>,
    pub(super) base: Option<String>,
    pub(super) commits: Option<Vec<CommitChange>>,
}

/// A commit of a pull request, the oldest first; the last one is its head.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommitChange {
    pub(super) author: Option<String>,
    #[serde(default)]
    pub(super) verified: bool,
}

/// The origin of code.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadChange {
    pub(super) repository: Option<RepositoryName>,
    pub(super) branch: Option<String>,
    pub(super) sha: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunChange {
    pub(super) id: u64,
    pub(super) repository: Option<RepositoryName>,
    pub(super) event: Option<String>,
    pub(super) pull: Option<u64>,
    pub(super) head: Option<HeadChange>,
    pub(super) path: Option<String>,
    pub(super) name: Option<String>,
    pub(super) attempt: Option<u32>,
    pub(super) actor: Option<String>,
    pub(super) triggering_actor: Option<String>,
    pub(super) created_at: Option<Moment>,
    pub(super) deleted: Option<bool>,
    #[serde(default)]
    pub(super) jobs: Vec<JobChange>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobChange {
    pub(super) id: u64,
    pub(super) name: Option<String>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) status: Option<Status>,
    pub(super) conclusion: Option<Conclusion>,
    pub(super) duration_s: Option<u32>,
    pub(super) setup_s: Option<u32>,
    pub(super) routed: Option<bool>,
    pub(super) runner_id: Option<u64>,
    pub(super) runner_name: Option<String>,
    pub(super) steps: Option<Vec<String>>,
    pub(super) created_at: Option<Moment>,
    pub(super) started_at: Option<Moment>,
    pub(super) deleted: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunnerChange {
    pub(super) id: u64,
    pub(super) name: Option<String>,
    pub(super) repository: Option<RepositoryName>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) status: Option<RunnerStatus>,
    pub(super) busy: Option<bool>,
    pub(super) deleted: Option<bool>,
}

/// The App that every world has, and its installation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AppChange {
    pub(super) permissions: Option<BTreeMap<String, String>>,
    pub(super) events: Option<Vec<String>>,
    pub(super) webhook: Option<HookChange>,
    pub(super) installed_permissions: Option<BTreeMap<String, String>>,
    pub(super) suspended: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HookChange {
    pub(super) url: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) insecure_ssl: Option<bool>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimitChange {
    pub(super) limit: Option<u64>,
    pub(super) remaining: Option<u64>,
}

/// A fault of an endpoint or of a delivery.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    /// An endpoint's name, `delivery`, or `*` for every endpoint.
    pub(super) endpoint: String,
    /// The number of times it occurs; 0 removes the faults of the endpoint.
    #[serde(default = "once")]
    pub(super) times: u32,
    /// Occurs only at every call of this number.
    #[serde(default = "once")]
    pub(super) every: u32,
    /// The calls since it last occurred.
    #[serde(skip)]
    pub(super) passed: u32,
    /// Answers with this status instead.
    pub(super) status: Option<u16>,
    /// Delays the answer, in real seconds.
    #[serde(default)]
    pub(super) delay_s: f64,
    /// Adds headers to the answer.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Sets `x-ratelimit-remaining: 0`, and `x-ratelimit-reset` this far ahead of the clock.
    pub(super) reset_s: Option<u32>,
    /// Sets the `message` of that answer.
    pub(super) message: Option<String>,
    /// Answers with a web page, like a proxy or a captive portal, with `status` or 200.
    #[serde(default)]
    pub(super) page: bool,
    /// Answers 200 with a truncated body.
    #[serde(default)]
    pub(super) malformed: bool,
    /// Closes the connection without an answer.
    pub(super) drop: Option<Drop>,
    /// The fault of a delivery.
    pub(super) delivery: Option<DeliveryFault>,
}

fn once() -> u32 {
    1
}

/// The moment at which the connection is closed: before or after the request takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Drop {
    Before,
    After,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliveryFault {
    /// Arrives twice with one GUID.
    Duplicate,
    /// Arrives twice with two GUIDs.
    Repeat,
    /// Overtakes the one before it.
    Reorder,
    /// Does not arrive; a redelivery can be requested.
    Drop,
}

/// Defines an enum of GitHub's words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub(super) enum $name {
            $(#[serde(rename = $word)] $variant,)+
        }

        impl $name {
            pub(super) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

words!(UserKind { User = "User", Bot = "Bot", Organization = "Organization", Mannequin = "Mannequin" });
words!(Association {
    Collaborator = "COLLABORATOR",
    Contributor = "CONTRIBUTOR",
    FirstTimer = "FIRST_TIMER",
    FirstTimeContributor = "FIRST_TIME_CONTRIBUTOR",
    Mannequin = "MANNEQUIN",
    Member = "MEMBER",
    None = "NONE",
    Owner = "OWNER",
});
words!(PullState { Open = "open", Closed = "closed" });
words!(RunnerStatus { Online = "online", Offline = "offline" });
words!(Status {
    Queued = "queued",
    Waiting = "waiting",
    InProgress = "in_progress",
    Completed = "completed",
});
words!(Conclusion {
    Success = "success",
    Failure = "failure",
    Neutral = "neutral",
    Cancelled = "cancelled",
    Skipped = "skipped",
    TimedOut = "timed_out",
    ActionRequired = "action_required",
});
words!(
    /// A role on a repository, finer than its permission.
    Role { None = "none", Read = "read", Triage = "triage", Write = "write", Maintain = "maintain", Admin = "admin" }
);

impl Role {
    /// Returns the word of the permission endpoint, which knows neither triage nor maintain.
    pub(super) fn permission(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read | Self::Triage => "read",
            Self::Write | Self::Maintain => "write",
            Self::Admin => "admin",
        }
    }
}
