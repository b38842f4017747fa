//! Gathers facts: asks GitHub the questions that the domain names, and caches answers as long as this is safe (see
//! `github_cache`). Questions about an outsider's run count against a budget (see `budget`).

use super::budget::Outsider;
use super::github_cache::{CHANGES, PERMISSION, RUN, VARIABLE, changes_key, max_age_of_pulls, run_key};
use crate::app::context::Context;
use crate::app::settings::Repository;
use crate::domain::event::JobEvent;
use crate::domain::facts::{Cause, Fact, Facts, LiveJob, Pull, Run};
use crate::domain::labels::LabelsClass;
use crate::domain::question::{self, Question};
use crate::domain::trust;
use crate::ports::Failure;
use crate::ports::github::{MAX_FILE_PAGES, Purpose};
use chrono::{DateTime, TimeDelta, Utc};

/// The directory whose change lets a pull request choose its own `runs-on`.
const WORKFLOWS: &str = ".github/";
/// Minimum delay of an outsider's delivery that found no free place.
const PLACE_DELAY: TimeDelta = TimeDelta::seconds(1);

/// Asks all questions. Returns the time before which another question is useless, if known. An `urgent` event, with one
/// of our runners at stake, counts against no budget.
///
/// # Errors
/// [`Failure::RateLimited`] for an outsider's delivery that must wait for its turn; no decision is made.
pub(in crate::app) async fn gather(
    ctx: &Context,
    repository: &Repository,
    event: &JobEvent,
    facts: &mut Facts,
    urgent: bool,
) -> Result<Option<DateTime<Utc>>, Failure> {
    let policy = &repository.policy;
    let (mut not_before, mut place) = (None, None);
    while let Some(question) = question::next(event, facts, policy, ctx.clock.now()) {
        let now = ctx.clock.now();
        let outsider = (!urgent)
            .then(|| outsider(ctx, repository, event, facts, now))
            .flatten();
        if let Some(outsider) = &outsider {
            if place.is_none() {
                place = Some(ctx.budget.place(outsider).ok_or_else(|| Failure::RateLimited {
                    until: now + PLACE_DELAY,
                    detail: "too many deliveries of outsiders are being processed".to_owned(),
                })?);
            }
            let is_charged = !matches!(question, Question::Run | Question::Variable);
            let until = ctx.budget.used_up_until(outsider, now);
            if let Some(until) =
                until.filter(|_| is_charged && !ctx.github_cache.has(repository, event, &question, facts, now))
            {
                tracing::warn!(job = event.job.id.0, repository = %repository.name, %until, "delivery delayed: the budget of its outsider is used up");
                not_before = not_before.max(Some(until));
                leave_open(&question, Cause::OverBudget, facts);
                facts.pulls = Fact::Failed(Cause::OverBudget);
                continue;
            }
        }
        let asking = Asking {
            ctx,
            repository,
            event,
            outsider: outsider.as_ref(),
            purpose: purpose(repository, event, facts, urgent),
            now,
        };
        if let Err(failure) = asking.ask(&question, facts).await {
            let cause = match &failure {
                Failure::RateLimited { until, .. } => {
                    not_before = not_before.max(Some(*until));
                    Cause::RateLimited
                }
                Failure::Transient(_) | Failure::Permanent(_) => Cause::Unavailable,
            };
            tracing::warn!(job = event.job.id.0, repository = %repository.name, %failure, "failed to get a fact from GitHub");
            leave_open(&question, cause, facts);
        }
    }
    Ok(not_before)
}

/// Returns the outsider behind the job, if any. Before the question about its run, a cached answer about the run that
/// it names is used: this is sufficient for a wait, and no part of a decision.
fn outsider(
    ctx: &Context,
    repository: &Repository,
    event: &JobEvent,
    facts: &Facts,
    now: DateTime<Utc>,
) -> Option<Outsider> {
    if !facts.run.is_unasked() {
        return Outsider::behind(facts, &repository.policy.trust);
    }
    let run = ctx.github_cache.runs.get(&run_key(&repository.name, event), now, RUN)?;
    Outsider::of(&run)
}

fn leave_open(question: &Question, cause: Cause, facts: &mut Facts) {
    match question {
        Question::Run => facts.run = Fact::Failed(cause),
        Question::Pulls { .. } => facts.pulls = Fact::Failed(cause),
        Question::ChangedFiles(_) => facts.changes_workflows = Fact::Failed(cause),
        Question::Retargeted(_) => facts.retargeted = Fact::Failed(cause),
        Question::Commits(_) => facts.commits = Fact::Failed(cause),
        Question::Variable => facts.variable = Fact::Failed(cause),
        Question::Permission(login) => {
            facts.permissions.insert(login.clone(), Fact::Failed(cause));
        }
        Question::LiveJob => facts.live_job = Fact::Failed(cause),
        Question::OwnBot => facts.own_bot = Fact::Failed(cause),
    }
}

/// Returns the purpose of a call. A call about an unknown run can use half of the reserve for admissions, one call
/// each. Later calls about outsiders and calls about jobs without a runner cannot use the reserve.
fn purpose(repository: &Repository, event: &JobEvent, facts: &Facts, urgent: bool) -> Purpose {
    let policy = &repository.policy;
    if policy.labels.classify(&event.job) != LabelsClass::Pool {
        return Purpose::Judge;
    }
    let trust = &policy.trust;
    match facts.run.known() {
        _ if urgent || facts.ledger.served => Purpose::Admit,
        None => Purpose::Sight,
        Some(run) => {
            let may_be_trusted = run.event == "pull_request" && trust::reasons_of_the_run(run, trust).is_empty();
            match may_be_trusted && Outsider::behind(facts, trust).is_none() {
                true => Purpose::Admit,
                false => Purpose::Judge,
            }
        }
    }
}

/// A question with its context.
struct Asking<'a> {
    ctx: &'a Context,
    repository: &'a Repository,
    event: &'a JobEvent,
    outsider: Option<&'a Outsider>,
    purpose: Purpose,
    now: DateTime<Utc>,
}

impl Asking<'_> {
    async fn ask(&self, question: &Question, facts: &mut Facts) -> Result<(), Failure> {
        let (ctx, name, now) = (self.ctx, &self.repository.name, self.now);
        let (github, cache) = (&ctx.github, &ctx.github_cache);
        match question {
            Question::Run => {
                let key = run_key(name, self.event);
                let run = cache.runs.get_or_ask(&key, now, RUN, self.run()).await?;
                facts.run = run.map_or(Fact::Gone, Fact::Known);
            }
            Question::Pulls { .. } => {
                let key = run_key(name, self.event);
                let max_age = max_age_of_pulls(self.repository, self.event, facts);
                let asked = self.pulls(facts);
                let pulls = cache.pulls.get_or_ask(&key, now, max_age, asked).await?;
                facts.pulls = Fact::Known(pulls.unwrap_or_default());
            }
            Question::ChangedFiles(numbers) => {
                let changed = match changes_key(name, facts, numbers) {
                    Some(key) => {
                        let asked = self.changed_workflows(facts, numbers);
                        cache.changes.get_or_ask(&key, now, CHANGES, asked).await?
                    }
                    None => None,
                };
                facts.changes_workflows = changed.map_or(Fact::Gone, Fact::Known);
            }
            Question::Retargeted(numbers) => facts.retargeted = self.retargeted(numbers).await?,
            Question::Commits(number) => {
                self.charge(1);
                let commits = github.commits(name, *number, self.purpose).await?;
                facts.commits = commits.map_or(Fact::Gone, Fact::Known);
            }
            Question::Variable => {
                let asked = async {
                    github
                        .variable(name, &self.repository.variable, self.purpose)
                        .await
                        .map(Some)
                };
                let variable = cache.variables.get_or_ask(name, now, VARIABLE, asked).await?;
                facts.variable = variable.flatten().map_or(Fact::Gone, Fact::Known);
            }
            Question::Permission(login) => {
                let key = (name.clone(), login.clone());
                let asked = async {
                    self.charge(1);
                    github.permission(name, login, self.purpose).await
                };
                // At the job gate all answers are requested anew.
                let max_age = if facts.ledger.at_gate {
                    TimeDelta::zero()
                } else {
                    PERMISSION
                };
                let permission = cache.permissions.get_or_ask(&key, now, max_age, asked).await?;
                let permission = permission.map_or(Fact::Gone, Fact::Known);
                facts.permissions.insert(login.clone(), permission);
            }
            Question::LiveJob => {
                self.charge(1);
                facts.live_job = github
                    .job(name, self.event.job.id, self.purpose)
                    .await?
                    .map_or(Fact::Gone, |job| Fact::Known(LiveJob::from(&job)));
            }
            Question::OwnBot => facts.own_bot = github.own_bot().await?.map_or(Fact::Gone, Fact::Known),
        }
        Ok(())
    }

    /// Counts calls for the outsider that they are about.
    fn charge(&self, calls: u32) {
        if let Some(outsider) = self.outsider {
            self.ctx.budget.charge(outsider, calls, self.now);
        }
    }

    async fn run(&self) -> Result<Option<Run>, Failure> {
        let (id, attempt) = (self.event.job.run_id, self.event.job.run_attempt);
        let asked = self.ctx.github.run(&self.repository.name, id, self.purpose).await?;
        let Some(run) = asked else {
            return Ok(None);
        };
        if run.run_attempt < attempt {
            // GitHub does not show the triggering actor of this attempt yet.
            return Err(Failure::Transient(format!(
                "GitHub shows attempt {} of run {id}, but the event belongs to attempt {attempt}",
                run.run_attempt
            )));
        }
        // The answer itself shows the owner of the run.
        if let Some(outsider) = Outsider::of(&run) {
            self.ctx.budget.charge(&outsider, 1, self.now);
        }
        Ok(Some(run))
    }

    async fn pulls(&self, facts: &Facts) -> Result<Option<Vec<Pull>>, Failure> {
        let run = facts.run.known();
        let Some((head, branch)) = run.and_then(|run| run.head_repository.as_ref().zip(run.head_branch.as_ref()))
        else {
            return Ok(None);
        };
        self.charge(1);
        let pulls = self
            .ctx
            .github
            .pulls_of_head(&self.repository.name, &head.owner, branch, head.id, self.purpose)
            .await?;
        Ok(Some(pulls))
    }

    async fn retargeted(&self, numbers: &[u64]) -> Result<Fact<bool>, Failure> {
        for number in numbers {
            self.charge(1);
            let github = &self.ctx.github;
            if github
                .base_changed(&self.repository.name, *number, self.purpose)
                .await?
            {
                return Ok(Fact::Known(true));
            }
        }
        Ok(Fact::Known(false))
    }

    /// Returns true if the pull requests change workflows. GitHub's list belongs to the current head, so a "no" counts
    /// only if the head is still the run's commit afterwards. Otherwise a second push would turn an attempt into a
    /// misroute.
    async fn changed_workflows(&self, facts: &Facts, numbers: &[u64]) -> Result<Option<bool>, Failure> {
        let github = &self.ctx.github;
        for number in numbers {
            let changes = github
                .pull_changes(&self.repository.name, *number, WORKFLOWS, self.purpose)
                .await
                // The number of completed calls is not known.
                .inspect_err(|_| self.charge(MAX_FILE_PAGES))?;
            self.charge(changes.pages);
            if changes.touches {
                return Ok(Some(true));
            }
        }
        let (Some(run), Some(pulls)) = (facts.run.known(), self.pulls(facts).await?) else {
            return Ok(None);
        };
        let here = trust::pulls_at_head(&pulls, run);
        let still_there = here.iter().all(|pull| numbers.contains(&pull.number));
        Ok((still_there && !here.is_empty()).then_some(false))
    }
}
