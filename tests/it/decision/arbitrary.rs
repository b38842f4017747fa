//! Arbitrary worlds: mostly what a trusted job looks like, so that the interesting corner is met, and anything else mixed in.

use crate::support::world::{FORK, HEAD, NEWER_HEAD, OTHER_JOB, OURS, POOL, World, allowed, noon, policy, texts};
use chrono::{DateTime, TimeDelta, Utc};
use jitgate::domain::event::{Action, Job, JobEvent, JobRunner, JobStatus, Step};
use jitgate::domain::facts::{
    Admitted, Base, Cause, Commit, Fact, Facts, HeadRepository, LedgerFacts, LiveJob, OurRunner, Pull, Run, User,
    Variable,
};
use jitgate::domain::ids::{JobId, RepositoryId, RunId, RunnerId};
use jitgate::domain::policy::{Mode, Permission, Policy};
use jitgate::domain::routing::{RoutingState, RoutingVerdict};
use proptest::prelude::*;
use std::collections::BTreeMap;

const LOGINS: [&str; 5] = ["ann", "Ann", "bob", "mallory", "helper[bot]"];

// Strategies are boxed: by value, the tree of them is larger than the stack of a test.

/// `usual`, nearly always; else one of `others`.
fn mostly<T: Clone + std::fmt::Debug + 'static>(usual: T, others: &[T]) -> BoxedStrategy<T> {
    prop_oneof![11 => Just(usual), 1 => prop::sample::select(others.to_vec())].boxed()
}

fn mostly_text(usual: &str, others: &[&str]) -> BoxedStrategy<String> {
    mostly(usual.to_owned(), &texts(others))
}

fn fact<T: std::fmt::Debug + Clone + 'static>(known: impl Strategy<Value = T> + 'static) -> BoxedStrategy<Fact<T>> {
    prop_oneof![
        20 => known.prop_map(Fact::Known),
        1 => Just(Fact::NotAsked),
        1 => Just(Fact::Gone),
        1 => prop::sample::select(vec![Cause::Unavailable, Cause::RateLimited, Cause::OverBudget]).prop_map(Fact::Failed),
    ]
    .boxed()
}

fn instant() -> BoxedStrategy<Option<DateTime<Utc>>> {
    mostly(10, &[-10, 0, 60, 400, 24 * 3600, 26 * 3600, 90 * 24 * 3600])
        .prop_map(|age_s| noon() - TimeDelta::seconds(age_s))
        .prop_flat_map(|at| mostly(Some(at), &[None]))
        .boxed()
}

fn person() -> BoxedStrategy<Option<User>> {
    let kind = mostly_text("User", &["Bot", "bot", "Organization", ""]);
    let someone = (mostly_text("ann", &LOGINS), kind).prop_map(|(login, kind)| User { login, kind });
    prop_oneof![15 => someone.prop_map(Some), 1 => Just(None)].boxed()
}

fn repository() -> impl Strategy<Value = RepositoryId> {
    mostly(OURS, &[FORK, RepositoryId(u64::MAX)])
}

fn sha() -> impl Strategy<Value = String> {
    mostly_text(HEAD, &[NEWER_HEAD, "C0FFEE", ""])
}

prop_compose! {
    fn a_run()(
        event in mostly_text("pull_request", &["push", "pull_request_target", "PULL_REQUEST", ""]),
        path in mostly_text(".github/workflows/ci.yml", &[".github/workflows/ci.yml@refs/heads/x", "x.yml", ""]),
        run_attempt in mostly(1, &[0, 2, u32::MAX]),
        head_sha in sha(),
        head_branch in mostly(Some("feature".to_owned()), &[None]),
        created_at in instant(),
        actor in person(),
        triggering_actor in person(),
        repository_id in repository(),
        head in prop_oneof![12 => repository().prop_map(Some), 1 => Just(None)],
        private in mostly(Some(true), &[Some(false), None]),
    ) -> Run {
        let head_repository = head.map(|id| HeadRepository { id, owner: "octo".to_owned() });
        Run {
            event, path, run_attempt, head_sha, head_branch, created_at, actor, triggering_actor, repository_id,
            repository_owner_id: None, head_repository, private,
        }
    }
}

prop_compose! {
    pub(crate) fn a_pull()(
        number in 1_u64..9,
        open in mostly(true, &[false]),
        head_sha in sha(),
        author in person(),
        author_association in mostly_text("MEMBER", &["OWNER", "member", "COLLABORATOR", "CONTRIBUTOR", "NONE", ""]),
        base in mostly(Some(true), &[Some(false), None]),
    ) -> Pull {
        let base = base.map(|is_default| Base { branch: "main".to_owned(), is_default });
        Pull { number, open, head_sha, author, author_association, base }
    }
}

prop_compose! {
    fn a_variable()(value in mostly_text("true", &["false", "TRUE", ""]), updated_at in instant()) -> Variable {
        Variable { value, updated_at: updated_at.map(|at| at - TimeDelta::hours(1)) }
    }
}

fn a_permission() -> impl Strategy<Value = Permission> {
    mostly(
        Permission::Write,
        &[Permission::None, Permission::Read, Permission::Admin],
    )
}

fn a_status() -> impl Strategy<Value = JobStatus> {
    use JobStatus::{Completed, InProgress, Other, Queued, Waiting};
    mostly(Queued, &[Waiting, InProgress, Completed, Other])
}

prop_compose! {
    fn ledger()(
        served in mostly(false, &[true]),
        overtaken in mostly(false, &[true]),
        quarantined in mostly(false, &[true]),
        at_capacity in mostly(false, &[true]),
        rolled_back: bool,
        rerun_lost_attempt in mostly(None, &[Some(0), Some(1)]),
        labelled: bool,
        taken in mostly(None, &[Some((70, true)), Some((71, true)), Some((70, false)), Some((71, false))]),
        attempts in 0_u32..8,
        catching_up in mostly(false, &[true]),
        at_gate in mostly(false, &[true]),
        admitted in mostly(None, &[Some(())]),
    ) -> LedgerFacts {
        let admitted = admitted.map(|()| Admitted {
            pull_request: Some(5), author: None, state: RoutingState::On, verdict: RoutingVerdict::Correct,
        });
        let labelled_workflows = labelled.then(|| ".github/workflows/ci.yml".to_owned()).into_iter().collect();
        let taken_by = taken.map(|(job, passed_gate)| OurRunner { id: RunnerId(3), made_for: JobId(job), passed_gate });
        LedgerFacts { pinned: Default::default(), served, overtaken, quarantined, at_capacity, rolled_back, rerun_lost_attempt, labelled_workflows, taken_by, attempts, catching_up, at_gate, admitted }
    }
}

/// Unless the event is forged, the job's identity is taken from it.
fn a_live_job((status, runner_id): (JobStatus, Option<RunnerId>)) -> LiveJob {
    LiveJob {
        id: JobId(70),
        run_id: RunId(7),
        run_attempt: 1,
        head_sha: HEAD.to_owned(),
        labels: texts(&POOL),
        status,
        runner_id,
    }
}

prop_compose! {
    fn a_commit()(sha in sha(), author in person(), verified: bool) -> Commit {
        Commit { sha, author, verified }
    }
}

prop_compose! {
    fn facts()(
        run in fact(a_run()),
        pulls in fact(prop_oneof![
            6 => prop::collection::vec(a_pull(), 1),
            3 => prop::collection::vec(a_pull(), 0..4),
        ]),
        changes_workflows in fact(any::<bool>()),
        variable in fact(a_variable()),
        permissions in prop::array::uniform5(fact(a_permission())),
        live_job in fact((a_status(), mostly(None, &[Some(RunnerId(3)), Some(RunnerId(4))])).prop_map(a_live_job)),
        retargeted in fact(mostly(false, &[true])),
        commits in fact(prop::collection::vec(a_commit(), 1..3)),
        own_bot in fact(mostly_text("Helper[bot]", &["ann", "merger[bot]"])),
        ledger in ledger(),
    ) -> Facts {
        let permissions: BTreeMap<_, _> = texts(&LOGINS).into_iter().zip(permissions).collect();
        Facts { run, pulls, changes_workflows, retargeted, commits, variable, own_bot, permissions, live_job, ledger }
    }
}

fn labels() -> impl Strategy<Value = Vec<String>> {
    let known = [
        "self-hosted",
        "X64",
        "chem-trusted-pr",
        "chem-run-7",
        "chem-run-70",
        "ubuntu-latest",
        "gpu",
        "",
    ];
    prop_oneof![
        6 => Just(texts(&POOL)),
        1 => Just(texts(&["chem-trusted-pr"])),
        4 => prop::collection::vec(prop::sample::select(texts(&known)), 0..4),
    ]
}

prop_compose! {
    fn a_step()(
        name in prop::sample::select(texts(&["Set up job", "Run make", ""])),
        status in prop::sample::select(texts(&["queued", "in_progress", "completed", "?"])),
        conclusion in prop::sample::select(vec![None, Some("success".to_owned()), Some("skipped".to_owned())]),
    ) -> Step {
        Step { name, status, conclusion, started_at: None }
    }
}

prop_compose! {
    fn a_job()(
        id in mostly(JobId(70), &[OTHER_JOB, JobId(u64::MAX)]),
        run_id in mostly(RunId(7), &[RunId(70), RunId(u64::MAX)]),
        run_attempt in mostly(1, &[0, 2, u32::MAX]),
        name in mostly_text("web", &["route", "route / x (1)", "", "\u{202e}<b>\n"]),
        head_sha in sha(),
        labels in labels(),
        status in a_status(),
        conclusion in mostly(None, &[Some("skipped".to_owned()), Some("cancelled".to_owned())]),
        times in (instant(), instant()),
        runner in mostly(None, &[Some(RunnerId(3)), Some(RunnerId(u64::MAX))]),
        steps in prop::collection::vec(a_step(), 0..2),
    ) -> Job {
        let runner = runner.map(|id| JobRunner { id, name: String::new() });
        let (created_at, started_at) = times;
        Job {
            id, run_id, run_attempt, name, head_sha, labels, status, conclusion, created_at, started_at,
            completed_at: None, runner, steps,
        }
    }
}

prop_compose! {
    fn a_policy()(
        mut policy in Just(policy()),
        min_permission in mostly(Permission::Write, &[Permission::None, Permission::Read, Permission::Admin]),
        allow_bots in mostly(Vec::new(), &[vec![allowed("HELPER[bot]")], vec![allowed("mallory")]]),
        require_verified_commits in mostly(false, &[true]),
        run_label_prefix in mostly_text("chem-run-", &[""]),
        enforce: bool,
        rollback_on_attempt in mostly(false, &[true]),
        rerun_stuck in mostly(true, &[false]),
        public_repositories in mostly(true, &[false]),
    ) -> Policy {
        policy.trust.min_permission = min_permission;
        policy.trust.allow_bots = allow_bots;
        policy.trust.require_verified_commits = require_verified_commits;
        policy.trust.public_repositories = public_repositories;
        policy.labels.run_label_prefix = run_label_prefix;
        policy.mode = if enforce { Mode::Enforce } else { Mode::Observe };
        policy.rollback_on_attempt = rollback_on_attempt;
        policy.rerun_stuck = rerun_stuck;
        policy
    }
}

prop_compose! {
    pub(crate) fn a_world()(
        action in mostly(Action::Queued, &[Action::Waiting, Action::InProgress, Action::Completed]),
        job in a_job(),
        truth in facts(),
        policy in a_policy(),
        received_at in instant(),
        forged in mostly(false, &[true]),
    ) -> World {
        let event = JobEvent { action, repository: "octo/chem".to_owned(), ids: Default::default(), job, synthesized: false };
        let mut truth = truth;
        if truth.run.known().is_some_and(|run| run.head_branch.is_none() || run.head_repository.is_none()) {
            // They cannot be looked up.
            truth.pulls = Fact::Gone;
        }
        World { event, truth, policy, received_at: received_at.unwrap_or(noon()), forged }
    }
}

prop_compose! {
    /// A world in which the run's code comes from another repository.
    pub(crate) fn a_fork()(mut world in a_world(), mut run in a_run()) -> World {
        run.repository_id = OURS;
        run.head_repository = Some(HeadRepository { id: FORK, owner: "mallory".to_owned() });
        world.truth.run = Fact::Known(run);
        world
    }
}
