//! The kernel modules of the initial RAM disk, in an order in which each finds those that it needs.

use std::collections::{BTreeMap, BTreeSet};

/// The modules that a guest boots with: its bus, disks, channel, network card, random numbers and file systems.
pub(super) const WANTED: &[&str] = &[
    "virtio_mmio",
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "virtio_net",
    "virtio_rng",
    "squashfs",
    "ext4",
    "overlay",
];
/// The mark of the field that lists the modules that a module needs.
const DEPENDS: &[u8] = b"\0depends=";

/// The modules of a kernel.
#[derive(Default)]
pub(super) struct Modules {
    files: BTreeMap<String, Vec<u8>>,
    builtin: BTreeSet<String>,
}

impl Modules {
    /// Adds a file of a module.
    pub(super) fn add(&mut self, path: &str, content: Vec<u8>) {
        self.files.insert(name(path), content);
    }

    /// Adds the text of `modules.builtin`: the modules that the kernel contains.
    pub(super) fn add_builtin(&mut self, text: &str) {
        self.builtin.extend(text.lines().map(name));
    }

    /// Returns the wanted modules and those that they need, each behind the ones that it needs.
    ///
    /// # Errors
    /// The name of a module that the kernel does not have.
    pub(super) fn in_order<'a>(&'a self, wanted: &[&str]) -> Result<Vec<(&'a str, &'a [u8])>, String> {
        let mut ordered = Vec::new();
        for name in wanted {
            self.append(name, &mut ordered, &mut Vec::new())?;
        }
        Ok(ordered)
    }

    fn append<'a>(
        &'a self,
        name: &str,
        ordered: &mut Vec<(&'a str, &'a [u8])>,
        open: &mut Vec<String>,
    ) -> Result<(), String> {
        let is_done = ordered.iter().any(|(done, _)| *done == name);
        if is_done || self.builtin.contains(name) || open.iter().any(|open| open == name) {
            return Ok(());
        }
        let (own, content) = self.files.get_key_value(name).ok_or_else(|| name.to_owned())?;
        open.push(name.to_owned());
        for needed in needed_by(content) {
            self.append(&needed, ordered, open)?;
        }
        ordered.push((own, content));
        Ok(())
    }
}

/// Returns the name of a module by its path: the kernel takes `-` and `_` for the same.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    let name = file.split('.').next().unwrap_or_default();
    name.replace('-', "_")
}

fn needed_by(module: &[u8]) -> Vec<String> {
    let at = module.windows(DEPENDS.len()).position(|window| window == DEPENDS);
    let Some(at) = at else { return Vec::new() };
    let field = &module[at + DEPENDS.len()..];
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let names = String::from_utf8_lossy(&field[..end]);
    names.split(',').filter(|name| !name.is_empty()).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules() -> Modules {
        let mut modules = Modules::default();
        for (path, needed) in [
            ("lib/modules/6.1/kernel/drivers/virtio/virtio.ko", "virtio_ring"),
            ("kernel/virtio_ring.ko", ""),
            ("kernel/virtio-net.ko", "virtio,net_failover,virtio_ring,crc"),
            ("kernel/net_failover.ko", "failover"),
            ("kernel/failover.ko", ""),
            ("kernel/ring.ko", "ring"),
        ] {
            let content = format!("ELF\0license=GPL\0depends={needed}\0name=x\0");
            modules.add(path, content.into_bytes());
        }
        modules.add_builtin("kernel/lib/crc.ko\nkernel/fs/ext4/ext4.ko\n");
        modules
    }

    #[test]
    fn each_module_follows_those_that_it_needs() {
        let modules = modules();
        let ordered = modules
            .in_order(&["ext4", "virtio_net", "virtio", "ring"])
            .expect("an order");
        let names: Vec<&str> = ordered.into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "virtio_ring",
                "virtio",
                "failover",
                "net_failover",
                "virtio_net",
                "ring"
            ]
        );
    }

    #[test]
    fn a_module_that_the_kernel_does_not_have_is_named() {
        let modules = modules();
        assert_eq!(modules.in_order(&["virtio", "overlay"]), Err("overlay".to_owned()));
    }
}
