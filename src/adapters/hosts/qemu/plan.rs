//! The parameters of a virtual machine, which the host sends to the keeper of its slot. No secret is among them.

use crate::adapters::hosts::slots::{Limits, Rules};
use crate::config::Machine;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// The parameters of one slot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) vm: Vm,
    /// The empty scratch disk that is copied for a virtual machine that boots.
    pub(super) scratch: PathBuf,
    /// The account that QEMU runs as, if it is not that of jitgate.
    pub(super) account: Option<RunAs>,
    pub(super) network: PlannedNetwork,
    pub(super) limits: Limits,
    /// The saved machine to resume; without it, the virtual machine boots.
    pub(super) saved: Option<Saved>,
    /// The time after which a resume counts as failed.
    pub(super) resume_timeout: Duration,
}

/// A virtual machine. Two machines with the same description can resume from the same saved state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Vm {
    /// The name of the image, which depends on its content.
    pub(super) image: String,
    /// The read-only disk.
    pub(super) root: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
    pub(super) machine: Machine,
    pub(super) accelerator: Accelerator,
    pub(super) memory_mib: u32,
    pub(super) cpus: u32,
    pub(super) disk_gib: u32,
    pub(super) has_network: bool,
    /// The device, inode, size and modification time of QEMU's program.
    pub(super) program: String,
}

/// The accelerator that this machine can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Accelerator {
    Kvm,
    Tcg {
        /// The frequency of the time stamp counter, which emulation passes through.
        tsc_khz: u64,
    },
}

/// An account without rights, and the group that may use KVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunAs {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) kvm: Option<u32>,
}

/// The network of a virtual machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PlannedNetwork {
    Isolated(Rules),
    None,
    Open,
}

/// A saved machine: paths to the memory and the state, which the host process holds, and the scratch disk that belongs to them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) memory: PathBuf,
    pub(super) state: PathBuf,
    pub(super) scratch: PathBuf,
}
