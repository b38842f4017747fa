//! Alerts as log lines, for whoever collects logs.

use crate::domain::alert::{Alert, Severity};
use crate::ports::Failure;
use crate::ports::alert_sink::AlertSink;
use async_trait::async_trait;

/// Writes every alert into the log: critical ones as errors, others as warnings.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogSink;

#[async_trait]
impl AlertSink for LogSink {
    async fn raise(&self, alert: &Alert) -> Result<(), Failure> {
        let kind = alert.kind.as_str();
        let (repository, verdict, count, job) = (&alert.repository, &alert.verdict, alert.count, alert.job_id);
        match alert.severity {
            Severity::Critical => {
                tracing::error!(kind, repository, verdict, count, job, "alert {kind}: {}", alert.summary);
            }
            Severity::Warning => {
                tracing::warn!(kind, repository, verdict, count, job, "alert {kind}: {}", alert.summary);
            }
        }
        Ok(())
    }
}
