//! The image that machines start from, and the link by which a slot names it.

use super::settings::{NAME, Settings};
use crate::adapters::hosts::slots::{SlotDir, slots_of};
use crate::domain::image::part;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The names of a kernel in an image, in the order of preference.
const KERNELS: [&str; 2] = [part::KERNEL, part::PACKED_KERNEL];

/// The files of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// The folder, without links.
    pub(super) folder: PathBuf,
    /// The name, which depends on the content.
    pub(super) name: String,
    pub(super) root: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
}

/// There is no image to start from.
#[derive(Debug, thiserror::Error)]
#[error("qemu.image: {0}")]
pub(super) struct NoImage(String);

impl NoImage {
    /// Returns the way to an image.
    pub(super) fn remedy() -> &'static str {
        "make one with `jitgate image build`, or set qemu.image to the folder of one"
    }
}

impl Image {
    /// Finds the image that new machines start from.
    pub(super) fn find(settings: &Settings) -> Result<Self, NoImage> {
        let given = settings.image();
        let folder = given
            .canonicalize()
            .map_err(|error| NoImage(format!("cannot open {}: {error}", given.display())))?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kernels = settings.qemu.kernel.iter().cloned();
        let kernels = kernels.chain(KERNELS.iter().map(|name| folder.join(name)));
        let kernel = kernels.into_iter().find(|kernel| kernel.is_file());
        let kernel = kernel.ok_or_else(|| NoImage(format!("no kernel in {}", folder.display())))?;
        let initrd = settings
            .qemu
            .initrd
            .clone()
            .unwrap_or_else(|| folder.join(part::RAM_DISK));
        let root = folder.join(part::ROOT);
        for file in [&initrd, &root] {
            if !file.is_file() {
                return Err(NoImage(format!("missing file {}", file.display())));
            }
        }
        // The keeper has another working directory.
        let absolute = |path: PathBuf| {
            std::path::absolute(&path).map_err(|error| NoImage(format!("cannot find {}: {error}", path.display())))
        };
        Ok(Self {
            folder,
            name,
            root,
            kernel: absolute(kernel)?,
            initrd: absolute(initrd)?,
        })
    }

    /// Marks the image as used by a slot, and then looks whether it still exists: from now on it is not removed.
    pub(super) fn occupy(&self, slot: &SlotDir) -> io::Result<()> {
        symlink(&self.folder, link(slot))?;
        for file in [&self.root, &self.kernel, &self.initrd] {
            fs::metadata(file)?;
        }
        Ok(())
    }
}

/// Returns the folder of the image of a slot.
pub(super) fn of_slot(slot: &SlotDir) -> Option<PathBuf> {
    fs::read_link(link(slot)).ok()
}

/// Returns the folders of the images of all slots below a state directory.
#[must_use]
pub fn images_of_slots(state_dir: &Path) -> Vec<PathBuf> {
    let slots = slots_of(state_dir, NAME);
    slots.iter().filter_map(|slot| link(slot).canonicalize().ok()).collect()
}

/// Returns the folder of the image that new machines start from, if there is one.
pub(super) fn current(settings: &Settings) -> Option<PathBuf> {
    Path::new(&settings.image()).canonicalize().ok()
}

fn link(slot: &SlotDir) -> PathBuf {
    slot.0.join("image")
}
