//! The world as it is. Plain data and look-ups; what changes it lives in `apply` and `lifecycle`.

use super::world::{Association, CommitChange, Conclusion, PullState, Role, RunnerStatus, Status, UserKind};
use crate::domain::ids::RepositoryName;
use crate::ports::Clock;
use chrono::{DateTime, SubsecRound, Utc};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The repository of a world that names none.
const DEFAULT_REPOSITORY: &str = "octo-org/chem-model";
const DEFAULT_REPOSITORY_ID: u64 = 1_296_269;
const FIRST_REPOSITORY_ID: u64 = 9_000_001;
/// Ids of accounts begin after this.
const FIRST_USER_ID: u64 = 1001;
/// So many ids are given to accounts by their logins.
const USER_IDS: u64 = 100_000_000;
const FIRST_JOB_ID: u64 = 900_001;
const FIRST_RUNNER_ID: u64 = 10_001;

pub(super) struct State {
    clock: Arc<dyn Clock>,
    /// Where this simulator answers, without a slash at the end.
    pub(super) url: String,
    /// In the order they were named; the first is the default one.
    pub(super) repositories: Vec<Repository>,
    /// By lower-case login.
    pub(super) users: BTreeMap<String, User>,
    pub(super) pulls: Vec<Pull>,
    pub(super) runs: BTreeMap<u64, Run>,
    pub(super) jobs: BTreeMap<u64, Job>,
    pub(super) runners: BTreeMap<u64, Runner>,
    /// JIT runners made.
    pub(super) minted: u64,
    /// Jobs that ran their steps on a JIT runner.
    pub(super) ran: u64,
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
    /// By upper-case name, as GitHub keeps them.
    pub(super) variables: BTreeMap<String, Variable>,
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
    /// Id of the repository.
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
    /// Who pressed the button, by attempt; an attempt without one was the actor's.
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
    /// How it ended, or how it will.
    pub(super) conclusion: Option<Conclusion>,
    pub(super) duration_s: u32,
    pub(super) created_at: DateTime<Utc>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) completed_at: Option<DateTime<Utc>>,
    pub(super) runner: Option<JobRunner>,
    /// Names of the steps that ran.
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
    /// Id of a repository.
    Repository(u64),
    /// Lower-case login.
    Organization(String),
}

pub(super) struct Runner {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) scope: Scope,
    pub(super) group: u64,
    pub(super) labels: Vec<String>,
    pub(super) status: RunnerStatus,
    /// The job it was given.
    pub(super) job: Option<u64>,
    /// Works for somebody outside this world.
    pub(super) busy_elsewhere: bool,
    pub(super) jit: bool,
    /// Whether its job waits at a gate.
    pub(super) gated: bool,
    /// When it last looked, if it has to.
    pub(super) seen_at: Option<DateTime<Utc>>,
}

impl Runner {
    pub(super) fn is_online(&self) -> bool {
        self.status == RunnerStatus::Online
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy_elsewhere || self.job.is_some()
    }

    /// GitHub's matching: every label of the job, whatever its case. A job without labels asks for nothing.
    pub(super) fn matches(&self, wanted: &[String]) -> bool {
        wanted
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
            minted: 0,
            ran: 0,
            next_job: FIRST_JOB_ID,
            next_runner: FIRST_RUNNER_ID,
        }
    }

    /// An empty world whose ids go on from here.
    pub(super) fn emptied(&self) -> Self {
        Self {
            next_job: self.next_job,
            next_runner: self.next_runner,
            ..Self::new(Arc::clone(&self.clock), self.url.clone())
        }
    }

    /// GitHub's dates have whole seconds.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now().trunc_subsecs(0)
    }

    /// The default repository; made on first use, so that a world need not name one.
    pub(super) fn default_repository(&mut self) -> u64 {
        if let Some(first) = self.repositories.iter().find(|r| !r.fork) {
            return first.id;
        }
        let name = RepositoryName::parse(DEFAULT_REPOSITORY);
        name.map_or(DEFAULT_REPOSITORY_ID, |name| self.add_repository(name, None, false))
    }

    /// Id of the repository of this name; made on mention.
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

    /// Makes sure the account exists.
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

    /// The jobs of a run's attempt, by id.
    pub(super) fn jobs_of(&self, run: u64, attempt: u32) -> impl Iterator<Item = &Job> {
        self.jobs
            .values()
            .filter(move |job| job.run == run && job.attempt == attempt && !job.deleted)
    }

    pub(super) fn new_job_id(&mut self) -> u64 {
        while self.jobs.contains_key(&self.next_job) {
            self.next_job += 1;
        }
        self.next_job += 1;
        self.next_job - 1
    }

    pub(super) fn new_runner_id(&mut self) -> u64 {
        // Never one that was used: GitHub does not reuse ids.
        while self.runners.contains_key(&self.next_runner) {
            self.next_runner += 1;
        }
        self.next_runner += 1;
        self.next_runner - 1
    }
}

/// The id of an account. The same in every world, since a gate that lives on remembers whose repository it serves.
fn account_id(login: &str) -> u64 {
    let digest = Sha256::digest(login.to_ascii_lowercase());
    let number = digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    FIRST_USER_ID + number % USER_IDS
}

/// A commit: 40 hex digits stay as they are, any other text stands for a commit of its own.
pub(super) fn sha(text: &str) -> String {
    if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return text.to_ascii_lowercase();
    }
    let mut digits = hex::encode(Sha256::digest(text));
    digits.truncate(40);
    digits
}
