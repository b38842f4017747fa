//! The state of the world: plain data and look-ups. `apply` and `lifecycle` change it.

use super::settings::{Group, Policies};
use super::world::{Association, CommitChange, Conclusion, PullState, Role, RunnerStatus, Status, UserKind};
use crate::domain::ids::RepositoryName;
use crate::ports::Clock;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The repository of a world without a repository in its fixture.
const DEFAULT_REPOSITORY: &str = "octo-org/chem-model";
const DEFAULT_REPOSITORY_ID: u64 = 1_296_269;
/// The variable that the routed workflow reads.
const ROUTING_VARIABLE: &str = "CI_SELF_HOSTED_TRUSTED_ROUTING";
/// The labels of a job without labels in the fixture: those of the routed workflow.
pub(super) const POOL_LABELS: [&str; 4] = ["self-hosted", "linux", "x64", "chem-trusted-pr"];
/// The labels of the routed workflow while routing is off.
const HOSTED_LABELS: [&str; 1] = ["ubuntu-latest"];
const FIRST_REPOSITORY_ID: u64 = 9_000_001;
/// The smallest id of an account.
const FIRST_USER_ID: u64 = 1001;
/// The size of the range of ids that are derived from logins.
const MAX_USER_IDS: u64 = 100_000_000;
const FIRST_JOB_ID: u64 = 900_001;
const FIRST_RUNNER_ID: u64 = 10_001;
/// By default.
const REPORT_TIMEOUT: TimeDelta = TimeDelta::seconds(5);

pub(super) struct State {
    clock: Arc<dyn Clock>,
    /// The URL of this simulator, without a slash at the end.
    pub(super) url: String,
    /// In the order of their first mention; the first is the default repository.
    pub(super) repositories: Vec<Repository>,
    /// By lower-case login.
    pub(super) users: BTreeMap<String, User>,
    pub(super) pulls: Vec<Pull>,
    pub(super) runs: BTreeMap<u64, Run>,
    pub(super) jobs: BTreeMap<u64, Job>,
    pub(super) runners: BTreeMap<u64, Runner>,
    /// The runner groups, by the lower-case login of their organization and by id. All repositories of an organization can
    /// use its other groups.
    pub(super) groups: BTreeMap<(String, u64), Group>,
    /// The number of created JIT runners.
    pub(super) minted: u64,
    /// The number of jobs that ran their steps on a JIT runner.
    pub(super) ran: u64,
    /// The re-run runs, in order; a run is listed once for each re-run.
    pub(super) reruns: Vec<u64>,
    /// A runner that must report and has not for this time is considered lost.
    pub(super) report_timeout: TimeDelta,
    next_job: u64,
    next_runner: u64,
}

pub(super) struct Repository {
    pub(super) id: u64,
    pub(super) name: RepositoryName,
    pub(super) private: bool,
    pub(super) fork: bool,
    pub(super) deleted: bool,
    pub(super) default_branch: String,
    /// By lower-case login.
    pub(super) permissions: BTreeMap<String, Role>,
    /// By upper-case name, like GitHub.
    pub(super) variables: BTreeMap<String, Variable>,
    pub(super) policies: Policies,
}

pub(super) struct Variable {
    pub(super) value: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
}

pub(super) struct User {
    pub(super) id: u64,
    pub(super) login: String,
    pub(super) kind: UserKind,
    pub(super) deleted: bool,
}

#[derive(Clone)]
pub(super) struct Head {
    /// The id of the repository.
    pub(super) repository: u64,
    pub(super) branch: String,
    pub(super) sha: String,
}

pub(super) struct Pull {
    pub(super) number: u64,
    pub(super) repository: u64,
    pub(super) author: String,
    pub(super) association: Association,
    pub(super) head: Head,
    pub(super) state: PullState,
    pub(super) files: Vec<String>,
    pub(super) base: String,
    pub(super) base_changes: u32,
    pub(super) commits: Vec<CommitChange>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
}

pub(super) struct Run {
    pub(super) id: u64,
    pub(super) repository: u64,
    pub(super) event: String,
    pub(super) head: Head,
    pub(super) path: String,
    pub(super) name: String,
    pub(super) attempt: u32,
    pub(super) actor: String,
    /// The account that started each attempt; the actor if there is none.
    pub(super) triggering_actors: BTreeMap<u32, String>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) deleted: bool,
    pub(super) cancel_requested: bool,
}

impl Run {
    pub(super) fn triggering_actor(&self, attempt: u32) -> &str {
        self.triggering_actors.get(&attempt).unwrap_or(&self.actor)
    }
}

#[derive(Clone)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) run: u64,
    pub(super) attempt: u32,
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    pub(super) status: Status,
    /// The conclusion, which may be set before the end.
    pub(super) conclusion: Option<Conclusion>,
    pub(super) duration_s: u32,
    /// The time from its start to its first own step.
    pub(super) setup_s: u32,
    /// Its labels follow the routing variable.
    pub(super) routed: bool,
    pub(super) created_at: DateTime<Utc>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) completed_at: Option<DateTime<Utc>>,
    pub(super) runner: Option<JobRunner>,
    /// The names of the steps that ran.
    pub(super) steps: Vec<String>,
    pub(super) deleted: bool,
}

#[derive(Clone)]
pub(super) struct JobRunner {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) jit: bool,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// The id of a repository.
    Repository(u64),
    /// A lower-case login.
    Organization(String),
}

pub(super) struct Runner {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) scope: Scope,
    pub(super) group: u64,
    pub(super) labels: Vec<String>,
    pub(super) status: RunnerStatus,
    /// The job that was assigned to it.
    pub(super) job: Option<u64>,
    /// True if it runs a job outside of this world.
    pub(super) busy_elsewhere: bool,
    pub(super) jit: bool,
    /// True if its job waits at a job gate.
    pub(super) gated: bool,
    /// The time of its last report, if it must report.
    pub(super) seen_at: Option<DateTime<Utc>>,
}

impl Runner {
    pub(super) fn is_online(&self) -> bool {
        self.status == RunnerStatus::Online
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy_elsewhere || self.job.is_some()
    }

    /// Returns true if the runner has every label of the job, in any case. A job without labels matches every runner.
    pub(super) fn matches(&self, labels: &[String]) -> bool {
        labels
            .iter()
            .all(|label| self.labels.iter().any(|own| own.eq_ignore_ascii_case(label)))
    }
}

impl State {
    pub(super) fn new(clock: Arc<dyn Clock>, url: String) -> Self {
        Self {
            clock,
            url,
            repositories: Vec::new(),
            users: BTreeMap::new(),
            pulls: Vec::new(),
            runs: BTreeMap::new(),
            jobs: BTreeMap::new(),
            runners: BTreeMap::new(),
            groups: BTreeMap::new(),
            minted: 0,
            ran: 0,
            reruns: Vec::new(),
            report_timeout: REPORT_TIMEOUT,
            next_job: FIRST_JOB_ID,
            next_runner: FIRST_RUNNER_ID,
        }
    }

    /// Returns an empty world whose ids continue from here.
    pub(super) fn emptied(&self) -> Self {
        Self {
            next_job: self.next_job,
            next_runner: self.next_runner,
            ..Self::new(Arc::clone(&self.clock), self.url.clone())
        }
    }

    /// Returns the current time in whole seconds, like GitHub's dates.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now().trunc_subsecs(0)
    }

    /// Returns the default repository. It is created at the first use, so that a world does not have to declare one.
    pub(super) fn default_repository(&mut self) -> u64 {
        if let Some(first) = self.repositories.iter().find(|r| !r.fork) {
            return first.id;
        }
        let name = RepositoryName::parse(DEFAULT_REPOSITORY);
        name.map_or(DEFAULT_REPOSITORY_ID, |name| self.add_repository(name, None, false))
    }

    /// Returns the id of the repository of this name, which is created if it is missing.
    pub(super) fn repository_id(&mut self, name: RepositoryName, id: Option<u64>, fork: bool) -> u64 {
        match self.repository_named(name.as_str()) {
            Some(known) => known.id,
            None => self.add_repository(name, id, fork),
        }
    }

    fn add_repository(&mut self, name: RepositoryName, id: Option<u64>, fork: bool) -> u64 {
        let id = id.unwrap_or_else(|| {
            if name.matches(DEFAULT_REPOSITORY) {
                return DEFAULT_REPOSITORY_ID;
            }
            let mut free = FIRST_REPOSITORY_ID;
            while self.repository(free).is_some() {
                free += 1;
            }
            free
        });
        let owner = if fork { UserKind::User } else { UserKind::Organization };
        self.mention(name.owner(), Some(owner));
        self.repositories.push(Repository {
            id,
            name,
            private: false,
            fork,
            deleted: false,
            default_branch: "main".to_owned(),
            permissions: BTreeMap::new(),
            variables: BTreeMap::new(),
            policies: Policies::default(),
        });
        id
    }

    pub(super) fn repository(&self, id: u64) -> Option<&Repository> {
        self.repositories.iter().find(|r| r.id == id)
    }

    pub(super) fn repository_mut(&mut self, id: u64) -> Option<&mut Repository> {
        self.repositories.iter_mut().find(|r| r.id == id)
    }

    pub(super) fn repository_named(&self, full_name: &str) -> Option<&Repository> {
        self.repositories.iter().find(|r| r.name.matches(full_name))
    }

    /// Returns an account, which is created if it is missing.
    pub(super) fn mention(&mut self, login: &str, kind: Option<UserKind>) -> &mut User {
        let id = account_id(login);
        self.users.entry(login.to_ascii_lowercase()).or_insert_with(|| User {
            id,
            login: login.to_owned(),
            kind: kind.unwrap_or(if login.ends_with("[bot]") {
                UserKind::Bot
            } else {
                UserKind::User
            }),
            deleted: false,
        })
    }

    pub(super) fn user(&self, login: &str) -> Option<&User> {
        self.users.get(&login.to_ascii_lowercase())
    }

    pub(super) fn pull(&self, repository: u64, number: u64) -> Option<&Pull> {
        self.pulls
            .iter()
            .find(|p| p.repository == repository && p.number == number)
    }

    /// Iterates over the jobs of a run's attempt, by id.
    pub(super) fn jobs_of(&self, run: u64, attempt: u32) -> impl Iterator<Item = &Job> {
        self.jobs
            .values()
            .filter(move |job| job.run == run && job.attempt == attempt && !job.deleted)
    }

    /// Returns the labels that the routed workflow gives to a trusted job now.
    pub(super) fn routed_labels(&self, run: u64) -> Vec<String> {
        let repository = self.runs.get(&run).and_then(|run| self.repository(run.repository));
        let variable = repository.and_then(|repository| repository.variables.get(ROUTING_VARIABLE));
        let is_on = variable.is_some_and(|variable| variable.value == "true");
        let labels: &[&str] = if is_on { &POOL_LABELS } else { &HOSTED_LABELS };
        labels.iter().map(|label| (*label).to_owned()).collect()
    }

    pub(super) fn new_job_id(&mut self) -> u64 {
        while self.jobs.contains_key(&self.next_job) {
            self.next_job += 1;
        }
        self.next_job += 1;
        self.next_job - 1
    }

    pub(super) fn new_runner_id(&mut self) -> u64 {
        // A used id is never returned, because GitHub does not reuse ids.
        while self.runners.contains_key(&self.next_runner) {
            self.next_runner += 1;
        }
        self.next_runner += 1;
        self.next_runner - 1
    }
}

/// Returns the id of an account. It is the same in every world, because a jitgate that keeps running remembers the
/// owner's id.
fn account_id(login: &str) -> u64 {
    let digest = Sha256::digest(login.to_ascii_lowercase());
    let number = digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    FIRST_USER_ID + number % MAX_USER_IDS
}

/// Returns a commit id: 40 hex digits remain unchanged, any other text stands for its own commit.
pub(super) fn sha(text: &str) -> String {
    if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return text.to_ascii_lowercase();
    }
    let mut digits = hex::encode(Sha256::digest(text));
    digits.truncate(40);
    digits
}
