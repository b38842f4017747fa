//! Prometheus Alertmanager, through version 2 of its API.
//!
//! Alertmanager resolves an alert that is not posted again. Open alerts are therefore posted every minute, with an end
//! some minutes ahead, which covers a restart of jitgate. Resolved alerts are posted with their end. Labels identify an
//! alert in Alertmanager, so they hold no value that changes and no text of outsiders.

use super::post::Post;
use crate::domain::alert::{Alert, AlertState, Pace};
use crate::ports::Failure;
use crate::ports::alert_sink::AlertSink;
use async_trait::async_trait;
use chrono::TimeDelta;
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
}

impl Alertmanager {
    /// Creates a sink for the Alertmanager at `url`.
    #[must_use]
    pub fn new(post: Post, url: &str) -> Self {
        Self {
            post,
            url: format!("{url}/api/v2/alerts"),
        }
    }

    fn body(&self, alert: &Alert) -> Value {
        let ends_at = match alert.state {
            AlertState::Resolved => alert.resolved_at.unwrap_or(alert.last_at),
            AlertState::Open | AlertState::Acked => self.post.clock().now() + RESOLVE_TIMEOUT,
        };
        // Alertmanager rejects an alert that ends before it begins.
        let starts_at = alert.opened_at.min(ends_at);
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
        json!([{
            "labels": {
                "alertname": alert.kind.as_str(),
                "severity": alert.severity.as_str(),
                "repository": alert.repository,
                "verdict": alert.verdict,
                "alert": alert.id,
                "service": "jitgate",
            },
            "annotations": annotations,
            "startsAt": starts_at,
            "endsAt": ends_at,
        }])
    }
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
