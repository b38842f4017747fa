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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{Accel, Machine, Size};
    use std::num::NonZeroU32;
    use std::path::Path;

    /// Returns settings with one further size and without a network, whose image is `image` in `place`.
    pub(in crate::adapters::hosts::qemu) fn settings(place: &Path) -> Settings {
        let number = |number| NonZeroU32::new(number).expect("not zero");
        Settings {
            state_dir: place.join("state"),
            instance: "testtest".to_owned(),
            program: PathBuf::from("/usr/local/bin/jitgate"),
            qemu: Qemu {
                images: None,
                image: Some(place.join("image")),
                kernel: None,
                initrd: None,
                machine: Machine::Microvm,
                accel: Accel::Tcg,
                user: "nobody".to_owned(),
                memory_mib: number(320),
                cpus: number(1),
                disk_gib: number(2),
                sizes: vec![Size {
                    label: "large".to_owned(),
                    memory_mib: number(4096),
                    cpus: number(8),
                    disk_gib: number(100),
                }],
                network: VmNetwork::None,
                network_allow: vec!["10.8.8.8/32".to_owned()],
                network_deny: vec!["198.51.100.66/32".to_owned()],
                keep_failed: Duration::ZERO,
            },
            boot_deadline: Duration::from_secs(1),
            gate_deadline: Duration::from_secs(2),
            job_deadline: Duration::from_secs(3),
        }
    }

    #[test]
    fn a_size_has_its_own_dimensions_and_no_other_label_has_any() {
        let settings = settings(Path::new("/x"));
        let dimensions = |label: Option<&str>| {
            let shape = settings.shape(&label.map(str::to_owned))?;
            Some((shape.memory_mib, shape.cpus, shape.disk_gib))
        };
        assert_eq!(dimensions(None), Some((320, 1, 2)));
        assert_eq!(dimensions(Some("Large")), Some((4096, 8, 100)), "labels ignore case");
        assert_eq!(dimensions(Some("huge")), None);
        let limits = settings.shape(&Some("large".to_owned())).expect("a shape").limits();
        assert_eq!(
            limits.memory_mib,
            Some(4096 + 768),
            "QEMU needs memory in addition to its guest"
        );
        assert_eq!(
            (limits.cpus, limits.pids, limits.disk_mib),
            (Some(8), Some(8 + 64), None)
        );
    }

    #[test]
    fn only_an_isolated_network_has_rules() {
        let mut settings = settings(Path::new("/x"));
        for network in [VmNetwork::None, VmNetwork::Open] {
            settings.qemu.network = network;
            assert!(settings.network_rules().is_none(), "{network:?}");
        }
        settings.qemu.network = VmNetwork::Isolated;
        let rules = settings.network_rules().expect("rules");
        assert_eq!(
            (rules.allow, rules.deny),
            (settings.qemu.network_allow, settings.qemu.network_deny)
        );
    }
}
