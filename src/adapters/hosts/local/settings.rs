//! The settings of the local host.

use crate::adapters::hosts::slots::{Limits, Rules};
use crate::config::{Local, Network, Sandbox};
use std::path::PathBuf;
use std::time::Duration;

/// The settings of the local host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of this instance's state.
    pub state_dir: PathBuf,
    /// The instance whose slots these are.
    pub instance: String,
    /// The program of jitgate.
    pub program: PathBuf,
    /// The section `[local]` of the configuration.
    pub local: Local,
    /// The time that a job may wait at its gate.
    pub gate_deadline: Duration,
    /// The time limit of a job.
    pub job_deadline: Duration,
    /// Files, folders and sockets that no job may see, wherever they are.
    pub hidden: Vec<PathBuf>,
}

impl Settings {
    /// Returns the rules of a job's own network, if it has one.
    pub(super) fn network_rules(&self) -> Option<Rules> {
        let isolated = self.local.sandbox == Sandbox::Bwrap && self.local.network == Network::Isolated;
        isolated.then(|| Rules {
            allow: self.local.network_allow.clone(),
            deny: self.local.network_deny.clone(),
        })
    }

    /// Returns the configured limits of a job.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            memory_mib: self.local.memory_mib,
            pids: self.local.pids,
            cpus: self.local.cpus,
            disk_mib: self.local.disk_mib,
        }
    }
}
