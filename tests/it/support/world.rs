//! A job with the whole truth about it. A story starts from one of the typical worlds and changes what it is about.

use chrono::{DateTime, TimeDelta, Utc};
use jitgate::domain::decision::{Action, Decision, Input, decide};
use jitgate::domain::event::{Action as EventAction, Job, JobEvent, JobRunner, JobStatus, Step};
use jitgate::domain::facts::{
    Base, Cause, Commit, Fact, Facts, HeadRepository, LedgerFacts, LiveJob, OurRunner, Pull, Run, User, Variable,
};
use jitgate::domain::ids::{DeliveryId, JobId, RepositoryId, RepositoryName, RunId, RunnerId};
use jitgate::domain::labels::LabelPolicy;
use jitgate::domain::policy::{AllowedBot, CommitsBy, Mode, Permission, Policy, RoutingPolicy, TrustPolicy};
use jitgate::domain::question::{self, Question};
use jitgate::domain::reason::Reason;
use std::collections::BTreeMap;
use std::fmt;

pub(crate) const OURS: RepositoryId = RepositoryId(1);
pub(crate) const FORK: RepositoryId = RepositoryId(2);
pub(crate) const JOB: JobId = JobId(70);
pub(crate) const OTHER_JOB: JobId = JobId(71);
pub(crate) const HEAD: &str = "c0ffee";
pub(crate) const NEWER_HEAD: &str = "decade";
pub(crate) const POOL: [&str; 5] = ["self-hosted", "linux", "x64", "chem-trusted-pr", "chem-run-7"];

/// Noon of an ordinary day.
pub(crate) fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_435_200, 0).expect("a date")
}

pub(crate) fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The codes, as records and the contract have them.
pub(crate) fn codes(reasons: &[Reason]) -> Vec<String> {
    reasons.iter().map(ToString::to_string).collect()
}

pub(crate) fn user(login: &str) -> User {
    User {
        login: login.to_owned(),
        kind: "User".to_owned(),
    }
}

pub(crate) fn bot(login: &str) -> User {
    User {
        login: login.to_owned(),
        kind: "Bot".to_owned(),
    }
}

pub(crate) fn pull(number: u64, author: &str, association: &str) -> Pull {
    Pull {
        number,
        open: true,
        head_sha: HEAD.to_owned(),
        author: Some(user(author)),
        author_association: association.to_owned(),
        base: Some(Base {
            branch: "main".to_owned(),
            is_default: true,
        }),
    }
}

/// The commit at the head of the pull request.
pub(crate) fn commit(author: &str) -> Commit {
    Commit {
        sha: HEAD.to_owned(),
        author: Some(user(author)),
        verified: false,
    }
}

/// A bot that may run code from `feature`, where it wrote all of it.
pub(crate) fn allowed(login: &str) -> AllowedBot {
    AllowedBot {
        login: login.to_owned(),
        branches: globs(&["feature"]),
        commits_by: CommitsBy::Bot,
    }
}

pub(crate) fn routing_is(value: &str) -> Fact<Variable> {
    Fact::Known(Variable {
        value: value.to_owned(),
        updated_at: Some(noon() - TimeDelta::days(3)),
    })
}

pub(crate) fn unanswered<T>() -> Fact<T> {
    Fact::Failed(Cause::Unavailable)
}

pub(crate) fn globs(patterns: &[&str]) -> globset::GlobSet {
    let mut set = globset::GlobSetBuilder::new();
    for pattern in patterns {
        set.add(globset::Glob::new(pattern).expect("a glob"));
    }
    set.build().expect("globs")
}

/// The policy of the default configuration, told to enforce.
pub(crate) fn policy() -> Policy {
    Policy {
        labels: LabelPolicy {
            labels: texts(&["self-hosted", "linux", "x64", "chem-trusted-pr"]),
            trust_label: "chem-trusted-pr".to_owned(),
            run_label_prefix: "chem-run-".to_owned(),
            sizes: Vec::new(),
        },
        trust: TrustPolicy {
            associations: texts(&["OWNER", "MEMBER", "COLLABORATOR"]),
            min_permission: Permission::Write,
            allow_bots: Vec::new(),
            require_verified_commits: false,
            public_repositories: true,
        },
        routing: RoutingPolicy {
            branches: globs(&[]),
            workflows: globs(&[".github/workflows/ci.yml"]),
            hosted_jobs: globs(&["changes", "route"]),
        },
        mode: Mode::Enforce,
        rollback_on_attempt: false,
        rerun_stuck: true,
    }
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) event: JobEvent,
    /// The answers of GitHub, and the facts of the ledger.
    pub(crate) truth: Facts,
    pub(crate) policy: Policy,
    pub(crate) received_at: DateTime<Utc>,
    /// True if the event is not GitHub's own: then the live job does not follow the event.
    pub(crate) forged: bool,
}

/// Without what is the same in every world: a compiled glob fills a page.
impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = &self.policy;
        f.debug_struct("World")
            .field("event", &self.event)
            .field("truth", &self.truth)
            .field("trust", &policy.trust)
            .field("run_label_prefix", &policy.labels.run_label_prefix)
            .field("mode", &policy.mode)
            .field("rollback_on_attempt", &policy.rollback_on_attempt)
            .field("rerun_stuck", &policy.rerun_stuck)
            .field("received_at", &self.received_at)
            .field("forged", &self.forged)
            .finish()
    }
}

impl World {
    /// Ann, a member, has opened pull request 5 from a branch of the repository. Its job `web` was routed to the pool.
    pub(crate) fn trusted() -> Self {
        let run = Run {
            event: "pull_request".to_owned(),
            path: ".github/workflows/ci.yml@refs/pull/5/merge".to_owned(),
            run_attempt: 1,
            head_sha: HEAD.to_owned(),
            head_branch: Some("feature".to_owned()),
            created_at: Some(noon() - TimeDelta::minutes(1)),
            actor: Some(user("ann")),
            triggering_actor: Some(user("ann")),
            repository_id: OURS,
            repository_owner_id: None,
            head_repository: Some(HeadRepository {
                id: OURS,
                owner: "octo".to_owned(),
            }),
            private: Some(true),
        };
        let job = Job {
            id: JOB,
            run_id: RunId(7),
            run_attempt: 1,
            name: "web".to_owned(),
            head_sha: HEAD.to_owned(),
            labels: texts(&POOL),
            status: JobStatus::Queued,
            conclusion: None,
            created_at: Some(noon() - TimeDelta::seconds(10)),
            started_at: Some(noon() - TimeDelta::seconds(10)),
            completed_at: None,
            runner: None,
            steps: Vec::new(),
        };
        let live_job = Fact::Known(LiveJob::from(&job));
        Self {
            event: JobEvent {
                action: EventAction::Queued,
                repository: "octo/chem".to_owned(),
                ids: Default::default(),
                job,
                synthesized: false,
            },
            truth: Facts {
                run: Fact::Known(run),
                pulls: Fact::Known(vec![pull(5, "ann", "MEMBER")]),
                changes_workflows: Fact::Known(false),
                variable: routing_is("true"),
                permissions: BTreeMap::from([
                    ("ann".to_owned(), Fact::Known(Permission::Admin)),
                    ("bob".to_owned(), Fact::Known(Permission::Write)),
                    ("mallory".to_owned(), Fact::Known(Permission::Read)),
                ]),
                retargeted: Fact::Known(false),
                commits: Fact::Known(vec![commit("ann")]),
                own_bot: Fact::Known("jitgate[bot]".to_owned()),
                live_job,
                ledger: LedgerFacts::default(),
            },
            policy: policy(),
            received_at: noon() - TimeDelta::seconds(1),
            forged: false,
        }
    }

    /// Mallory, a stranger, has opened pull request 9 from a fork. Its job asks for the pool; the workflow is unchanged.
    pub(crate) fn fork() -> Self {
        Self::trusted().with(|w| {
            let run = w.run();
            run.head_repository = Some(HeadRepository {
                id: FORK,
                owner: "mallory".to_owned(),
            });
            run.actor = Some(user("mallory"));
            run.triggering_actor = Some(user("mallory"));
            w.truth.pulls = Fact::Known(vec![pull(9, "mallory", "NONE")]);
        })
    }

    /// The same, and the pull request changes something under `.github/`.
    pub(crate) fn fork_that_changes_workflows() -> Self {
        Self::fork().with(|w| w.truth.changes_workflows = Fact::Known(true))
    }

    /// Ann has pushed to `main`, and a workflow for pushes uses the labels of the pool.
    pub(crate) fn push() -> Self {
        Self::trusted().with(|w| w.run().event = "push".to_owned())
    }

    /// GitHub says nothing about the run.
    pub(crate) fn undecided() -> Self {
        Self::trusted().with(|w| w.truth.run = unanswered())
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn labels(self, labels: &[&str]) -> Self {
        self.with(|w| w.event.job.labels = texts(labels))
    }

    pub(crate) fn routing(self, variable: Fact<Variable>) -> Self {
        self.with(|w| w.truth.variable = variable)
    }

    pub(crate) fn ledger(self, change: impl FnOnce(&mut LedgerFacts)) -> Self {
        self.with(|w| change(&mut w.truth.ledger))
    }

    /// The job runs, on the runner of ours that was made for `made_for`.
    pub(crate) fn running_on_ours(self, made_for: JobId, passed_gate: bool) -> Self {
        self.with(|w| {
            let id = RunnerId(33);
            w.event.action = EventAction::InProgress;
            w.event.job.status = JobStatus::InProgress;
            w.event.job.runner = Some(JobRunner {
                id,
                name: "chem-jit-abcdefgh-70-1".to_owned(),
            });
            let live = w.live();
            live.status = JobStatus::InProgress;
            live.runner_id = Some(id);
            w.truth.ledger.taken_by = Some(OurRunner {
                id,
                made_for,
                passed_gate,
            });
        })
    }

    /// The job is over.
    pub(crate) fn completed(self, conclusion: &str) -> Self {
        self.with(|w| {
            w.event.action = EventAction::Completed;
            w.event.job.status = JobStatus::Completed;
            w.event.job.conclusion = Some(conclusion.to_owned());
            w.live().status = JobStatus::Completed;
        })
    }

    /// A step that succeeded, as the runner reported it.
    pub(crate) fn step(self, name: &str) -> Self {
        self.with(|w| {
            w.event.job.steps.push(Step {
                name: name.to_owned(),
                status: "completed".to_owned(),
                conclusion: Some("success".to_owned()),
                started_at: None,
            });
        })
    }

    /// The run, to be changed.
    pub(crate) fn run(&mut self) -> &mut Run {
        match &mut self.truth.run {
            Fact::Known(run) => run,
            other => panic!("the run is {other:?}"),
        }
    }

    /// The job as GitHub has it now, to be changed.
    pub(crate) fn live(&mut self) -> &mut LiveJob {
        match &mut self.truth.live_job {
            Fact::Known(live) => live,
            other => panic!("the live job is {other:?}"),
        }
    }

    /// The pull requests, to be changed.
    pub(crate) fn pulls(&mut self) -> &mut Vec<Pull> {
        match &mut self.truth.pulls {
            Fact::Known(pulls) => pulls,
            other => panic!("the pull requests are {other:?}"),
        }
    }

    /// GitHub's record of a job is about the job that its events are about.
    fn live_job(&self, mut fact: Fact<LiveJob>) -> Fact<LiveJob> {
        if let (Fact::Known(live), false) = (&mut fact, self.forged) {
            *live = LiveJob {
                status: live.status,
                runner_id: live.runner_id,
                ..LiveJob::from(&self.event.job)
            };
        }
        fact
    }

    /// Asks GitHub what the domain wants to know, and nothing else.
    pub(crate) fn gather(&self) -> (Facts, Vec<Question>) {
        let mut asked = Vec::new();
        let mut facts = Facts {
            ledger: self.truth.ledger.clone(),
            ..Facts::default()
        };
        while let Some(question) = question::next(&self.event, &facts, &self.policy, noon()) {
            assert!(!asked.contains(&question), "{question:?} is asked twice: {asked:?}");
            self.answer(&question, &mut facts);
            asked.push(question);
            assert!(asked.len() < 50, "there is no end to the questions: {asked:?}");
        }
        (facts, asked)
    }

    fn answer(&self, question: &Question, facts: &mut Facts) {
        match question {
            Question::Run => facts.run = told(&self.truth.run),
            Question::Pulls { .. } => facts.pulls = told(&self.truth.pulls),
            Question::ChangedFiles(_) => facts.changes_workflows = told(&self.truth.changes_workflows),
            Question::Retargeted(_) => facts.retargeted = told(&self.truth.retargeted),
            Question::Commits(_) => facts.commits = told(&self.truth.commits),
            Question::Variable => facts.variable = told(&self.truth.variable),
            Question::Permission(login) => {
                let answer = self.truth.permissions.get(login).map_or_else(unanswered, told);
                facts.permissions.insert(login.clone(), answer);
            }
            Question::LiveJob => facts.live_job = self.live_job(told(&self.truth.live_job)),
            Question::OwnBot => facts.own_bot = told(&self.truth.own_bot),
        }
    }

    /// The decision, from what was asked.
    pub(crate) fn decide(&self) -> Decision {
        self.decide_on(&self.gather().0)
    }

    /// The decision on any facts.
    pub(crate) fn decide_on(&self, facts: &Facts) -> Decision {
        let facts = &Facts {
            live_job: self.live_job(facts.live_job.clone()),
            ..facts.clone()
        };
        decide(&Input {
            delivery: &DeliveryId::parse("72d3162e-cc78-11e3-81ab-4c9367dc0958").expect("a GUID"),
            received_at: self.received_at,
            repository: &RepositoryName::parse("octo/chem").expect("a name"),
            event: &self.event,
            facts,
            policy: &self.policy,
            now: noon(),
        })
    }
}

/// An answer is never "not asked".
fn told<T: Clone>(fact: &Fact<T>) -> Fact<T> {
    if fact.is_unasked() { unanswered() } else { fact.clone() }
}

pub(crate) fn words(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

/// Everything a decision does or, in `observe`, would do.
pub(crate) fn all_actions(decision: &Decision) -> Vec<Action> {
    let mut all = [decision.actions.clone(), decision.would.clone()].concat();
    all.sort_unstable();
    all
}
