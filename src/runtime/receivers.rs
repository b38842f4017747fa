//! The receivers of alerts, and the deadlines of their owners, from a validated configuration.

use crate::adapters::alerts::{Alertmanager, LogSink, Post, SetupError, Slack, Webhook};
use crate::app::Alerts;
use crate::app::settings::EscalationPolicy;
use crate::config::{self, Config};
use crate::domain::incident::Deadlines;
use crate::ports::alert_sink::AlertSink;
use crate::ports::{Clock, Ledger, Observer};
use chrono::TimeDelta;
use std::sync::Arc;
use std::time::Duration;

/// Opens the alerts of a ledger with the configured sinks.
pub(super) fn open(
    config: &Config,
    clock: &Arc<dyn Clock>,
    ledger: Arc<dyn Ledger>,
    observer: Arc<dyn Observer>,
) -> Result<Arc<Alerts>, SetupError> {
    let post = Post::new(clock.clone(), &config.proxies)?;
    let (alerts, owners) = (&config.alerts, || config.alerts.owners.clone());
    let mut sinks: Vec<Arc<dyn AlertSink>> = vec![Arc::new(LogSink)];
    if let Some(url) = &alerts.alertmanager_url {
        sinks.push(Arc::new(Alertmanager::new(post.clone(), url, owners())));
    }
    if let Some(url) = &alerts.slack_webhook_url {
        sinks.push(Arc::new(Slack::new(post.clone(), url.clone(), owners())));
    }
    if let Some(webhook) = &alerts.webhook {
        let (url, secret) = (&webhook.url, webhook.secret.clone());
        sinks.push(Arc::new(Webhook::new(post, url, secret, owners())));
    }
    let retention = config.store.retention;
    Ok(Arc::new(Alerts::new(ledger, clock.clone(), observer, retention, sinks)))
}

/// Returns the deadlines and the owners of critical alerts.
pub(super) fn escalation(alerts: &config::Alerts) -> EscalationPolicy {
    let delta = |duration: Duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
    EscalationPolicy {
        deadlines: Deadlines {
            acknowledgement: delta(alerts.ack_deadline),
            restoration: delta(alerts.restore_deadline),
        },
        owners: alerts.owners.clone(),
    }
}
