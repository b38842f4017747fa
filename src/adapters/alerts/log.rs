//! Alerts as log messages, for log collectors.

use crate::domain::alert::{Alert, AlertState, Pace, Severity};
use crate::ports::Failure;
use crate::ports::alert_sink::AlertSink;
use async_trait::async_trait;
use chrono::TimeDelta;

/// An alert sink that logs every change of an alert. Open alerts are errors if they are critical and warnings
/// otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogSink;

#[async_trait]
impl AlertSink for LogSink {
    fn name(&self) -> &'static str {
        "log"
    }

    fn pace(&self) -> Pace {
        Pace {
            quiet: TimeDelta::zero(),
            refresh: None,
        }
    }

    async fn send(&self, alert: &Alert) -> Result<(), Failure> {
        let (kind, state) = (alert.kind.as_str(), alert.state.as_str());
        let (id, repository, verdict, count) = (&alert.id, &alert.repository, &alert.verdict, alert.count);
        let (job, summary) = (alert.job_id, &alert.summary);
        macro_rules! log {
            ($level:ident, $($more:ident,)* $text:literal) => {
                tracing::$level!(kind, state, id, repository, verdict, count, job, $($more,)* $text)
            };
        }
        if let Some(escalation) = alert.pressing() {
            let (overdue, to) = (escalation.overdue.as_str(), escalation.to.as_deref());
            let (words, since) = (escalation.overdue.in_words(), escalation.since);
            log!(error, overdue, to, "alert {kind} is {words} {since}: {summary}");
            return Ok(());
        }
        match (alert.state, alert.severity) {
            (AlertState::Open, Severity::Critical) => log!(error, "alert {kind}: {summary}"),
            (AlertState::Open, Severity::Warning) => log!(warn, "alert {kind}: {summary}"),
            (AlertState::Acked, _) => {
                let by = alert.acked_by.as_deref();
                log!(info, by, "alert {kind} acknowledged: {summary}");
            }
            (AlertState::Resolved, _) => {
                let by = alert.resolved_by.as_deref();
                log!(info, by, "alert {kind} resolved: {summary}");
            }
        }
        Ok(())
    }
}
