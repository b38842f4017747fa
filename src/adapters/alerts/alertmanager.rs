//! Prometheus Alertmanager, through version 2 of its API.
//!
//! Alertmanager resolves an alert that is not posted again. Open alerts are therefore posted every minute, with an end
//! some minutes ahead, which covers a restart of jitgate. Resolved alerts are posted with their end. Labels identify an
//! alert in Alertmanager, so they hold no value that changes and no text of outsiders.
//!
//! A changed annotation causes no notification in Alertmanager. Each escalation is therefore an alert of its own, with the
//! labels of the first one and two more, `escalation` and `escalated_to`, by which a route selects a receiver. It ends
//! with the alert; that of a missed acknowledgement ends with the acknowledgement.

use super::post::Post;
use crate::domain::alert::{Alert, AlertState, Escalation, Overdue, Owners, Pace};
use crate::ports::Failure;
use crate::ports::alert_sink::AlertSink;
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};

/// The time between two posts of an open alert.
const REFRESH_INTERVAL: TimeDelta = TimeDelta::seconds(60);
/// The time for which Alertmanager keeps an alert open without a new post.
const RESOLVE_TIMEOUT: TimeDelta = TimeDelta::seconds(300);

/// An alert sink for an Alertmanager.
pub struct Alertmanager {
    post: Post,
    url: String,
    owners: Owners,
}

impl Alertmanager {
    /// Creates a sink for the Alertmanager at `url`.
    #[must_use]
    pub fn new(post: Post, url: &str, owners: Owners) -> Self {
        Self {
            post,
            url: format!("{url}/api/v2/alerts"),
            owners,
        }
    }

    /// Returns the alert and its escalations.
    fn body(&self, alert: &Alert) -> Value {
        let ends_at = match alert.state {
            AlertState::Resolved => alert.resolved_at.unwrap_or(alert.last_at),
            AlertState::Open | AlertState::Acked => self.post.clock().now() + RESOLVE_TIMEOUT,
        };
        let first = entry(labels(alert), self.annotations(alert), alert.opened_at, ends_at);
        let escalations = alert.escalations.iter().map(|escalation| {
            let ends_at = match (escalation.overdue, alert.acked_at) {
                (Overdue::Acknowledgement, Some(acked_at)) => acked_at.min(ends_at),
                _ => ends_at,
            };
            let mut labels = labels(alert);
            labels.insert("escalation".to_owned(), json!(escalation.overdue.as_str()));
            if let Some(to) = &escalation.to {
                labels.insert("escalated_to".to_owned(), json!(to));
            }
            let mut annotations = self.annotations(alert);
            annotations.insert("escalated".to_owned(), json!(in_words(escalation)));
            entry(labels, annotations, escalation.at, ends_at)
        });
        std::iter::once(first).chain(escalations).collect()
    }

    fn annotations(&self, alert: &Alert) -> Map<String, Value> {
        let mut annotations = Map::from_iter([
            ("summary".to_owned(), json!(alert.summary)),
            ("count".to_owned(), json!(alert.count.to_string())),
            ("remedy".to_owned(), json!(alert.kind.advice())),
        ]);
        if let Some(job) = alert.job_id {
            annotations.insert("job".to_owned(), json!(job.to_string()));
        }
        if let Some(by) = &alert.acked_by {
            annotations.insert("acked_by".to_owned(), json!(by));
        }
        if let Some(owner) = self.owners.of(alert) {
            annotations.insert("owner".to_owned(), json!(owner));
        }
        annotations
    }
}

fn labels(alert: &Alert) -> Map<String, Value> {
    Map::from_iter([
        ("alertname".to_owned(), json!(alert.kind.as_str())),
        ("severity".to_owned(), json!(alert.severity.as_str())),
        ("repository".to_owned(), json!(alert.repository)),
        ("verdict".to_owned(), json!(alert.verdict)),
        ("alert".to_owned(), json!(alert.id)),
        ("service".to_owned(), json!("jitgate")),
    ])
}

/// Returns an alert in Alertmanager's form.
fn entry(
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
) -> Value {
    // Alertmanager rejects an alert that ends before it begins.
    let starts_at = starts_at.min(ends_at);
    json!({"labels": labels, "annotations": annotations, "startsAt": starts_at, "endsAt": ends_at})
}

fn in_words(escalation: &Escalation) -> String {
    let since = escalation.since.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("{} {since}", escalation.overdue.in_words())
}

#[async_trait]
impl AlertSink for Alertmanager {
    fn name(&self) -> &'static str {
        "alertmanager"
    }

    fn pace(&self) -> Pace {
        Pace {
            quiet: TimeDelta::seconds(10),
            refresh: Some(REFRESH_INTERVAL),
        }
    }

    async fn send(&self, alert: &Alert) -> Result<(), Failure> {
        let body = self.body(alert).to_string().into_bytes();
        self.post.json("Alertmanager", &self.url, HeaderMap::new(), body).await
    }
}
