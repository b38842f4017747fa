//! Slack's incoming webhooks, and those of chats that take the same JSON. The URL is the secret.

use super::post::Post;
use crate::domain::alert::{Alert, AlertState, Pace, Severity};
use crate::ports::Failure;
use crate::ports::alert_sink::AlertSink;
use async_trait::async_trait;
use chrono::{SecondsFormat, TimeDelta};
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

/// Posts alerts into a channel.
pub struct Slack {
    post: Post,
    url: SecretString,
}

impl Slack {
    /// The channel behind `url`.
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

    async fn tell(&self, alert: &Alert) -> Result<(), Failure> {
        // No formatting, no link that is looked at on our behalf.
        let body = json!({"text": text(alert), "mrkdwn": false, "unfurl_links": false, "unfurl_media": false});
        let url = self.url.expose_secret();
        self.post
            .json("Slack", url, HeaderMap::new(), body.to_string().into_bytes())
            .await
    }
}

/// One line on what happened, one on what to do.
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
    let somebody = |by: &Option<String>| by.clone().unwrap_or_else(|| "somebody".to_owned());
    let since = alert.opened_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let times = if alert.count > 1 {
        format!(", {} times since {since}", alert.count)
    } else {
        String::new()
    };
    let text = match alert.state {
        AlertState::Open => format!(
            "{urgency}: {kind}{place}: {}{times}\nWhat to do: {} (jitgate alert ack {id})",
            alert.summary,
            alert.kind.advice().replace('`', "'")
        ),
        AlertState::Acked => format!("{} looks at {kind}{place}, alert {id}", somebody(&alert.acked_by)),
        AlertState::Resolved => format!(
            "Over, says {}: {kind}{place}, alert {id}{times}",
            somebody(&alert.resolved_by)
        ),
    };
    escaped(&text)
}

/// Text as Slack wants it: these three make its mentions and links.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slack_reads_markup_from_is_escaped() {
        assert_eq!(escaped("<!channel> & <@U1|x>"), "&lt;!channel&gt; &amp; &lt;@U1|x&gt;");
    }
}
