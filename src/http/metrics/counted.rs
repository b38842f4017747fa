//! The metrics that are updated when events happen.

use crate::domain::decision::Decision;
use crate::domain::event::Action;
use crate::domain::runner::Outcome;
use crate::ports::event::{Event, Observer};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// The event names of deliveries; every other event is `other`.
const EVENTS: [&str; 2] = ["workflow_job", "ping"];
/// GitHub guarantees nothing about its deliveries: usually 2 s, 160 s at the 95th percentile, 40 min in incidents.
const LAG_S: [f64; 12] = [
    0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 7200.0,
];
/// GitHub's timeout for an answer is 10 s.
const RECEIVE_S: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.5, 10.0];
/// Either a worker is free at once, or all wait for GitHub.
const DELIVERY_WAIT_S: [f64; 11] = [0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0];
/// A few calls to GitHub.
const DECIDE_S: [f64; 11] = [0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Around the service level of 120 s, and up to the hours of a full pool or an incident at GitHub.
const QUEUE_WAIT_S: [f64; 15] = [
    2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1800.0, 3600.0, 10800.0, 43200.0,
];
/// One call to GitHub, up to its timeout.
const MINT_S: [f64; 10] = [0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
/// A directory is ready at once, a virtual machine takes longer.
const BOOT_S: [f64; 12] = [0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0];
/// The runner program starts, connects and gets a job; `boot_deadline_s` is the timeout.
const PICKUP_S: [f64; 11] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0, 120.0, 300.0];
/// Around the service level of 180 s; GitHub's times of steps are whole seconds.
const SETUP_S: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    event: &'static str,
    action: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SecretLabels {
    position: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    trust: &'static str,
    labels_class: &'static str,
    routing: &'static str,
    admission: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: &'static str,
    result: &'static str,
}

impl RequestLabels {
    fn of(endpoint: &'static str, status: Option<u16>) -> Self {
        let status = match status {
            None => "none".to_owned(),
            Some(status @ 100..=599) => status.to_string(),
            Some(_) => "other".to_owned(),
        };
        Self { endpoint, status }
    }
}

impl From<&Decision> for DecisionLabels {
    fn from(decision: &Decision) -> Self {
        Self {
            trust: decision.trust.verdict.as_str(),
            labels_class: decision.labels_class.as_str(),
            routing: decision.routing.verdict.as_str(),
            admission: decision.admission.verdict.as_str(),
        }
    }
}

impl From<Outcome> for OutcomeLabels {
    fn from(outcome: Outcome) -> Self {
        let outcome = outcome.as_str();
        Self { outcome }
    }
}

/// The counters and histograms of one process.
#[derive(Debug)]
pub struct Metrics {
    pub(super) registry: Registry,
    deliveries: Family<DeliveryLabels, Counter>,
    secrets: Family<SecretLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    alerts: Family<SinkLabels, Counter>,
    outcomes: Family<OutcomeLabels, Counter>,
    lag: Histogram,
    receive: Histogram,
    delivery_wait: Histogram,
    decide: Histogram,
    queue_wait: Histogram,
    mint: Histogram,
    boot: Histogram,
    pickup: Histogram,
    setup: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("jitgate"),
            deliveries: Family::default(),
            secrets: Family::default(),
            decisions: Family::default(),
            requests: Family::default(),
            alerts: Family::default(),
            lag: Histogram::new(LAG_S),
            receive: Histogram::new(RECEIVE_S),
            outcomes: Family::default(),
            delivery_wait: Histogram::new(DELIVERY_WAIT_S),
            decide: Histogram::new(DECIDE_S),
            queue_wait: Histogram::new(QUEUE_WAIT_S),
            mint: Histogram::new(MINT_S),
            boot: Histogram::new(BOOT_S),
            pickup: Histogram::new(PICKUP_S),
            setup: Histogram::new(SETUP_S),
        };
        for outcome in Outcome::ALL {
            // Every outcome exists from the start, so that the first one shows as an increase.
            drop(metrics.outcomes.get_or_create(&OutcomeLabels::from(*outcome)));
        }
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let to = &mut self.registry;
        to.register("deliveries", "Answered deliveries", self.deliveries.clone());
        to.register(
            "webhook_secret_used",
            "Deliveries by the position of the secret that signed them; 0 is the current secret",
            self.secrets.clone(),
        );
        to.register("decisions", "Decisions", self.decisions.clone());
        to.register(
            "github_requests",
            "Requests to GitHub by the status of the answer; none without an answer",
            self.requests.clone(),
        );
        to.register(
            "alert_deliveries",
            "Messages about alerts by sink and result",
            self.alerts.clone(),
        );
        to.register(
            "delivery_lag_seconds",
            "Time from an event, by GitHub's clock, to its delivery",
            self.lag.clone(),
        );
        to.register(
            "receive_seconds",
            "Time from a delivery's last byte to its answer",
            self.receive.clone(),
        );
        to.register(
            "delivery_wait_seconds",
            "Time from a delivery's arrival to its first claim by a worker",
            self.delivery_wait.clone(),
        );
        to.register(
            "decide_seconds",
            "Time to gather the facts of a delivery and to decide",
            self.decide.clone(),
        );
        to.register("runner_outcomes", "Ended runners by outcome", self.outcomes.clone());
        to.register(
            "queue_wait_seconds",
            "Time from a trusted pool job's creation to its start, by GitHub's clock",
            self.queue_wait.clone(),
        );
        to.register(
            "mint_seconds",
            "Time of a request to GitHub for a runner, with any answer",
            self.mint.clone(),
        );
        to.register(
            "boot_seconds",
            "Time from a request for a slot to its readiness",
            self.boot.clone(),
        );
        to.register(
            "pickup_seconds",
            "Time from a runner's registration at GitHub to its first job",
            self.pickup.clone(),
        );
        to.register(
            "setup_latency_seconds",
            "Time from a trusted pool job's start to its first step, on a runner of jitgate",
            self.setup.clone(),
        );
        self
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Event<'_>) {
        let seconds = Duration::as_secs_f64;
        match event {
            Event::DeliveryAnswered {
                event,
                action,
                result,
                lag,
                took,
            } => {
                let labels = DeliveryLabels {
                    event: EVENTS.into_iter().find(|known| known == event).unwrap_or("other"),
                    action: action.map_or("none", Action::as_str),
                    result,
                };
                self.deliveries.get_or_create(&labels).inc();
                self.receive.observe(seconds(took));
                if let Some(lag) = lag {
                    self.lag.observe(seconds(lag));
                }
            }
            Event::SecretUsed { position } => {
                let position = *position as u64;
                self.secrets.get_or_create(&SecretLabels { position }).inc();
            }
            Event::DeliveryClaimed { waited } => self.delivery_wait.observe(seconds(waited)),
            Event::Decided { decision, took } => {
                self.decisions.get_or_create(&DecisionLabels::from(*decision)).inc();
                self.decide.observe(seconds(took));
            }
            Event::SlotReady { took } => self.boot.observe(seconds(took)),
            Event::RunnerRequested { took } => self.mint.observe(seconds(took)),
            Event::RunnerPickedUp { took } => self.pickup.observe(seconds(took)),
            Event::JobStarted { waited } => self.queue_wait.observe(seconds(waited)),
            Event::JobSetUp { took } => self.setup.observe(seconds(took)),
            Event::RunnerEnded { outcome } => {
                self.outcomes.get_or_create(&OutcomeLabels::from(*outcome)).inc();
            }
            Event::GithubAnswered { endpoint, status } => {
                self.requests.get_or_create(&RequestLabels::of(endpoint, *status)).inc();
            }
            Event::AlertSent { sink, accepted } => {
                let result = if *accepted { "delivered" } else { "failed" };
                self.alerts.get_or_create(&SinkLabels { sink, result }).inc();
            }
        }
    }
}
