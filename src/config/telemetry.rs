//! `[telemetry]`: logs and traces.

use super::check::{Check, Reported};
use super::mask::masked;
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTelemetry {
    /// Log level, or levels by module: `info,jitgate::app=debug`.
    log: String,
    /// Format of log lines: `auto` selects text on a terminal, JSON otherwise.
    log_format: LogFormat,
    /// URL of an OpenTelemetry collector (OTLP over HTTP).
    #[schemars(extend("format" = "uri"))]
    otlp_endpoint: Option<String>,
}

/// Settings of logs and traces.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// Levels by module.
    pub log: Targets,
    pub log_format: LogFormat,
    pub otlp_endpoint: Option<String>,
}

/// The format of log lines; `Auto` is text on a terminal and JSON elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Auto,
    Json,
    Text,
}

/// An invalid log filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a level (off, error, warn, info, debug, trace) nor MODULE=LEVEL")]
pub struct BadLogFilter(String);

/// Parses a log filter: a level, or levels by module.
///
/// # Errors
/// If a part of it is neither. An unknown word is not accepted as a module, because it would silence all other modules.
pub fn parse_log(text: &str) -> Result<Targets, BadLogFilter> {
    for part in text.split(',') {
        let level = part.rsplit('=').next().unwrap_or(part);
        level
            .trim()
            .parse::<LevelFilter>()
            .map_err(|_| BadLogFilter(part.to_owned()))?;
    }
    text.parse().map_err(|_| BadLogFilter(text.to_owned()))
}

impl RawTelemetry {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Telemetry, Reported> {
        let log = parse_log(&self.log).map_err(|BadLogFilter(part)| {
            let error = BadLogFilter(masked(&part));
            let remedy = "use a level such as info, or levels by module: info,jitgate::app=debug";
            check.problem("telemetry.log", error.to_string(), remedy)
        });
        let otlp_endpoint = self
            .otlp_endpoint
            .as_deref()
            .map(|url| check.url("telemetry.otlp_endpoint", url));
        Ok(Telemetry {
            log: log?,
            log_format: self.log_format,
            otlp_endpoint: otlp_endpoint.transpose()?,
        })
    }
}
