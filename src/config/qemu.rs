//! `[qemu]`: runners in virtual machines, for `runners.host = "qemu"`.

use super::check::{Check, Reported};
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::path::PathBuf;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQemu {
    /// Read-only base image. The machine writes to a throwaway overlay.
    image: Option<PathBuf>,
    /// Kernel to boot, when the image does not bring its own.
    kernel: Option<PathBuf>,
    /// Initial RAM disk for that kernel.
    initrd: Option<PathBuf>,
    /// Machine type.
    machine: String,
    /// What runs the machine's instructions; `auto` is KVM where there is one.
    accel: Accel,
    /// Memory of a machine.
    #[schemars(range(min = 128, max = 16_777_216))]
    memory_mib: NonZeroU32,
    /// Processors of a machine.
    #[schemars(range(min = 1, max = 1024))]
    cpus: NonZeroU32,
    /// Disk of a machine.
    #[schemars(range(min = 1, max = 1_048_576))]
    disk_gib: NonZeroU32,
    /// Network the machines are put into. By default each gets its own.
    network: Option<String>,
}

/// Runners in virtual machines.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// Read-only base image; there when the host is `qemu`.
    pub image: Option<PathBuf>,
    /// Kernel to boot, when the image does not bring its own.
    pub kernel: Option<PathBuf>,
    /// Initial RAM disk for that kernel.
    pub initrd: Option<PathBuf>,
    /// Machine type.
    pub machine: String,
    /// What runs the machine's instructions.
    pub accel: Accel,
    /// Memory of a machine.
    pub memory_mib: NonZeroU32,
    /// Processors of a machine.
    pub cpus: NonZeroU32,
    /// Disk of a machine.
    pub disk_gib: NonZeroU32,
    /// Network the machines are put into; one of their own when None.
    pub network: Option<String>,
}

/// The execution of a machine: KVM, emulation (TCG), or KVM if the machine has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accel {
    Auto,
    Kvm,
    Tcg,
}

impl RawQemu {
    /// `needed` when runners are made with it.
    pub(super) fn validate(self, check: &mut Check<'_>, needed: bool) -> Result<Qemu, Reported> {
        let machine = check.name("qemu.machine", &self.machine, "-_.", 64);
        let network = self
            .network
            .as_deref()
            .map(|name| check.name("qemu.network", name, "-_.", 64));
        if needed && self.image.is_none() {
            return Err(check.problem(
                "qemu.image",
                "is missing, and runners.host is \"qemu\"",
                "set it to a base image",
            ));
        }
        if self.initrd.is_some() && self.kernel.is_none() {
            return Err(check.problem("qemu.initrd", "is of no kernel", "set qemu.kernel too"));
        }
        machine?;
        network.transpose()?;
        Ok(Qemu {
            image: self.image,
            kernel: self.kernel,
            initrd: self.initrd,
            machine: self.machine,
            accel: self.accel,
            memory_mib: self.memory_mib,
            cpus: self.cpus,
            disk_gib: self.disk_gib,
            network: self.network,
        })
    }
}
