//! `[qemu]`: runners in virtual machines, for `runners.host = "qemu"`.

use super::check::{Check, Reported};
use super::local::{MAX_USER_CHARS, check_networks};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest time for which a disk is kept: a week.
const MAX_KEEP_S: u64 = 7 * 24 * 3600;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQemu {
    /// Folder of images.
    images: Option<PathBuf>,
    /// Image: a folder that `image build` made, or a link to one.
    image: Option<PathBuf>,
    /// Kernel to boot instead of that of the image.
    kernel: Option<PathBuf>,
    /// Initial RAM disk to boot instead of that of the image.
    initrd: Option<PathBuf>,
    /// Machine type of QEMU: `microvm`, or `q35`, which has a PCI bus.
    machine: Machine,
    /// Accelerator: `auto` selects KVM if a virtual machine starts with it as a trial.
    accel: Accel,
    /// Account that QEMU runs as if jitgate runs as root.
    user: String,
    /// Memory of a virtual machine.
    #[schemars(range(min = 128, max = 16_777_216))]
    memory_mib: NonZeroU32,
    /// Number of processors of a virtual machine.
    #[schemars(range(min = 1, max = 1024))]
    cpus: NonZeroU32,
    /// Disk size of a virtual machine.
    #[schemars(range(min = 1, max = 1_048_576))]
    disk_gib: NonZeroU32,
    /// Network of jobs: isolated with internet access only, none, or open to everything that this machine reaches.
    network: VmNetwork,
    /// Private addresses and networks that an isolated job can reach.
    network_allow: Vec<String>,
    /// Public addresses and networks that an isolated job cannot reach.
    network_deny: Vec<String>,
    /// Time for which the disk of a failed virtual machine is kept for inspection.
    keep_failed_s: u64,
}

/// Settings of runners in virtual machines.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// Folder of images; see [`Qemu::images`].
    pub images: Option<PathBuf>,
    /// Image; see [`Qemu::image`].
    pub image: Option<PathBuf>,
    /// Kernel to boot instead of that of the image.
    pub kernel: Option<PathBuf>,
    /// Initial RAM disk to boot instead of that of the image.
    pub initrd: Option<PathBuf>,
    pub machine: Machine,
    pub accel: Accel,
    /// Account that QEMU runs as if jitgate runs as root.
    pub user: String,
    pub memory_mib: NonZeroU32,
    pub cpus: NonZeroU32,
    pub disk_gib: NonZeroU32,
    pub network: VmNetwork,
    pub network_allow: Vec<String>,
    pub network_deny: Vec<String>,
    /// Time for which the disk of a failed virtual machine is kept.
    pub keep_failed: Duration,
}

impl Qemu {
    /// Returns the folder of images. `state_dir` is `server.state_dir`, which contains it by default.
    #[must_use]
    pub fn images(&self, state_dir: &Path) -> PathBuf {
        self.images.clone().unwrap_or_else(|| state_dir.join("images"))
    }

    /// Returns the image, or the link to it. It is the current one of the folder of images by default.
    #[must_use]
    pub fn image(&self, state_dir: &Path) -> PathBuf {
        self.image
            .clone()
            .unwrap_or_else(|| self.images(state_dir).join("current"))
    }
}

/// The machine type of a virtual machine: `microvm`, which has virtio devices alone and boots fastest, or `q35`, a PC with a PCI
/// bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    Microvm,
    Q35,
}

/// The accelerator of a virtual machine: KVM, emulation (TCG), or KVM if it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Accel {
    Auto,
    Kvm,
    Tcg,
}

/// The network of jobs in virtual machines: a separate one with access to the internet but not to this machine and its
/// surroundings, none, or one that reaches everything that this machine reaches, including its loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VmNetwork {
    Isolated,
    None,
    Open,
}

impl RawQemu {
    /// Validates the section. `needed` is true if `runners.host` is `qemu`.
    pub(super) fn validate(self, check: &mut Check<'_>, needed: bool) -> Result<Qemu, Reported> {
        let user = check.name("qemu.user", &self.user, "-_", MAX_USER_CHARS);
        let allowed = check_networks(check, "qemu.network_allow", &self.network_allow);
        let denied = check_networks(check, "qemu.network_deny", &self.network_deny);
        if self.network == VmNetwork::Open && needed {
            let what = "lets jobs reach what listens on this machine, on its loopback too, and around it";
            check.warn("qemu.network", what, "use \"isolated\"");
        }
        if self.keep_failed_s > MAX_KEEP_S {
            return Err(check.problem(
                "qemu.keep_failed_s",
                "is more than a week",
                format!("use at most {MAX_KEEP_S}"),
            ));
        }
        user?;
        Ok(Qemu {
            images: self.images,
            image: self.image,
            kernel: self.kernel,
            initrd: self.initrd,
            machine: self.machine,
            accel: self.accel,
            user: self.user,
            memory_mib: self.memory_mib,
            cpus: self.cpus,
            disk_gib: self.disk_gib,
            network: self.network,
            network_allow: allowed?,
            network_deny: denied?,
            keep_failed: Duration::from_secs(self.keep_failed_s),
        })
    }
}
