//! `[alerts]`: the receivers of alerts.

use super::check::{Check, Reported};
use super::mask::masked;
use crate::domain::alert::Owners;
use crate::domain::text::is_hidden;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Maximum length of the name of an owner, in characters.
const MAX_OWNER_CHARS: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlerts {
    /// URL of a Prometheus Alertmanager.
    #[schemars(extend("format" = "uri"))]
    alertmanager_url: Option<String>,
    /// URL of a Slack incoming webhook. The URL is a secret.
    #[schemars(extend("writeOnly" = true))]
    slack_webhook_url: Option<String>,
    /// File with the URL of the Slack webhook.
    slack_webhook_url_file: Option<PathBuf>,
    /// URL of a receiver of signed alerts.
    #[schemars(extend("format" = "uri"))]
    webhook_url: Option<String>,
    /// Secret that signs the alerts to `webhook_url`.
    #[schemars(extend("writeOnly" = true))]
    webhook_secret: Option<String>,
    /// File with the secret of the webhook.
    webhook_secret_file: Option<PathBuf>,
    /// Time in which an operator must acknowledge a critical alert; then it escalates to the second owner.
    #[schemars(range(min = 1, max = 604_800))]
    ack_deadline_s: u64,
    /// Time in which a critical alert must reach a safe routing state; then it escalates to the second owner.
    #[schemars(range(min = 1, max = 604_800))]
    restore_deadline_s: u64,
    /// Owners of the service.
    owners: RawOwners,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawOwners {
    /// First owner.
    primary: Option<String>,
    /// Second owner.
    secondary: Option<String>,
}

/// The receivers of alerts.
#[derive(Debug, Clone)]
pub struct Alerts {
    pub alertmanager_url: Option<String>,
    pub slack_webhook_url: Option<SecretString>,
    pub webhook: Option<AlertWebhook>,
    pub ack_deadline: Duration,
    pub restore_deadline: Duration,
    pub owners: Owners,
}

/// A receiver of signed alerts.
#[derive(Debug, Clone)]
pub struct AlertWebhook {
    pub url: String,
    pub secret: SecretString,
}

/// A destination of alerts, in displayable form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertPlace {
    /// The name of the sink in records and metrics.
    pub sink: &'static str,
    /// The address without secret parts.
    pub to: String,
}

impl Alerts {
    /// Returns the destinations of alerts, without the store.
    #[must_use]
    pub fn places(&self) -> Vec<AlertPlace> {
        let place = |sink, to| AlertPlace { sink, to };
        let mut places = vec![place("log", "the log".to_owned())];
        places.extend(
            self.alertmanager_url
                .as_deref()
                .map(|url| place("alertmanager", masked(url))),
        );
        let slack = self.slack_webhook_url.as_ref();
        places.extend(slack.map(|_| place("slack", "a channel whose URL is the secret".to_owned())));
        let webhook = self.webhook.as_ref();
        places.extend(webhook.map(|webhook| place("webhook", format!("{}, signed", masked(&webhook.url)))));
        places
    }
}

impl RawAlerts {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Alerts, Reported> {
        let owners = self.owners.validate(check);
        let alertmanager_url = self.alertmanager_url.as_deref();
        let alertmanager_url = alertmanager_url
            .map(|url| check.url("alerts.alertmanager_url", url))
            .transpose();
        let slack_webhook_url = check.secret(
            ("alerts.slack_webhook_url", self.slack_webhook_url),
            ("alerts.slack_webhook_url_file", self.slack_webhook_url_file.as_deref()),
        );
        if let Ok(Some(url)) = &slack_webhook_url {
            let given_as_file = self.slack_webhook_url_file.is_some();
            let key = if given_as_file {
                "alerts.slack_webhook_url_file"
            } else {
                "alerts.slack_webhook_url"
            };
            check.url(key, url.expose_secret())?;
        }
        let secret = check.secret(
            ("alerts.webhook_secret", self.webhook_secret),
            ("alerts.webhook_secret_file", self.webhook_secret_file.as_deref()),
        );
        let url = self
            .webhook_url
            .as_deref()
            .map(|url| check.url("alerts.webhook_url", url));
        let webhook = match (url.transpose()?, secret?) {
            (Some(url), Some(secret)) => Some(AlertWebhook { url, secret }),
            (Some(_), None) => {
                let remedy = "set alerts.webhook_secret_file, so that the receiver can verify the sender";
                return Err(check.problem("alerts.webhook_url", "requires a secret", remedy));
            }
            (None, Some(_)) => {
                return Err(check.problem(
                    "alerts.webhook_secret",
                    "requires alerts.webhook_url",
                    "set alerts.webhook_url too",
                ));
            }
            (None, None) => None,
        };
        if self.ack_deadline_s > self.restore_deadline_s {
            let remedy = "set it to a shorter time than alerts.restore_deadline_s";
            check.problem(
                "alerts.ack_deadline_s",
                "is longer than alerts.restore_deadline_s",
                remedy,
            );
        }
        let (alertmanager_url, slack_webhook_url) = (alertmanager_url?, slack_webhook_url?);
        if (alertmanager_url.is_some() || slack_webhook_url.is_some() || webhook.is_some())
            && owners.secondary.is_none()
        {
            check.warn(
                "alerts.owners.secondary",
                "is not set: an alert that no person acknowledges escalates to no second owner",
                "set it to a name that the receivers of alerts understand",
            );
        }
        Ok(Alerts {
            alertmanager_url,
            slack_webhook_url,
            webhook,
            ack_deadline: Duration::from_secs(self.ack_deadline_s),
            restore_deadline: Duration::from_secs(self.restore_deadline_s),
            owners,
        })
    }
}

impl RawOwners {
    fn validate(self, check: &mut Check<'_>) -> Owners {
        let mut valid = |key, name: Option<String>| {
            let is_usable = |name: &str| name.chars().count() <= MAX_OWNER_CHARS && !name.contains(is_hidden);
            if name.as_deref().is_some_and(|name| !is_usable(name)) {
                let remedy = format!("use 1 to {MAX_OWNER_CHARS} printable characters");
                check.problem(key, "is not a usable name", remedy);
            }
            name
        };
        Owners {
            primary: valid("alerts.owners.primary", self.primary),
            secondary: valid("alerts.owners.secondary", self.secondary),
        }
    }
}
