//! One decision: gather the facts, decide, record, act.
//!
//! The record goes to the ledger before anything is done, with the actions that are still to be done; each is crossed off
//! when it is. Every action can be repeated, so whoever comes after a crash does what is left.

use super::{actions, gather};
use crate::app::context::Gate;
use crate::app::measure::Heard;
use crate::app::pool;
use crate::app::quarantine::{self, Waiter};
use crate::app::records::{self, Entry, JobRecord, RepositoryRecord};
use crate::app::repositories::pins;
use crate::app::runners::lifecycle;
use crate::app::settings::Repository;
use crate::domain::admission::SETTLING_DELAY;
use crate::domain::alert::AlertKind;
use crate::domain::decision::{self, Action, Decision, Input};
use crate::domain::event::{Action as EventAction, Job, JobEvent};
use crate::domain::facts::{Fact, Facts, LedgerFacts, LiveJob, OurRunner};
use crate::domain::ids::DeliveryId;
use crate::domain::job::Progress;
use crate::domain::reason::Reason;
use crate::domain::routing::RoutingVerdict;
use crate::domain::trust::{self, Trust};
use crate::ports::{Event, Failure};
use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// What a decision is asked about, besides the event.
#[derive(Debug, Clone, Copy)]
pub(in crate::app) struct Asked<'a> {
    /// The delivery.
    pub(in crate::app) delivery: &'a DeliveryId,
    /// When it came in.
    pub(in crate::app) received_at: DateTime<Utc>,
    /// How often it was tried before.
    pub(in crate::app) attempts: u32,
    /// Whether an environment waits for the job, so that capacity is no question.
    pub(in crate::app) has_slot: bool,
    /// The job as GitHub has just shown it, when it waits at the gate of a runner.
    pub(in crate::app) at_gate: Option<&'a Job>,
}

impl Gate {
    /// Decides on an event, records the decision, and carries it out. Gives the time before which asking GitHub again is
    /// useless, too.
    pub(in crate::app) async fn decide(
        &self,
        asked: &Asked<'_>,
        repository: &Repository,
        event: &JobEvent,
    ) -> Result<(Decision, Option<DateTime<Utc>>), Failure> {
        let began = Instant::now();
        let record = self.job(event.job.id).await?;
        let mut facts = Facts {
            ledger: self.ledger_facts(asked, repository, event, record.as_ref()).await?,
            live_job: asked
                .at_gate
                .map_or(Fact::NotAsked, |job| Fact::Known(LiveJob::from(job))),
            ..Facts::default()
        };
        let asked_from = self.clock.now();
        let urgent = asked.has_slot || facts.ledger.taken_by.is_some();
        let mut not_before = gather::gather(self, repository, event, &mut facts, urgent).await?;
        let mut decision = self.judge(asked, repository, event, &facts);
        let remembered = self.recall.variable_asked_at(&repository.name) < Some(asked_from);
        if remembered && rests_on_the_variable(&decision) {
            // A person may have switched it a moment ago.
            self.recall.forget_variable(&repository.name);
            facts.variable = Fact::NotAsked;
            not_before = not_before.max(gather::gather(self, repository, event, &mut facts, urgent).await?);
            decision = self.judge(asked, repository, event, &facts);
        }
        pins::see(self, repository, &facts).await?;
        actions::forget_rollback(self, repository, &facts).await?;
        self.observer.observe(&Event::Decided {
            decision: &decision,
            took: began.elapsed(),
        });
        log(&decision);
        self.alerts.settle_trust(record.as_ref(), &decision).await?;
        let pending: Vec<Action> = decision
            .actions
            .iter()
            .copied()
            .filter(|a| *a != Action::Retry)
            // Whoever has an environment makes the runner, and the want stays if it dies: no delivery owes that any more.
            .filter(|a| !(asked.has_slot && *a == Action::Provision))
            .collect();
        let may_quarantine = trust::may_accuse(&facts, &repository.policy.trust) != Some(false);
        let entry = Entry {
            decision: decision.clone(),
            facts,
            pending: pending.clone(),
        };
        self.record(repository, event, entry).await?;
        self.hold_or_release(repository, event, &decision, may_quarantine)
            .await?;
        self.follow_up(repository, event, &decision, &pending).await?;
        if decision.leaves_a_job_waiting() {
            self.alerts.raise(decision.alert(AlertKind::JobStuck)).await?;
        }
        Ok((decision, not_before))
    }

    fn judge(&self, asked: &Asked<'_>, repository: &Repository, event: &JobEvent, facts: &Facts) -> Decision {
        decision::decide(&Input {
            delivery: asked.delivery,
            received_at: asked.received_at,
            repository: &repository.name,
            event,
            facts,
            policy: &repository.policy,
            now: self.clock.now(),
        })
    }

    async fn ledger_facts(
        &self,
        asked: &Asked<'_>,
        repository: &Repository,
        event: &JobEvent,
        record: Option<&JobRecord>,
    ) -> Result<LedgerFacts, Failure> {
        let ledger = self.ledger.as_ref();
        let taken_by = match &event.job.runner {
            Some(runner) => lifecycle::of_event(self, runner).await?.map(|ours| OurRunner {
                id: runner.id,
                made_for: ours.job,
                passed_gate: ours.passed_gate,
            }),
            None => None,
        };
        let waiter = Waiter::of(repository, event.job.id, asked.received_at);
        let group = quarantine::of_group(ledger, &repository.group_key()).await?;
        let routing: Option<RepositoryRecord> = records::load(ledger, repository.name.as_str()).await?;
        Ok(LedgerFacts {
            pinned: pins::pinned(ledger, repository).await?,
            served: record.is_some_and(JobRecord::is_served),
            overtaken: record.is_some_and(|record| record.progress.is_past_queued())
                && !Progress::shown_by(event).is_past_queued(),
            quarantined: group.holds_until(waiter, self.clock.now()).is_some(),
            at_capacity: !asked.has_slot && pool::is_full(self).await?,
            rolled_back: routing.is_some_and(|record| record.rolled_back.is_some()),
            taken_by,
            attempts: asked.attempts,
            catching_up: self.clock.now() - asked.received_at < SETTLING_DELAY,
            at_gate: asked.at_gate.is_some(),
            admitted: record.and_then(|record| record.admitted.clone()),
        })
    }

    async fn record(&self, repository: &Repository, event: &JobEvent, entry: Entry) -> Result<(), Failure> {
        let shown = Progress::shown_by(event);
        let job = &event.job;
        let mut heard = Heard::default();
        records::update(
            self.ledger.as_ref(),
            &job.id.to_string(),
            self.settings.retention,
            |old: Option<JobRecord>| {
                heard = Heard::of(old.as_ref(), event, &entry);
                let mut record = old.unwrap_or_else(|| JobRecord::new(job.id, repository.name.clone(), job.run_id));
                record.progress = record.progress.max(shown);
                record.note(entry.clone());
                Some(record)
            },
        )
        .await?;
        heard.tell(self.observer.as_ref());
        Ok(())
    }

    async fn hold_or_release(
        &self,
        repository: &Repository,
        event: &JobEvent,
        decision: &Decision,
        may_quarantine: bool,
    ) -> Result<(), Failure> {
        let (ledger, group) = (self.ledger.as_ref(), repository.group_key());
        let (now, retention) = (self.clock.now(), self.settings.retention);
        let threat = may_quarantine
            && decision.labels_class.could_reach_us()
            && matches!(decision.trust.verdict, Trust::Untrusted | Trust::Unknown);
        let waits = matches!(event.action, EventAction::Queued | EventAction::Waiting);
        let over = event.action == EventAction::Completed;
        let is_nobodys = |reason: &Reason| matches!(reason, Reason::RunGone | Reason::RepositoryChanged);
        if threat && waits && !decision.admission.reasons.iter().any(is_nobodys) {
            let author = decision.author.as_deref().unwrap_or("-");
            let length = repository.quarantine;
            quarantine::begin(ledger, &group, event.job.id, author, now, length, retention).await
        } else if over || !threat {
            if quarantine::end(ledger, &group, event.job.id, now, retention).await? {
                self.pool.wake();
            }
            Ok(())
        } else {
            Ok(())
        }
    }

    /// Does what the decision says, and notes what the event says of our runners; neither waits for the other to work out.
    pub(in crate::app) async fn follow_up(
        &self,
        repository: &Repository,
        event: &JobEvent,
        decision: &Decision,
        pending: &[Action],
    ) -> Result<(), Failure> {
        let done = self.carry_out(repository, event, decision, pending).await;
        actions::follow_runner(self, repository, event).await?;
        done
    }

    async fn carry_out(
        &self,
        repository: &Repository,
        event: &JobEvent,
        decision: &Decision,
        pending: &[Action],
    ) -> Result<(), Failure> {
        // One that fails holds up no other: the alert goes out though the runner cannot be deleted yet.
        let mut first_failure = None;
        for action in pending {
            if let Err(failure) = actions::perform(self, repository, event, decision, *action).await {
                tracing::warn!(job = event.job.id.0, %action, %failure, "{action} did not work out");
                first_failure.get_or_insert(failure);
                continue;
            }
            records::update(
                self.ledger.as_ref(),
                &event.job.id.to_string(),
                self.settings.retention,
                |old: Option<JobRecord>| {
                    let mut record = old?;
                    record.cross_off(&decision.delivery, *action);
                    Some(record)
                },
            )
            .await?;
        }
        first_failure.map_or(Ok(()), Err)
    }
}

/// Whether the decision accuses or refuses somebody because of what the routing variable is.
fn rests_on_the_variable(decision: &Decision) -> bool {
    let refused = decision.admission.reasons.contains(&Reason::RolledBack);
    refused || decision.routing.verdict == RoutingVerdict::NotRouted
}

fn log(decision: &Decision) {
    let job = decision.job.id;
    let actions: Vec<String> = decision.actions.iter().map(ToString::to_string).collect();
    tracing::info!(
        delivery = %decision.delivery,
        repository = %decision.repository,
        job = job.0,
        action = decision.action.as_str(),
        labels = decision.labels_class.as_str(),
        trust = decision.trust.verdict.as_str(),
        routing = decision.routing.verdict.as_str(),
        admission = decision.admission.verdict.as_str(),
        actions = actions.join(","),
        "decided on job {job}"
    );
}
