//! The description of the machine that a slot was booted as. It is stored in the slot's folder: settings can change while slots
//! outlive a restart, and a host replaces each idle machine that differs from the ones it would make now.

use super::plan::PlannedNetwork;
use super::settings::Settings;
use crate::adapters::hosts::slots::SlotDir;
use crate::config::Machine;
use crate::domain::slot::SlotSize;
use serde::Serialize;
use std::fs;
use std::io;
use std::path::PathBuf;

/// The properties of a machine that settings determine. A label can name other dimensions after a change, so they are compared
/// and not the label.
#[derive(Debug, Serialize)]
pub(super) struct Description {
    machine: Machine,
    memory_mib: u32,
    cpus: u32,
    disk_gib: u32,
    network: PlannedNetwork,
}

impl Description {
    /// Returns the description of new machines of this size, or none for a size that is not configured.
    pub(super) fn of(settings: &Settings, size: &SlotSize) -> Option<Self> {
        let shape = settings.shape(size)?;
        Some(Self {
            machine: settings.qemu.machine,
            memory_mib: shape.memory_mib,
            cpus: shape.cpus,
            disk_gib: shape.disk_gib,
            network: settings.planned_network(),
        })
    }

    /// Stores the description of the machine that is about to boot in this slot.
    pub(super) fn store(&self, slot: &SlotDir) -> io::Result<()> {
        fs::write(file(slot), self.text()?)
    }

    /// Returns true if the machine in this slot has this description. A slot of an earlier jitgate has none.
    pub(super) fn is_of(&self, slot: &SlotDir) -> bool {
        match (fs::read_to_string(file(slot)), self.text()) {
            (Ok(stored), Ok(text)) => stored == text,
            // A failure to read is temporary.
            (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
            (_, Err(_)) => true,
        }
    }

    fn text(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

fn file(slot: &SlotDir) -> PathBuf {
    slot.0.join("machine.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::VmNetwork;
    use std::num::NonZeroU32;
    use std::path::Path;
    use std::time::Duration;

    type Change = fn(&mut Settings);

    fn number(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).expect("not zero")
    }

    fn settings() -> Settings {
        let mut settings = crate::adapters::hosts::qemu::settings::tests::settings(Path::new("/"));
        settings.qemu.network = VmNetwork::Isolated;
        settings
    }

    /// Makes a slot for each size, each with a machine of these settings.
    fn slots(place: &Path, settings: &Settings) -> [(SlotSize, SlotDir); 2] {
        [None, Some("large".to_owned())].map(|size| {
            let slot = SlotDir(place.join(size.as_deref().unwrap_or("default")));
            fs::create_dir(&slot.0).expect("a folder");
            let description = Description::of(settings, &size).expect("a size");
            description.store(&slot).expect("stored");
            (size, slot)
        })
    }

    /// Reports for each slot whether these settings would make the same machine.
    fn is_current(settings: &Settings, slots: &[(SlotSize, SlotDir); 2]) -> [bool; 2] {
        slots
            .each_ref()
            .map(|(size, slot)| Description::of(settings, size).is_some_and(|now| now.is_of(slot)))
    }

    #[test]
    fn a_setting_of_the_machine_changes_its_description_and_no_other_setting_does() {
        let place = tempfile::tempdir().expect("a directory");
        let slots = slots(place.path(), &settings());
        let cases: [(&str, Change, [bool; 2]); 15] = [
            ("nothing", |_| {}, [true, true]),
            ("memory", |s| s.qemu.memory_mib = number(321), [false, true]),
            ("cpus", |s| s.qemu.cpus = number(3), [false, true]),
            ("disk", |s| s.qemu.disk_gib = number(3), [false, true]),
            ("memory", |s| s.qemu.sizes[0].memory_mib = number(449), [true, false]),
            ("cpus", |s| s.qemu.sizes[0].cpus = number(3), [true, false]),
            ("disk", |s| s.qemu.sizes[0].disk_gib = number(3), [true, false]),
            ("a removed size", |s| s.qemu.sizes.clear(), [true, false]),
            ("machine", |s| s.qemu.machine = Machine::Q35, [false, false]),
            ("network", |s| s.qemu.network = VmNetwork::Open, [false, false]),
            ("no network", |s| s.qemu.network = VmNetwork::None, [false, false]),
            (
                "allow",
                |s| s.qemu.network_allow.push("10.1.0.0/16".to_owned()),
                [false, false],
            ),
            (
                "deny",
                |s| s.qemu.network_deny.push("203.0.113.9".to_owned()),
                [false, false],
            ),
            ("deadlines", |s| s.job_deadline = Duration::from_secs(1), [true, true]),
            (
                "kept disks",
                |s| s.qemu.keep_failed = Duration::from_secs(1),
                [true, true],
            ),
        ];
        for (what, change, expected) in cases {
            let mut changed = settings();
            change(&mut changed);
            assert_eq!(is_current(&changed, &slots), expected, "{what}");
        }
    }

    #[test]
    fn a_slot_of_an_earlier_jitgate_differs_and_one_that_cannot_be_read_does_not() {
        let place = tempfile::tempdir().expect("a directory");
        let slots = slots(place.path(), &settings());
        for (_, slot) in &slots {
            fs::remove_file(file(slot)).expect("removed");
        }
        assert_eq!(is_current(&settings(), &slots), [false, false]);
        for (_, slot) in &slots {
            fs::create_dir(file(slot)).expect("a folder in the place of the file");
        }
        assert_eq!(is_current(&settings(), &slots), [true, true]);
    }
}
