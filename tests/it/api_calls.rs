//! Counts the questions a decision asks GitHub, against the table in `docs/ARCHITECTURE.md`.

use chrono::{DateTime, TimeDelta, Utc};
use globset::{Glob, GlobSet};
use jitgate::domain::event::{Action, Job, JobEvent, JobStatus};
use jitgate::domain::facts::{Base, Fact, Facts, HeadRepository, LiveJob, Pull, Run, User, Variable};
use jitgate::domain::ids::{JobId, RepositoryId, RunId};
use jitgate::domain::labels::LabelPolicy;
use jitgate::domain::policy::{Mode, Permission, Policy, RoutingPolicy, TrustPolicy};
use jitgate::domain::question::{Question, next};
use std::collections::BTreeMap;

/// An event, and what GitHub answers when it is asked.
struct Scene {
    event: JobEvent,
    run: Option<Run>,
    association: &'static str,
}

impl Scene {
    /// A queued pool job of a pull request by a member.
    fn trusted() -> Self {
        let job = Job {
            id: JobId(1),
            run_id: RunId(2),
            run_attempt: 1,
            name: "test".to_owned(),
            head_sha: "abc".to_owned(),
            labels: vec!["self-hosted".to_owned(), "trusted".to_owned()],
            status: JobStatus::Queued,
            conclusion: None,
            created_at: Some(now()),
            started_at: None,
            runner: None,
            steps: Vec::new(),
        };
        let run = Run {
            event: "pull_request".to_owned(),
            path: ".github/workflows/ci.yml".to_owned(),
            run_attempt: 1,
            head_sha: "abc".to_owned(),
            head_branch: Some("topic".to_owned()),
            created_at: Some(now()),
            actor: Some(user("ada")),
            triggering_actor: Some(user("ada")),
            repository_id: RepositoryId(3),
            repository_owner_id: None,
            head_repository: Some(HeadRepository {
                id: RepositoryId(3),
                owner: "o".to_owned(),
            }),
            private: Some(true),
        };
        let event = JobEvent {
            action: Action::Queued,
            repository: "o/r".to_owned(),
            ids: Default::default(),
            job,
        };
        Self {
            event,
            run: Some(run),
            association: "MEMBER",
        }
    }

    fn hosted(mut self) -> Self {
        self.event.job.labels = vec!["ubuntu-latest".to_owned()];
        self
    }

    fn job(mut self, change: impl FnOnce(&mut Job)) -> Self {
        change(&mut self.event.job);
        self
    }

    fn run(mut self, change: impl FnOnce(&mut Run)) -> Self {
        change(self.run.as_mut().expect("a run"));
        self
    }

    fn of_a_fork(self) -> Self {
        self.run(|run| {
            run.head_repository = Some(HeadRepository {
                id: RepositoryId(4),
                owner: "eve".to_owned(),
            })
        })
    }

    /// Questions asked until nothing is left to ask.
    fn calls(self) -> usize {
        let mut facts = Facts::default();
        let mut calls = 0;
        while let Some(question) = next(&self.event, &facts, &policy(), now()) {
            calls += 1;
            assert!(calls < 20, "it never stops asking: {question:?}");
            self.answer(&question, &mut facts);
        }
        calls
    }

    fn answer(&self, question: &Question, facts: &mut Facts) {
        match question {
            Question::Run => facts.run = self.run.clone().map_or(Fact::Gone, Fact::Known),
            Question::Pulls { .. } => {
                facts.pulls = Fact::Known(vec![Pull {
                    number: 7,
                    open: true,
                    head_sha: "abc".to_owned(),
                    author: Some(user("ada")),
                    author_association: self.association.to_owned(),
                    base: Some(Base {
                        branch: "main".to_owned(),
                        is_default: true,
                    }),
                }]);
            }
            Question::ChangedFiles(_) => facts.changes_workflows = Fact::Known(true),
            Question::Retargeted(_) => facts.retargeted = Fact::Known(false),
            Question::Commits(_) => facts.commits = Fact::Gone,
            Question::Variable => {
                let value = "true".to_owned();
                facts.variable = Fact::Known(Variable {
                    value,
                    updated_at: Some(now() - TimeDelta::days(1)),
                });
            }
            Question::Permission(login) => {
                facts.permissions.insert(login.clone(), Fact::Known(Permission::Write));
            }
            Question::LiveJob => {
                facts.live_job = Fact::Known(LiveJob::from(&self.event.job));
            }
        }
    }
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn user(login: &str) -> User {
    User {
        login: login.to_owned(),
        kind: "User".to_owned(),
    }
}

fn policy() -> Policy {
    let workflow = Glob::new(".github/workflows/ci.yml").expect("a glob");
    Policy {
        labels: LabelPolicy {
            labels: vec!["self-hosted".to_owned(), "trusted".to_owned()],
            trust_label: "trusted".to_owned(),
            run_label_prefix: "run-".to_owned(),
        },
        trust: TrustPolicy {
            associations: vec!["MEMBER".to_owned()],
            min_permission: Permission::Write,
            allow_bots: Vec::new(),
            require_verified_commits: false,
            public_repositories: true,
        },
        routing: RoutingPolicy {
            workflows: GlobSet::builder().add(workflow).build().expect("globs"),
            hosted_jobs: GlobSet::empty(),
            branches: GlobSet::empty(),
        },
        mode: Mode::Observe,
        rollback_on_attempt: false,
        rerun_stuck: true,
    }
}

/// The rows of the table, by event.
fn documented() -> BTreeMap<&'static str, usize> {
    let text = include_str!("../../docs/ARCHITECTURE.md");
    let table = text.split("| event | calls | which |").nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells
        .map(|cells| (cells[1], cells[2].parse().expect("a number")))
        .collect()
}

#[test]
fn a_decision_costs_what_the_documents_say() {
    let trusted = Scene::trusted;
    let counted = BTreeMap::from([
        (
            "skipped job",
            trusted().job(|job| job.conclusion = Some("skipped".to_owned())).calls(),
        ),
        (
            "hosted job of a push",
            trusted().hosted().run(|run| run.event = "push".to_owned()).calls(),
        ),
        ("hosted job of a fork", trusted().hosted().of_a_fork().calls()),
        (
            "hosted job of a trusted pull request",
            trusted().hosted().run(|run| run.path = "other.yml".to_owned()).calls(),
        ),
        ("trusted job that was not routed", trusted().hosted().calls()),
        ("trusted pool job, one person", trusted().calls()),
        (
            "trusted pool job, three people",
            trusted()
                .run(|run| (run.actor, run.triggering_actor) = (Some(user("bea")), Some(user("cy"))))
                .calls(),
        ),
        (
            "trusted pool job, running or over",
            Scene {
                event: JobEvent {
                    action: Action::InProgress,
                    ..trusted().event
                },
                ..trusted()
            }
            .calls(),
        ),
        ("untrusted pool job, from a fork", trusted().of_a_fork().calls()),
        (
            "untrusted pool job, by its association",
            Scene {
                association: "NONE",
                ..trusted()
            }
            .calls(),
        ),
        ("GitHub does not know the run", Scene { run: None, ..trusted() }.calls()),
    ]);
    assert_eq!(counted, documented());
}
