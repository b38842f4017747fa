//! `[qemu]`: runners in virtual machines, for `runners.host = "qemu"`.

use super::check::{Check, Reported};
use super::local::{MAX_USER_CHARS, check_networks};
use super::routing::{LABEL_PUNCTUATION, MAX_LABEL_CHARS};
use super::runners::Host;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Each size that is used keeps a saved machine in memory.
const MAX_SIZES: usize = 16;
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
    /// Further sizes of virtual machines, which jobs request by an additional label.
    sizes: Vec<RawSize>,
    /// Network of jobs: isolated with internet access only, none, or open to everything that this machine reaches.
    network: VmNetwork,
    /// Private addresses and networks that an isolated job can reach.
    network_allow: Vec<String>,
    /// Public addresses and networks that an isolated job cannot reach.
    network_deny: Vec<String>,
    /// Time for which the disk of a failed virtual machine is kept for inspection.
    keep_failed_s: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawSize {
    /// Label of the jobs that get a virtual machine of this size.
    label: String,
    /// Memory. By default that of `qemu.memory_mib`.
    #[schemars(range(min = 128, max = 16_777_216))]
    memory_mib: Option<NonZeroU32>,
    /// Number of processors. By default that of `qemu.cpus`.
    #[schemars(range(min = 1, max = 1024))]
    cpus: Option<NonZeroU32>,
    /// Disk size. By default that of `qemu.disk_gib`.
    #[schemars(range(min = 1, max = 1_048_576))]
    disk_gib: Option<NonZeroU32>,
}

/// A size of virtual machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    pub label: String,
    pub memory_mib: NonZeroU32,
    pub cpus: NonZeroU32,
    pub disk_gib: NonZeroU32,
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
    /// The sizes that a job can request in addition to the default size.
    pub sizes: Vec<Size>,
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

    /// Returns the labels by which jobs request a size.
    #[must_use]
    pub fn labels_of_sizes(&self) -> Vec<String> {
        self.sizes.iter().map(|size| size.label.clone()).collect()
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
    /// Validates the section. `host` is `runners.host`. The labels of sizes are compared with the other labels by `[routing]`.
    pub(super) fn validate(self, check: &mut Check<'_>, host: Host) -> Result<Qemu, Reported> {
        let user = check.name("qemu.user", &self.user, "-_", MAX_USER_CHARS);
        let allowed = check_networks(check, "qemu.network_allow", &self.network_allow);
        let denied = check_networks(check, "qemu.network_deny", &self.network_deny);
        if self.network == VmNetwork::Open && host == Host::Qemu {
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
        let sizes = self.check_sizes(check, host);
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
            sizes: sizes?,
            network: self.network,
            network_allow: allowed?,
            network_deny: denied?,
            keep_failed: Duration::from_secs(self.keep_failed_s),
        })
    }

    fn check_sizes(&self, check: &mut Check<'_>, host: Host) -> Result<Vec<Size>, Reported> {
        let mut result = Ok(());
        if !self.sizes.is_empty() && host == Host::Local {
            let remedy = "remove them, or set runners.host = \"qemu\"";
            result = Err(check.problem("qemu.sizes", "are sizes that a local slot cannot have", remedy));
        }
        if self.sizes.len() > MAX_SIZES {
            let remedy = format!("use at most {MAX_SIZES}");
            result = Err(check.problem("qemu.sizes", "are too many", remedy));
        }
        for (index, size) in self.sizes.iter().enumerate() {
            let named = check.name("qemu.sizes.label", &size.label, LABEL_PUNCTUATION, MAX_LABEL_CHARS);
            result = result.and(named);
            let mut before = self.sizes.iter().take(index);
            if before.any(|other| other.label.eq_ignore_ascii_case(&size.label)) {
                let what = format!("is {:?} twice (labels ignore case)", size.label);
                result = Err(check.problem("qemu.sizes.label", what, "remove one of them"));
            }
        }
        result?;
        let size = |raw: &RawSize| Size {
            label: raw.label.clone(),
            memory_mib: raw.memory_mib.unwrap_or(self.memory_mib),
            cpus: raw.cpus.unwrap_or(self.cpus),
            disk_gib: raw.disk_gib.unwrap_or(self.disk_gib),
        };
        Ok(self.sizes.iter().map(size).collect())
    }
}
