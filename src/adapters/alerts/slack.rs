//! Incoming webhooks of Slack and of compatible chats. The URL is the secret.

use super::post::Post;
use crate::domain::alert::{Alert, AlertState, Pace, Severity};
use crate::ports::Failure;
use crate::ports::alert_sink::AlertSink;
use async_trait::async_trait;
use chrono::{SecondsFormat, TimeDelta};
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

/// An alert sink for a channel.
pub struct Slack {
    post: Post,
    url: SecretString,
}

impl Slack {
    /// Creates a sink for the channel behind `url`.
    #[must_use]
    pub fn new(post: Post, url: SecretString) -> Self {
        Self { post, url }
    }
}

#[async_trait]
impl AlertSink for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn pace(&self) -> Pace {
        Pace {
            quiet: TimeDelta::seconds(600),
            refresh: None,
        }
    }

    async fn send(&self, alert: &Alert) -> Result<(), Failure> {
        // The message has no formatting, and Slack does not fetch its links.
        let body = json!({"text": text(alert), "mrkdwn": false, "unfurl_links": false, "unfurl_media": false});
        let url = self.url.expose_secret();
        self.post
            .json("Slack", url, HeaderMap::new(), body.to_string().into_bytes())
            .await
    }
}

/// Returns one line with the fact and one with the remedy.
fn text(alert: &Alert) -> String {
    let urgency = match alert.severity {
        Severity::Critical => "CRITICAL",
        Severity::Warning => "Warning",
    };
    let (kind, id) = (alert.kind.as_str(), &alert.id);
    let place = match alert.repository.as_str() {
        "-" => String::new(),
        repository => format!(" in {repository}"),
    };
    let name = |by: &Option<String>| by.clone().unwrap_or_else(|| "an operator".to_owned());
    let since = alert.opened_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let times = if alert.count > 1 {
        format!(", {} times since {since}", alert.count)
    } else {
        String::new()
    };
    let text = match alert.state {
        AlertState::Open => format!(
            "{urgency}: {kind}{place}: {}{times}\nRemedy: {} (acknowledge: jitgate alert ack {id})",
            alert.summary,
            alert.kind.advice().replace('`', "'")
        ),
        AlertState::Acked => format!("{kind}{place}: acknowledged by {}, alert {id}", name(&alert.acked_by)),
        AlertState::Resolved => format!(
            "{kind}{place}: resolved by {}, alert {id}{times}",
            name(&alert.resolved_by)
        ),
    };
    escaped(&text)
}

/// Escapes the three characters that form Slack's mentions and links.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_markup_is_escaped() {
        assert_eq!(escaped("<!channel> & <@U1|x>"), "&lt;!channel&gt; &amp; &lt;@U1|x&gt;");
    }
}
