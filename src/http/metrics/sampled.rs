//! The scrape: the counted metrics, and the current state of the store and of GitHub. A source that does not answer is
//! omitted, so that no old value is reported as current.

use super::counted::Metrics;
use super::exposition::{CONTENT_TYPE, text};
use crate::app::records::{RolloutRecord, RunnerRecord, WaitingRecord};
use crate::app::{Context, records};
use crate::domain::alert::{Alert, AlertState, Severity};
use crate::domain::runner::RunnerState;
use crate::ports::Failure;
use actix_web::HttpResponse;
use actix_web::web::Data;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The names of GitHub's rate limits; every other is `other`.
const RESOURCES: [&str; 8] = [
    "core",
    "search",
    "graphql",
    "code_search",
    "integration_manifest",
    "dependency_snapshots",
    "actions_runner_registration",
    "audit_log",
];

/// The state of a runner that a job waits for.
const WANTED: &str = "wanted";

type Whole = Gauge<u64, AtomicU64>;
type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SeverityLabels {
    severity: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    resource: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RepositoryLabels {
    repository: String,
}

/// The sources of a scrape.
pub(in crate::http) struct Scrape {
    pub(in crate::http) ctx: Arc<Context>,
    pub(in crate::http) metrics: Arc<Metrics>,
}

/// `GET /metrics`.
pub(in crate::http) async fn scrape(from: Data<Scrape>) -> HttpResponse {
    let mut sampled = Registry::with_prefix("jitgate");
    sample_queue(&from.ctx, &mut sampled).await;
    sample_runners(&from.ctx, &mut sampled).await;
    sample_alerts(&from.ctx, &mut sampled).await;
    sample_rollout(&from.ctx, &mut sampled).await;
    sample_github(&from.ctx, &mut sampled);
    sample_host(&from.ctx, &mut sampled);
    match text(&[&from.metrics.registry, &sampled]) {
        Ok(text) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(text),
        // Writing to memory does not fail; if it did, only this scrape would be lost.
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

async fn sample_queue(ctx: &Context, registry: &mut Registry) {
    let depth = match ctx.queue.depth().await {
        Ok(depth) => depth,
        Err(failure) => return tracing::warn!(%failure, "the scrape omits the queue"),
    };
    let entries = Family::<StateLabels, Whole>::default();
    let states = [
        ("ready", depth.ready),
        ("delayed", depth.delayed),
        ("leased", depth.leased),
        ("dead", depth.dead),
    ];
    for (state, count) in states {
        entries.get_or_create(&StateLabels { state }).set(count);
    }
    registry.register(
        "queue_entries",
        "Deliveries in the queue and dead letters by state",
        entries,
    );
    let age = depth.oldest.and_then(|oldest| (ctx.clock.now() - oldest).to_std().ok());
    let oldest = Seconds::default();
    oldest.set(age.unwrap_or_default().as_secs_f64());
    let help = "Age of the oldest unfinished delivery; 0 if there is none";
    registry.register("queue_oldest_seconds", help, oldest);
}

/// The count is the host's, because a slot resumes in a process of its own.
fn sample_host(ctx: &Context, registry: &mut Registry) {
    let Some(failures) = ctx.host.as_ref().and_then(|host| host.resume_failures()) else {
        return;
    };
    let counter = Counter::<u64>::default();
    counter.inc_by(failures);
    let help = "Slots that booted because they could not resume";
    registry.register("resume_failures", help, counter);
}

async fn sample_runners(ctx: &Context, registry: &mut Registry) {
    let ledger = ctx.ledger.as_ref();
    let found = async {
        let runners: Vec<RunnerRecord> = records::all(ledger).await?;
        let waiting_jobs: Vec<WaitingRecord> = records::all(ledger).await?;
        Ok::<_, Failure>((runners, waiting_jobs))
    };
    let (runners, waiting_jobs) = match found.await {
        Ok(found) => found,
        Err(failure) => return tracing::warn!(%failure, "the scrape omits the runners"),
    };
    let counts = Family::<StateLabels, Whole>::default();
    let count = |state: &'static str, count: usize| {
        counts.get_or_create(&StateLabels { state }).set(count as u64);
    };
    count(
        WANTED,
        waiting_jobs.iter().filter(|waiting| waiting.holder.is_none()).count(),
    );
    // A destroyed runner is not counted.
    for state in RunnerState::ALL
        .into_iter()
        .filter(|state| *state != RunnerState::Destroyed)
    {
        count(
            state.as_str(),
            runners.iter().filter(|runner| runner.state == state).count(),
        );
    }
    registry.register(
        "runners",
        "Existing runners by state; wanted counts the jobs that wait for one",
        counts,
    );
}

async fn sample_alerts(ctx: &Context, registry: &mut Registry) {
    let alerts = match ctx.alerts.live().await {
        Ok(alerts) => alerts,
        Err(failure) => return tracing::warn!(%failure, "the scrape omits the alerts"),
    };
    let open = Family::<SeverityLabels, Whole>::default();
    for severity in Severity::ALL {
        let is_open = |alert: &&Alert| alert.severity == severity && alert.state != AlertState::Resolved;
        let count = alerts.iter().filter(is_open).count() as u64;
        let severity = severity.as_str();
        open.get_or_create(&SeverityLabels { severity }).set(count);
    }
    registry.register("alerts_open", "Unresolved alerts by severity", open);
}

async fn sample_rollout(ctx: &Context, registry: &mut Registry) {
    let (stages, enabled) = (
        Family::<RepositoryLabels, Whole>::default(),
        Family::<RepositoryLabels, Whole>::default(),
    );
    for repository in &ctx.settings.repositories {
        let record = records::load::<RolloutRecord>(ctx.ledger.as_ref(), repository.name.as_str()).await;
        let record = match record {
            Ok(record) => record.unwrap_or_default(),
            Err(failure) => return tracing::warn!(%failure, "the scrape omits the rollout"),
        };
        let labels = RepositoryLabels {
            repository: repository.name.to_string(),
        };
        let stage = record.canary.stage_of(&ctx.settings.rollout.stages);
        stages.get_or_create(&labels).set(stage as u64);
        if record.enabled_at.is_some() {
            enabled.get_or_create(&labels).set(record.canary.phase.is_on().into());
        }
    }
    registry.register("canary_stage", "Stage of the rollout, from 0", stages);
    registry.register(
        "routing_enabled",
        "1 while self-hosted routing is on, as far as was seen; absent before it was first seen on",
        enabled,
    );
}

fn sample_github(ctx: &Context, registry: &mut Registry) {
    let remaining = Family::<ResourceLabels, Whole>::default();
    for (resource, calls) in ctx.github.remaining_quota() {
        let known = RESOURCES.into_iter().find(|known| *known == resource);
        let resource = known.unwrap_or("other");
        remaining.get_or_create(&ResourceLabels { resource }).set(calls);
    }
    let help = "Remaining calls as GitHub last reported them; the lowest of all installations";
    registry.register("github_rate_limit_remaining", help, remaining);
}
