//! The passes over the open incidents. A pass brings the incidents up to date with their alerts. It asks GitHub for the routing
//! variable if an incident has no safe state, and it escalates overdue incidents.
//!
//! The escalation is a change of the alert by compare-and-set, so several workers escalate once, an acknowledgement in
//! the same moment wins or loses as a whole, and the sinks receive the alert again although a worker dies. Everything
//! else follows from the records, so each pass repairs what a crash left undone.

use super::{evidence, routing, store};
use crate::app::context::Context;
use crate::app::records;
use crate::app::settings::Repository;
use crate::domain::alert::{Escalation, Overdue};
use crate::domain::incident::{Incident, Routing};
use crate::ports::Failure;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// Interval between two passes without an event.
const PASS_INTERVAL: TimeDelta = TimeDelta::seconds(5);
/// Minimum time between two passes.
const MIN_INTERVAL: Duration = Duration::from_millis(500);

/// The steps of a pass, and the end of the next deadline.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    /// The alerts that escalate.
    escalations: Vec<Step>,
    next_at: Option<DateTime<Utc>>,
}

/// An escalation of the alert of an incident.
#[derive(Debug, PartialEq)]
struct Step {
    alert: String,
    episode: u32,
    escalation: Escalation,
}

/// Runs passes until `stop` resolves.
pub async fn run(ctx: &Context, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    loop {
        let passed = tokio::select! {
            () = &mut stop => return,
            passed = pass(ctx) => passed,
        };
        let next_at = passed.map_or_else(
            |failure| {
                tracing::error!(%failure, "failed to process incidents");
                None
            },
            |(_, next_at)| next_at,
        );
        let wait = next_at.map_or(PASS_INTERVAL, |next_at| next_at - ctx.clock.now());
        let wait = wait
            .clamp(TimeDelta::zero(), PASS_INTERVAL)
            .to_std()
            .unwrap_or_default();
        let woken = async {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = ctx.alerts.altered() => {}
            }
            tokio::time::sleep(MIN_INTERVAL).await;
        };
        tokio::select! {
            () = &mut stop => return,
            () = woken => {}
        }
    }
}

/// Runs one pass. Returns the number of escalations.
///
/// # Errors
/// The failure of the ledger.
pub async fn run_once(ctx: &Context) -> Result<usize, Failure> {
    pass(ctx).await.map(|(escalated, _)| escalated)
}

async fn pass(ctx: &Context) -> Result<(usize, Option<DateTime<Utc>>), Failure> {
    let incidents = gather(ctx).await?;
    let plan = plan(ctx, &incidents);
    let mut escalated = 0;
    for step in &plan.escalations {
        escalated += usize::from(escalate(ctx, step).await?);
    }
    Ok((escalated, plan.next_at))
}

/// Returns the incidents of all live alerts, with the routing that GitHub shows.
async fn gather(ctx: &Context) -> Result<Vec<Incident>, Failure> {
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    let mut incidents = Vec::new();
    for alert in ctx.alerts.live().await? {
        let Some(incident) = store::follow(ledger, retention, &alert).await? else {
            continue;
        };
        incidents.push(with_evidence(ctx, incident).await?);
    }
    for repository in &ctx.settings.repositories {
        let now = ctx.clock.now();
        let concerned: Vec<&mut Incident> = incidents
            .iter_mut()
            .filter(|incident| repository.name.matches(&incident.repository) && incident.needs_routing())
            .collect();
        let is_due = |incident: &&mut Incident| {
            let mut overdue = incident.overdue(&ctx.settings.escalation.deadlines, now).into_iter();
            overdue.any(|(overdue, _)| overdue == Overdue::Restoration)
        };
        let must = concerned.iter().any(is_due);
        if concerned.is_empty() || !ctx.looks.begin(&repository.name, must, now) {
            continue;
        }
        if let Some(routing) = look(ctx, repository).await {
            for incident in concerned {
                *incident = see(ctx, incident, &routing).await?;
            }
        }
    }
    Ok(incidents)
}

/// Adds the decisions on jobs that are new in the incident, and the evidence of a rollback.
async fn with_evidence(ctx: &Context, incident: Incident) -> Result<Incident, Failure> {
    let (missing, ledger) = (incident.jobs_without_evidence(), ctx.ledger.as_ref());
    let trigger = evidence::of_rollback(ledger, &incident).await?;
    if missing.is_empty() && trigger.is_none() {
        return Ok(incident);
    }
    let mut evidence = Vec::new();
    for job in missing {
        evidence.push(evidence::of_job(ledger, incident.kind, job).await?);
    }
    change(ctx, &incident, |incident| {
        for evidence in &evidence {
            incident.add_evidence(evidence.clone());
        }
        if let Some(trigger) = &trigger {
            incident.add_findings(trigger);
        }
    })
    .await
}

/// Returns the routing of a repository, or none if GitHub gives no answer.
async fn look(ctx: &Context, repository: &Repository) -> Option<Routing> {
    let answer = routing::look(ctx, repository).await;
    answer
        .map_err(|failure| {
            tracing::warn!(%failure, repository = %repository.name, "cannot see the routing of {}", repository.name);
        })
        .ok()
}

async fn see(ctx: &Context, incident: &Incident, routing: &Routing) -> Result<Incident, Failure> {
    let now = ctx.clock.now();
    change(ctx, incident, |incident| incident.see(routing, now)).await
}

/// Changes the record of an incident and returns it.
async fn change(
    ctx: &Context,
    incident: &Incident,
    mut change: impl FnMut(&mut Incident) + Send,
) -> Result<Incident, Failure> {
    let (ledger, retention) = (ctx.ledger.as_ref(), ctx.settings.retention);
    let key = incident.key();
    let changed = records::change(ledger, &key, retention, |record: &mut Incident| {
        change(record);
        record.clone()
    });
    Ok(changed.await?.unwrap_or_else(|| incident.clone()))
}

fn plan(ctx: &Context, incidents: &[Incident]) -> Plan {
    let (now, policy) = (ctx.clock.now(), &ctx.settings.escalation);
    let mut plan = Plan::default();
    for incident in incidents {
        for (overdue, since) in incident.overdue(&policy.deadlines, now) {
            plan.escalations.push(Step {
                alert: incident.alert.clone(),
                episode: incident.episode,
                escalation: Escalation {
                    at: now,
                    to: policy.owners.secondary.clone(),
                    overdue,
                    since,
                },
            });
        }
        let next_at = incident
            .next_deadline(&policy.deadlines)
            .filter(|next_at| *next_at > now);
        plan.next_at = plan.next_at.into_iter().chain(next_at).min();
    }
    plan
}

/// Escalates an alert, unless another worker has done it or a person has acted. Returns true if the alert changed.
async fn escalate(ctx: &Context, step: &Step) -> Result<bool, Failure> {
    let Some(alert) = ctx.alerts.escalate(&step.alert, step.episode, &step.escalation).await? else {
        return Ok(false);
    };
    let (overdue, to) = (step.escalation.overdue, step.escalation.to.as_deref());
    let (id, to) = (
        &alert.id,
        to.unwrap_or("all receivers; alerts.owners.secondary is not set"),
    );
    tracing::error!(alert = id, overdue = overdue.as_str(), "alert {id} escalated to {to}");
    store::follow(ctx.ledger.as_ref(), ctx.settings.retention, &alert).await?;
    Ok(true)
}
