//! Applies a change to the world. New entries get defaults; a known entry changes only in the fields that the change
//! sets.

use super::faults::UnknownEndpoint;
use super::routes;
use super::simulation::Simulation;
use super::state::{Head, Job, JobRunner, POOL_LABELS, Pull, Repository, Run, Runner, Scope, State, Variable, sha};
use super::world::{
    Association, Change, HeadChange, JobChange, PullChange, PullState, RepositoryChange, Role, RunChange, RunnerChange,
    RunnerStatus, Status,
};
use crate::domain::ids::RepositoryName;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

const DEFAULT_AUTHOR: &str = "alice";

impl Simulation {
    /// Applies a change. Faults are checked first, so that a rejected change has no effect.
    pub(super) fn apply(&mut self, change: Change) -> Result<(), UnknownEndpoint> {
        let endpoints = routes::endpoints().map(|(name, _, _)| name).collect();
        self.faults.set(change.faults, endpoints)?;
        let state = &mut self.state;
        for repository in change.repositories {
            state.apply_repository(repository, false);
        }
        for fork in change.forks {
            state.apply_repository(fork, true);
        }
        let default = state.default_repository();
        for user in change.users {
            let known = state.mention(&user.login, user.kind);
            set(&mut known.id, user.id);
            set(&mut known.kind, user.kind);
            set(&mut known.deleted, user.deleted);
        }
        // A variable in the same change as runs existed before the runs.
        let first_run = change
            .runs
            .iter()
            .filter_map(|run| run.created_at)
            .map(|moment| moment.at(state.now()))
            .min();
        let variables_from = if change.runs.is_empty() {
            state.now()
        } else {
            first_run.unwrap_or_else(|| state.now()) - TimeDelta::minutes(1)
        };
        if let Some(repository) = state.repository_mut(default) {
            repository.configure(change.permissions, change.variables, variables_from);
        }
        for pull in change.pulls {
            state.apply_pull(pull);
        }
        let new_jobs: Vec<u64> = (change.runs.iter().flat_map(|run| &run.jobs))
            .map(|job| job.id)
            .filter(|id| !state.jobs.contains_key(id))
            .collect();
        for run in change.runs {
            state.apply_run(run);
        }
        for runner in change.runners {
            state.apply_runner(runner);
        }
        if let Some(app) = change.app {
            self.apps.change(app);
        }
        if let Some(limits) = change.rate_limit {
            self.quota.set(limits, state.now());
        }
        let report_timeout = change
            .report_timeout_s
            .map(|seconds| TimeDelta::seconds(seconds.into()));
        set(&mut state.report_timeout, report_timeout);
        set(&mut self.outbox.delivers, change.delivers);
        if change.announces == Some(true) {
            for job in new_jobs {
                self.announce(job, Status::Queued);
            }
        }
        self.assign();
        Ok(())
    }
}

impl State {
    fn apply_repository(&mut self, change: RepositoryChange, fork: bool) {
        let now = self.now();
        let id = self.repository_id(change.full_name, change.id, fork);
        if let Some(repository) = self.repository_mut(id) {
            set(&mut repository.id, change.id);
            set(&mut repository.private, change.private);
            set(&mut repository.default_branch, change.default_branch);
            set(&mut repository.deleted, change.deleted);
            repository.configure(change.permissions, change.variables, now);
        }
    }

    fn apply_pull(&mut self, change: PullChange) {
        let now = self.now();
        let repository = self.named_or_default(change.repository);
        let is_known = self.pull(repository, change.number).is_some();
        if !is_known {
            let base = self.repository(repository);
            let base = base.map_or_else(String::new, |base| base.default_branch.clone());
            let branch = format!("pull-{}", change.number);
            self.mention(DEFAULT_AUTHOR, None);
            self.pulls.push(Pull {
                number: change.number,
                repository,
                author: DEFAULT_AUTHOR.to_owned(),
                association: Association::Member,
                head: Head {
                    repository,
                    sha: sha(&branch),
                    branch,
                },
                state: PullState::Open,
                files: vec!["src/lib.rs".to_owned()],
                base,
                base_changes: 0,
                commits: Vec::new(),
                created_at: now,
                updated_at: now,
            });
        }
        if let Some(author) = &change.author {
            self.mention(author, None);
        }
        let head_repository = change.head.as_ref().and_then(|head| head.repository.clone());
        let head_repository = head_repository.map(|name| self.repository_id(name, None, true));
        let Some(pull) = (self.pulls.iter_mut()).find(|p| p.repository == repository && p.number == change.number)
        else {
            return;
        };
        set(&mut pull.author, change.author);
        set(&mut pull.association, change.association);
        set(&mut pull.state, change.state);
        set(&mut pull.files, change.files);
        if let Some(base) = change.base.filter(|base| *base != pull.base) {
            pull.base = base;
            pull.base_changes += u32::from(is_known);
        }
        set(&mut pull.commits, change.commits);
        pull.head.change(change.head, head_repository);
        pull.updated_at = now;
    }

    fn apply_run(&mut self, change: RunChange) {
        let now = self.now();
        let repository = self.named_or_default(change.repository);
        let pull = change.pull.and_then(|number| self.pull(repository, number));
        let from_pull = pull.map(|pull| (pull.head.clone(), pull.author.clone()));
        if !self.runs.contains_key(&change.id) {
            let event = change.event.clone().unwrap_or_else(|| "pull_request".to_owned());
            let branch = self
                .repository(repository)
                .map_or_else(String::new, |r| r.default_branch.clone());
            let base = Head {
                repository,
                sha: sha(&branch),
                branch,
            };
            let (head, actor) = from_pull
                .clone()
                .unwrap_or_else(|| (base.clone(), DEFAULT_AUTHOR.to_owned()));
            // `pull_request_target` runs the code of the base.
            let head = if event == "pull_request_target" { base } else { head };
            self.mention(&actor, None);
            let run = Run {
                id: change.id,
                repository,
                event,
                head,
                path: ".github/workflows/ci.yml".to_owned(),
                name: "CI".to_owned(),
                attempt: 1,
                actor,
                triggering_actors: BTreeMap::new(),
                created_at: now,
                deleted: false,
                cancel_requested: false,
            };
            self.runs.insert(change.id, run);
        } else if let (Some((head, actor)), Some(run)) = (from_pull, self.runs.get_mut(&change.id)) {
            run.head = head;
            run.actor = actor;
        }
        for login in [&change.actor, &change.triggering_actor].into_iter().flatten() {
            self.mention(login, None);
        }
        let head_repository = change.head.as_ref().and_then(|head| head.repository.clone());
        let head_repository = head_repository.map(|name| self.repository_id(name, None, true));
        let Some(run) = self.runs.get_mut(&change.id) else {
            return;
        };
        set(&mut run.event, change.event);
        set(&mut run.path, change.path);
        set(&mut run.name, change.name);
        set(&mut run.actor, change.actor);
        set(&mut run.created_at, change.created_at.map(|moment| moment.at(now)));
        set(&mut run.deleted, change.deleted);
        run.head.change(change.head, head_repository);
        if change.attempt.is_some_and(|attempt| attempt != run.attempt) {
            run.cancel_requested = false;
        }
        set(&mut run.attempt, change.attempt);
        if let Some(login) = change.triggering_actor {
            run.triggering_actors.insert(run.attempt, login);
        }
        let (attempt, created_at) = (run.attempt, run.created_at);
        for job in change.jobs {
            self.apply_job(job, change.id, attempt, if attempt == 1 { created_at } else { now });
        }
    }

    fn apply_job(&mut self, change: JobChange, run: u64, attempt: u32, created_at: DateTime<Utc>) {
        let now = self.now();
        let runner = change.runner_id.map(|id| {
            let record = self.runners.get(&id);
            let name = change.runner_name.clone().or_else(|| record.map(|r| r.name.clone()));
            JobRunner {
                id,
                name: name.unwrap_or_else(|| format!("runner-{id}")),
                jit: record.is_some_and(|r| r.jit),
            }
        });
        let labels = match change.routed {
            Some(true) => Some(self.routed_labels(run)),
            _ => change.labels,
        };
        let job = self.jobs.entry(change.id).or_insert_with(|| Job {
            id: change.id,
            run,
            attempt,
            name: "web".to_owned(),
            labels: POOL_LABELS.map(str::to_owned).to_vec(),
            status: Status::Queued,
            conclusion: None,
            duration_s: 0,
            setup_s: 0,
            routed: false,
            created_at,
            started_at: None,
            completed_at: None,
            runner: None,
            steps: Vec::new(),
            deleted: false,
        });
        set(&mut job.name, change.name);
        set(&mut job.labels, labels);
        set(&mut job.duration_s, change.duration_s);
        set(&mut job.setup_s, change.setup_s);
        set(&mut job.routed, change.routed);
        set(&mut job.created_at, change.created_at.map(|moment| moment.at(now)));
        set(&mut job.deleted, change.deleted);
        set(&mut job.steps, change.steps);
        job.started_at = change.started_at.map(|moment| moment.at(now)).or(job.started_at);
        job.conclusion = change.conclusion.or(job.conclusion);
        job.runner = runner.or(job.runner.take());
        set(&mut job.status, change.status);
        match job.status {
            Status::Queued | Status::Waiting => {}
            Status::InProgress => {
                job.started_at.get_or_insert(now);
            }
            Status::Completed => {
                job.completed_at.get_or_insert(now);
            }
        }
        let (status, taken_by) = (job.status, job.runner.as_ref().map(|r| r.id));
        for runner in self.runners.values_mut() {
            if runner.job == Some(change.id) {
                runner.job = None;
            }
            if status == Status::InProgress && taken_by == Some(runner.id) {
                runner.job = Some(change.id);
            }
        }
    }

    fn apply_runner(&mut self, change: RunnerChange) {
        if change.deleted == Some(true) {
            self.runners.remove(&change.id);
            return;
        }
        let repository = self.named_or_default(change.repository);
        let runner = self.runners.entry(change.id).or_insert_with(|| Runner {
            id: change.id,
            name: format!("runner-{}", change.id),
            scope: Scope::Repository(repository),
            group: 1,
            labels: Vec::new(),
            status: RunnerStatus::Online,
            job: None,
            busy_elsewhere: false,
            jit: false,
            gated: false,
            seen_at: None,
        });
        set(&mut runner.name, change.name);
        set(&mut runner.labels, change.labels);
        set(&mut runner.status, change.status);
        set(&mut runner.busy_elsewhere, change.busy);
    }

    fn named_or_default(&mut self, name: Option<RepositoryName>) -> u64 {
        match name {
            Some(name) => self.repository_id(name, None, false),
            None => self.default_repository(),
        }
    }
}

impl Repository {
    fn configure(
        &mut self,
        permissions: BTreeMap<String, Role>,
        variables: BTreeMap<String, Option<String>>,
        now: DateTime<Utc>,
    ) {
        for (login, role) in permissions {
            self.permissions.insert(login.to_ascii_lowercase(), role);
        }
        for (name, value) in variables {
            match value {
                Some(value) => self.set_variable(&name, value, now),
                None => drop(self.variables.remove(&name.to_ascii_uppercase())),
            }
        }
    }

    /// Sets a variable, and creates it if it is missing.
    pub(super) fn set_variable(&mut self, name: &str, value: String, now: DateTime<Utc>) {
        let variable = self.variables.entry(name.to_ascii_uppercase()).or_insert(Variable {
            value: String::new(),
            created_at: now,
            updated_at: now,
        });
        variable.value = value;
        variable.updated_at = now;
    }
}

impl Head {
    fn change(&mut self, change: Option<HeadChange>, repository: Option<u64>) {
        set(&mut self.repository, repository);
        let Some(change) = change else { return };
        if let Some(branch) = change.branch {
            self.sha = sha(&branch);
            self.branch = branch;
        }
        set(&mut self.sha, change.sha.as_deref().map(sha));
    }
}

/// Sets a field to a given value, if any.
fn set<T>(field: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *field = value;
    }
}
