//! Selects and configures the runner host of this machine.

use crate::adapters::hosts::local::{self, LocalHost};
use crate::adapters::hosts::qemu::{self, QemuHost};
use crate::adapters::hosts::synthetic::SyntheticHost;
use crate::config::{AdminListen, Config, Host, StoreUrl};
use crate::domain::finding::{Finding, Subject};
use crate::ports::{Clock, RunnerHost};
use secrecy::ExposeSecret;
use std::path::PathBuf;
use std::sync::Arc;

/// Checks that this machine can run runners with the configured host.
#[must_use]
pub fn inspect_host(config: &Config) -> Vec<Finding> {
    match config.runners.host {
        Host::Local => local::inspect(&local_settings(config, "")),
        Host::Qemu => qemu::inspect(&qemu_settings(config, "")),
        Host::Synthetic => vec![Finding::warning(
            Subject::Host,
            "runners.host = \"synthetic\": runners are only simulated",
            "use \"local\" to serve jobs",
        )],
    }
}

/// Opens the configured host with the slots that an earlier process left.
pub(super) fn open_host(
    config: &Config,
    instance: &str,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn RunnerHost>, Finding> {
    Ok(match config.runners.host {
        Host::Synthetic => Arc::new(SyntheticHost::new(reqwest::Client::new(), clock, config.synthetic)),
        Host::Local => Arc::new(LocalHost::open(local_settings(config, instance), clock)?),
        Host::Qemu => Arc::new(QemuHost::open(qemu_settings(config, instance), clock)?),
    })
}

/// Returns the program of jitgate.
fn program() -> PathBuf {
    // If the system does not report the path, the name that the process was started by is used.
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("jitgate"))
}

fn qemu_settings(config: &Config, instance: &str) -> qemu::Settings {
    qemu::Settings {
        state_dir: config.server.state_dir.clone(),
        instance: instance.to_owned(),
        program: program(),
        qemu: config.qemu.clone(),
        boot_deadline: config.runners.boot_deadline,
        gate_deadline: config.runners.gate_deadline,
        job_deadline: config.runners.job_deadline,
    }
}

fn local_settings(config: &Config, instance: &str) -> local::Settings {
    local::Settings {
        state_dir: config.server.state_dir.clone(),
        instance: instance.to_owned(),
        program: program(),
        local: config.local.clone(),
        gate_deadline: config.runners.gate_deadline,
        job_deadline: config.runners.job_deadline,
        hidden: hidden(config),
    }
}

/// Returns every file of jitgate that no job may see, wherever it is.
fn hidden(config: &Config) -> Vec<PathBuf> {
    let mut hidden = config.secret_files.clone();
    hidden.push(config.server.admin_token_file.clone());
    if let AdminListen::Unix(path) = &config.server.admin_listen {
        hidden.push(path.clone());
    }
    match &config.store.url {
        // The other files of the database beside it come and go.
        StoreUrl::Sqlite(path) => hidden.push(path.clone()),
        StoreUrl::Redis(url) => hidden.extend(socket_of(url.expose_secret())),
        StoreUrl::Memory | StoreUrl::RedisCluster(_) => {}
    }
    hidden
}

/// Returns the socket of a Redis URL, if it has one.
fn socket_of(url: &str) -> Option<PathBuf> {
    let place = url.strip_prefix("redis+unix://")?;
    let path = place.split('?').next().unwrap_or_default();
    Some(PathBuf::from(path.rsplit('@').next().unwrap_or(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_socket_is_found_in_its_url() {
        for (url, socket) in [
            ("redis+unix:///run/redis.sock", Some("/run/redis.sock")),
            ("redis+unix://user:secret@/run/redis.sock?db=1", Some("/run/redis.sock")),
            ("redis://127.0.0.1", None),
        ] {
            assert_eq!(socket_of(url).as_deref(), socket.map(Path::new), "{url}");
        }
    }
}
