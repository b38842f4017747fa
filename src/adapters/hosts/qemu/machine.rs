//! The machine types: the names of their devices, and the options of their kernel.

use super::plan::{Accelerator, Vm};
use crate::config::Machine;

/// Returns the name of a virtio device on this machine.
pub(super) fn device(machine: Machine, kind: &str) -> String {
    match machine {
        // The kernel finds them through ACPI.
        Machine::Microvm => format!("virtio-{kind}-device"),
        Machine::Q35 => format!("virtio-{kind}-pci"),
    }
}

/// Returns QEMU's name of the machine.
pub(super) fn name(machine: Machine) -> &'static str {
    match machine {
        Machine::Microvm => "microvm",
        Machine::Q35 => "q35",
    }
}

/// Returns the kernel's command line. A panic ends the machine.
pub(super) fn kernel_options(vm: &Vm) -> String {
    let mut options = "console=ttyS0 quiet panic=-1 reboot=t cryptomgr.notests".to_owned();
    // Without a second clock the kernel cannot measure the counter reliably: it would hang at boot.
    if let (Machine::Microvm, Accelerator::Tcg { tsc_khz }) = (vm.machine, vm.accelerator) {
        options.push_str(&format!(" tsc_early_khz={tsc_khz}"));
    }
    options
}
