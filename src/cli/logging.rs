//! Logging as `--log` and the configuration say.

use super::args::Global;
use super::exit::{Exit, Failure};
use crate::config::{LogFormat, Telemetry};
use crate::telemetry;
use anyhow::anyhow;
use tracing_subscriber::filter::Targets;

/// Logs as configured; `--log` wins.
pub(super) fn configured(global: &Global, configured: &Telemetry) -> Result<(), Failure> {
    let mut chosen = configured.clone();
    if let Some(log) = wanted(global)? {
        chosen.log = log;
    }
    telemetry::install(&chosen);
    Ok(())
}

/// Logs only if `--log` asks for it: for commands that read no configuration.
pub(super) fn on_request(global: &Global) -> Result<(), Failure> {
    if let Some(log) = wanted(global)? {
        telemetry::install(&Telemetry {
            log,
            log_format: LogFormat::Auto,
            otlp_endpoint: None,
        });
    }
    Ok(())
}

fn wanted(global: &Global) -> Result<Option<Targets>, Failure> {
    let Some(text) = &global.log else {
        return Ok(None);
    };
    let targets = text
        .parse()
        .map_err(|error| Failure::new(Exit::Usage, anyhow!("--log {text:?}: {error}")).remedy("try --log debug"))?;
    Ok(Some(targets))
}
