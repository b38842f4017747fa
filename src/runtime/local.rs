//! Selects and configures the runner host of this machine.

use crate::adapters::hosts::local::{self, Settings};
use crate::config::{AdminListen, Config, Host, StoreUrl};
use crate::domain::finding::{Finding, Subject};
use secrecy::ExposeSecret;
use std::path::PathBuf;

/// Checks that this machine can run runners with the configured host.
#[must_use]
pub fn inspect_host(config: &Config) -> Vec<Finding> {
    match config.runners.host {
        Host::Local => local::inspect(&settings(config, "")),
        Host::Qemu => vec![Finding::problem(
            Subject::Host,
            "runners.host = \"qemu\": this version does not support virtual machines",
            "use \"local\"",
        )],
        Host::Synthetic => vec![Finding::warning(
            Subject::Host,
            "runners.host = \"synthetic\": runners are only simulated",
            "use \"local\" to serve jobs",
        )],
    }
}

pub(super) fn settings(config: &Config, instance: &str) -> Settings {
    Settings {
        state_dir: config.server.state_dir.clone(),
        instance: instance.to_owned(),
        // If the system does not report the path, the name that the process was started by is used.
        program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("jitgate")),
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
