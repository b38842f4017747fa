//! `SIGHUP`: applies the settings that can change at runtime, and reports the others.

use super::global::Global;
use super::sources::configuration;
use crate::config::{Loaded, Problems, Role};
use crate::runtime::Process;
use crate::telemetry::LogLevel;

/// Settings that take effect at once.
const RELOADED: [&str; 3] = ["webhook.secrets", "webhook.secret_files", "telemetry.log"];

/// Reads the configuration again, and returns the one in effect. An invalid configuration changes nothing.
pub(super) fn reload(global: &Global, role: Role, before: Loaded, process: &Process, level: &LogLevel) -> Loaded {
    let read = configuration(global).and_then(|loaded| loaded.config.for_serve(role).map(|()| loaded));
    let after = match read {
        Ok(after) => after,
        Err(Problems(problems)) => {
            for problem in problems {
                tracing::error!("configuration not reloaded: {problem}");
            }
            return before;
        }
    };
    for warning in &after.warnings {
        tracing::warn!("{warning}");
    }
    process.reload(&after.config);
    // The command line overrides the configuration, as at the start.
    if global.log.is_none() {
        level.set(after.config.telemetry.log.clone());
    }
    for key in needs_restart(&before, &after) {
        tracing::warn!("{key} has changed: restart jitgate to use it");
    }
    tracing::info!(
        webhook_secrets = after.config.webhook.secrets.len(),
        "reloaded the webhook secrets and the log level"
    );
    // A change that needs a restart is reported again at each reload.
    let mut held = before;
    held.config.webhook = after.config.webhook;
    held.config.telemetry = after.config.telemetry;
    for key in RELOADED {
        held.settings.extend(
            after
                .settings
                .get_key_value(key)
                .map(|(key, setting)| (key.clone(), setting.clone())),
        );
    }
    held
}

fn needs_restart(before: &Loaded, after: &Loaded) -> Vec<String> {
    let keys = before.settings.keys().chain(after.settings.keys());
    let value = |loaded: &Loaded, key: &String| loaded.settings.get(key).and_then(|setting| setting.value.clone());
    let mut changed: Vec<String> = keys
        .filter(|key| !RELOADED.contains(&key.as_str()) && value(before, key) != value(after, key))
        .cloned()
        .collect();
    changed.extend(
        before
            .config
            .changed_secrets(&after.config)
            .into_iter()
            .map(str::to_owned),
    );
    changed.sort();
    changed.dedup();
    changed
}
