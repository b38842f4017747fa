//! The settings of the host of virtual machines.

use super::plan::PlannedNetwork;
use crate::adapters::hosts::slots::{Deadlines, Limits, Rules};
use crate::config::{Qemu, VmNetwork};
use crate::domain::slot::SlotSize;
use std::path::PathBuf;
use std::time::Duration;

/// The name of this host's kind, which is the name of its folder too.
pub(crate) const NAME: &str = "qemu";
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

/// The dimensions of a virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) memory_mib: u32,
    pub(super) cpus: u32,
    pub(super) disk_gib: u32,
}

impl Shape {
    /// Returns the limits of QEMU. The guest itself is limited by its machine.
    pub(super) fn limits(self) -> Limits {
        Limits {
            memory_mib: Some(u64::from(self.memory_mib) + OVERHEAD_MIB),
            pids: Some(u64::from(self.cpus) + MAX_THREADS),
            cpus: Some(u64::from(self.cpus)),
            disk_mib: None,
        }
    }
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

    /// Returns the network of new machines.
    pub(super) fn planned_network(&self) -> PlannedNetwork {
        match (self.qemu.network, self.network_rules()) {
            (VmNetwork::Isolated, Some(rules)) => PlannedNetwork::Isolated(rules),
            (VmNetwork::Open, _) => PlannedNetwork::Open,
            _ => PlannedNetwork::None,
        }
    }

    /// Returns the dimensions of a machine of this size, or none for a size that is not configured.
    pub(super) fn shape(&self, size: &SlotSize) -> Option<Shape> {
        let Some(label) = size else {
            return Some(self.default_shape());
        };
        let mut sizes = self.qemu.sizes.iter();
        let size = sizes.find(|size| size.label.eq_ignore_ascii_case(label))?;
        Some(Shape {
            memory_mib: size.memory_mib.get(),
            cpus: size.cpus.get(),
            disk_gib: size.disk_gib.get(),
        })
    }

    /// Returns the dimensions of a machine of the default size.
    pub(super) fn default_shape(&self) -> Shape {
        Shape {
            memory_mib: self.qemu.memory_mib.get(),
            cpus: self.qemu.cpus.get(),
            disk_gib: self.qemu.disk_gib.get(),
        }
    }
}
