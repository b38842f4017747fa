//! Installs logging according to `--log` and the configuration.

use super::global::Global;
use crate::config::{LogFormat, Telemetry};
use crate::telemetry::{self, LogLevel};

/// Logs as configured; `--log` overrides the configuration.
pub(super) fn configured(global: &Global, configured: &Telemetry) -> LogLevel {
    let mut chosen = configured.clone();
    if let Some(log) = &global.log {
        chosen.log = log.clone();
    }
    telemetry::install(&chosen)
}

/// Logs only with `--log`.
pub(super) fn on_request(global: &Global) {
    if let Some(log) = &global.log {
        telemetry::install(&Telemetry {
            log: log.clone(),
            log_format: LogFormat::Auto,
            otlp_endpoint: None,
        });
    }
}
