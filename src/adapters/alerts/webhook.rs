//! Any other receiver, which verifies the sender by a signature.
//!
//! `X-Jitgate-Signature-256` is `sha256=` followed by the HMAC-SHA-256 of the raw body. The body contains its id and
//! time, so both are signed; the headers repeat them. A repeated message has the same id. A receiver that remembers ids
//! and rejects messages older than its memory is safe against replay.

use super::post::Post;
use crate::domain::alert::{Alert, Owners, Pace};
use crate::domain::signature;
use crate::ports::Failure;
use crate::ports::alert_sink::AlertSink;
use async_trait::async_trait;
use chrono::TimeDelta;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::json;

/// The version of the body's layout.
const LAYOUT_VERSION: u32 = 1;

/// An alert sink that posts signed JSON to a receiver.
pub struct Webhook {
    post: Post,
    url: String,
    secret: SecretString,
    owners: Owners,
}

impl Webhook {
    /// Creates a sink for the receiver at `url`, which shares `secret`.
    #[must_use]
    pub fn new(post: Post, url: &str, secret: SecretString, owners: Owners) -> Self {
        Self {
            post,
            url: url.to_owned(),
            secret,
            owners,
        }
    }
}

#[async_trait]
impl AlertSink for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn pace(&self) -> Pace {
        Pace {
            quiet: TimeDelta::seconds(60),
            refresh: None,
        }
    }

    async fn send(&self, alert: &Alert) -> Result<(), Failure> {
        let sent_at = self.post.clock().now();
        let id = format!("{}-{}", alert.id, alert.revision);
        let body = json!({
            "v": LAYOUT_VERSION,
            "id": id,
            "sent_at": sent_at,
            "alert": {
                "id": alert.id,
                "kind": alert.kind,
                "severity": alert.severity,
                "state": alert.state,
                "repository": alert.repository,
                "verdict": alert.verdict,
                "summary": alert.summary,
                "remedy": alert.kind.advice(),
                "episode": alert.episode,
                "count": alert.count,
                "job_id": alert.job_id,
                "first_at": alert.first_at,
                "opened_at": alert.opened_at,
                "last_at": alert.last_at,
                "acked_at": alert.acked_at,
                "acked_by": alert.acked_by,
                "resolved_at": alert.resolved_at,
                "resolved_by": alert.resolved_by,
                "owner": self.owners.of(alert),
                "escalations": alert.escalations,
            },
        });
        let body = body.to_string().into_bytes();
        let headers = [
            ("x-jitgate-delivery", id),
            ("x-jitgate-timestamp", sent_at.timestamp().to_string()),
            ("x-jitgate-signature-256", signature::sign(&self.secret, &body)),
        ];
        let header = |(name, value): (&'static str, String)| {
            Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?))
        };
        let headers = HeaderMap::from_iter(headers.into_iter().filter_map(header));
        self.post.json("the alert webhook", &self.url, headers, body).await
    }
}
