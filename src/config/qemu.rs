//! `[qemu]`: runners in virtual machines, for `runners.host = "qemu"`.

use super::check::{Check, Reported};
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::path::PathBuf;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQemu {
    /// Read-only base image. The virtual machine writes to a temporary overlay.
    image: Option<PathBuf>,
    /// Kernel to boot if the image has none.
    kernel: Option<PathBuf>,
    /// Initial RAM disk of the kernel.
    initrd: Option<PathBuf>,
    /// Machine type of QEMU.
    machine: String,
    /// Accelerator: `auto` selects KVM if it is available.
    accel: Accel,
    /// Memory of a virtual machine.
    #[schemars(range(min = 128, max = 16_777_216))]
    memory_mib: NonZeroU32,
    /// Number of processors of a virtual machine.
    #[schemars(range(min = 1, max = 1024))]
    cpus: NonZeroU32,
    /// Disk size of a virtual machine.
    #[schemars(range(min = 1, max = 1_048_576))]
    disk_gib: NonZeroU32,
    /// Network of the virtual machines. By default each has its own.
    network: Option<String>,
}

/// Settings of runners in virtual machines.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// Read-only base image; present if the host is `qemu`.
    pub image: Option<PathBuf>,
    pub kernel: Option<PathBuf>,
    pub initrd: Option<PathBuf>,
    /// Machine type.
    pub machine: String,
    pub accel: Accel,
    pub memory_mib: NonZeroU32,
    pub cpus: NonZeroU32,
    pub disk_gib: NonZeroU32,
    /// Network of the virtual machines; with `None` each has its own.
    pub network: Option<String>,
}

/// The accelerator of a virtual machine: KVM, emulation (TCG), or KVM if it is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accel {
    Auto,
    Kvm,
    Tcg,
}

impl RawQemu {
    /// Validates the section. `needed` is true if `runners.host` is `qemu`.
    pub(super) fn validate(self, check: &mut Check<'_>, needed: bool) -> Result<Qemu, Reported> {
        let machine = check.name("qemu.machine", &self.machine, "-_.", 64);
        let network = self
            .network
            .as_deref()
            .map(|name| check.name("qemu.network", name, "-_.", 64));
        if needed && self.image.is_none() {
            return Err(check.problem(
                "qemu.image",
                "is required if runners.host is \"qemu\"",
                "set it to a base image",
            ));
        }
        if self.initrd.is_some() && self.kernel.is_none() {
            return Err(check.problem("qemu.initrd", "requires qemu.kernel", "set qemu.kernel"));
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
