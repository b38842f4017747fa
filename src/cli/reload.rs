//! `SIGHUP`: what of the configuration can be changed while the gate runs is taken over, and the rest is told of.

use super::global::Global;
use super::sources::configuration;
use crate::config::{Loaded, Problems, Role};
use crate::runtime::Process;
use crate::telemetry::LogLevel;

/// Settings that hold from now on.
const TAKEN_OVER: [&str; 3] = ["webhook.secrets", "webhook.secret_files", "telemetry.log"];

/// Reads the configuration again. One that is wrong changes nothing. Gives what holds afterwards.
pub(super) fn reload(global: &Global, role: Role, before: Loaded, process: &Process, level: &LogLevel) -> Loaded {
    let read = configuration(global).and_then(|loaded| loaded.config.for_serve(role).map(|()| loaded));
    let after = match read {
        Ok(after) => after,
        Err(Problems(problems)) => {
            for problem in problems {
                tracing::error!("the configuration is not reloaded: {problem}");
            }
            return before;
        }
    };
    for warning in &after.warnings {
        tracing::warn!("{warning}");
    }
    process.reload(&after.config);
    // The command line wins, as at the start.
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
    // What needs a restart is told of again at the next reload, until then.
    let mut held = before;
    held.config.webhook = after.config.webhook;
    held.config.telemetry = after.config.telemetry;
    for key in TAKEN_OVER {
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
        .filter(|key| !TAKEN_OVER.contains(&key.as_str()) && value(before, key) != value(after, key))
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
