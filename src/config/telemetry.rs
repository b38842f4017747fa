//! `[telemetry]`: logs and traces.

use super::check::{Check, Reported};
use schemars::JsonSchema;
use serde::Deserialize;
use tracing_subscriber::filter::Targets;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTelemetry {
    /// Log level, or levels by module: `info,jitgate::app=debug`.
    log: String,
    /// `auto` is text on a terminal, JSON elsewhere.
    log_format: RawLogFormat,
    /// OpenTelemetry collector (OTLP over HTTP).
    otlp_endpoint: Option<String>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RawLogFormat {
    Auto,
    Json,
    Text,
}

/// Logs and traces.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// Levels by module.
    pub log: Targets,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// OpenTelemetry collector.
    pub otlp_endpoint: Option<String>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// One line of text.
    Text,
}

impl RawTelemetry {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Telemetry, Reported> {
        let log = self.log.parse().map_err(|_| {
            let remedy = "give off, error, warn, info, debug or trace, or levels by module: info,jitgate::app=debug";
            check.problem("telemetry.log", "is no log level", remedy)
        });
        let otlp_endpoint = self
            .otlp_endpoint
            .as_deref()
            .map(|url| check.url("telemetry.otlp_endpoint", url));
        Ok(Telemetry {
            log: log?,
            log_format: match self.log_format {
                RawLogFormat::Auto => LogFormat::Auto,
                RawLogFormat::Json => LogFormat::Json,
                RawLogFormat::Text => LogFormat::Text,
            },
            otlp_endpoint: otlp_endpoint.transpose()?,
        })
    }
}
