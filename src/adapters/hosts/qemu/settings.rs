//! The settings of the host of virtual machines.

use crate::adapters::hosts::slots::{Deadlines, Limits, Rules};
use crate::config::{Qemu, VmNetwork};
use std::path::PathBuf;
use std::time::Duration;

/// Memory that QEMU needs in addition to that of its guest, including translated code.
const OVERHEAD_MIB: u64 = 768;
/// Processes and threads of one virtual machine, beside one for each of its processors.
const MAX_THREADS: u64 = 64;
/// The time that a booted machine without a job outlives the worker: long enough for a restart.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(60);

/// The settings of the host of virtual machines.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of this instance's state.
    pub state_dir: PathBuf,
    /// The instance whose slots these are.
    pub instance: String,
    /// The program of jitgate.
    pub program: PathBuf,
    /// The section `[qemu]` of the configuration.
    pub qemu: Qemu,
    /// The time for a machine to boot.
    pub boot_deadline: Duration,
    /// The time that a job may wait at its gate.
    pub gate_deadline: Duration,
    /// The time limit of a job.
    pub job_deadline: Duration,
}

impl Settings {
    /// Returns the image folder, or the link to it.
    pub(super) fn image(&self) -> PathBuf {
        self.qemu.image(&self.state_dir)
    }

    pub(super) fn deadlines(&self) -> Deadlines {
        Deadlines {
            boot: self.boot_deadline,
            orphan: ORPHAN_TIMEOUT,
            gate: self.gate_deadline,
            job: self.job_deadline,
        }
    }

    /// Returns the rules of a machine's own network, if it has one.
    pub(super) fn network_rules(&self) -> Option<Rules> {
        (self.qemu.network == VmNetwork::Isolated).then(|| Rules {
            allow: self.qemu.network_allow.clone(),
            deny: self.qemu.network_deny.clone(),
        })
    }

    /// Returns the limits of QEMU. The guest itself is limited by its machine.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            memory_mib: Some(u64::from(self.qemu.memory_mib.get()) + OVERHEAD_MIB),
            pids: Some(u64::from(self.qemu.cpus.get()) + MAX_THREADS),
            cpus: Some(u64::from(self.qemu.cpus.get())),
            disk_mib: None,
        }
    }
}
