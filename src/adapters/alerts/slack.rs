//! Incoming webhooks of Slack and of compatible chats. The URL is the secret.

use super::post::Post;
use crate::domain::alert::{Alert, AlertState, Owners, Pace, Severity};
use crate::ports::Failure;
use crate::ports::alert_sink::AlertSink;
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

/// An alert sink for a channel.
pub struct Slack {
    post: Post,
    url: SecretString,
    owners: Owners,
}

impl Slack {
    /// Creates a sink for the channel behind `url`.
    #[must_use]
    pub fn new(post: Post, url: SecretString, owners: Owners) -> Self {
        Self { post, url, owners }
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
        let body =
            json!({"text": text(alert, &self.owners), "mrkdwn": false, "unfurl_links": false, "unfurl_media": false});
        let url = self.url.expose_secret();
        self.post
            .json("Slack", url, HeaderMap::new(), body.to_string().into_bytes())
            .await
    }
}

/// Returns one line with the fact, one with the owner if one is configured, and one with the remedy.
fn text(alert: &Alert, owners: &Owners) -> String {
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
    let second = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let since = second(alert.opened_at);
    let times = if alert.count > 1 {
        format!(", {} times since {since}", alert.count)
    } else {
        String::new()
    };
    let pressing = alert.pressing();
    let heading = match (pressing, alert.state) {
        (Some(escalation), _) => format!(
            "ESCALATED, {} {}: {kind}{place}: {}{times}",
            escalation.overdue.in_words(),
            second(escalation.since),
            alert.summary
        ),
        (None, AlertState::Open) => format!("{urgency}: {kind}{place}: {}{times}", alert.summary),
        (None, AlertState::Acked) => format!("{kind}{place}: acknowledged by {}, alert {id}", name(&alert.acked_by)),
        (None, AlertState::Resolved) => format!(
            "{kind}{place}: resolved by {}, alert {id}{times}",
            name(&alert.resolved_by)
        ),
    };
    let mut text = escaped(&heading);
    if pressing.is_none() && alert.state != AlertState::Open {
        return text;
    }
    if let Some(owner) = owners.of(alert).filter(|_| alert.severity == Severity::Critical) {
        text.push_str(&format!("\nOwner: {}", mention(owner)));
    }
    let advice = alert.kind.advice().replace('`', "'");
    let next = match alert.state {
        AlertState::Open => format!("acknowledge: jitgate alert ack {id}"),
        AlertState::Acked | AlertState::Resolved => format!("acknowledged by {}, alert {id}", name(&alert.acked_by)),
    };
    text.push_str(&escaped(&format!("\nRemedy: {advice} ({next})")));
    text
}

/// Returns the name of an owner. The form of a mention of one account or group is kept; the configuration alone
/// contains it.
fn mention(owner: &str) -> String {
    let inner = owner.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    let id = inner.and_then(|inner| inner.strip_prefix('@').or_else(|| inner.strip_prefix("!subteam^")));
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if id.is_some_and(is_id) {
        owner.to_owned()
    } else {
        escaped(owner)
    }
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

    #[test]
    fn an_owner_is_mentioned_only_in_the_form_of_one_account_or_group() {
        for mention in ["<@U012AB3CD>", "<!subteam^S012AB3CD>", "@octo-org/ci"] {
            assert_eq!(super::mention(mention), mention);
        }
        for other in ["<!channel>", "<@U1|x>", "<https://evil.example>", "<@>"] {
            assert!(!super::mention(other).contains('<'), "{other}");
        }
    }
}
