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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::hosts::qemu::settings::tests::settings;

    /// Makes an image with these files, which the configuration names by a link.
    fn place(files: &[&str]) -> (tempfile::TempDir, Settings) {
        let place = tempfile::tempdir().expect("a directory");
        let folder = place.path().join("0123456789abcdef");
        fs::create_dir(&folder).expect("a folder");
        for name in files {
            fs::write(folder.join(name), name).expect("a file");
        }
        symlink(&folder, place.path().join("image")).expect("a link");
        let settings = settings(place.path());
        (place, settings)
    }

    #[test]
    fn an_image_is_found_behind_its_link_and_its_unpacked_kernel_is_preferred() {
        let (place, mut settings) = place(&["vmlinuz", "vmlinux", "initrd.img", "root.sqfs"]);
        let folder = place.path().canonicalize().expect("a path").join("0123456789abcdef");
        let image = Image::find(&settings).expect("an image");
        assert_eq!((&image.folder, image.name.as_str()), (&folder, "0123456789abcdef"));
        assert_eq!(
            (image.kernel, image.initrd),
            (folder.join("vmlinux"), folder.join("initrd.img"))
        );
        let own = place.path().join("own");
        fs::write(&own, "").expect("a file");
        settings.qemu.kernel = Some(own.clone());
        settings.qemu.initrd = Some(own.clone());
        let image = Image::find(&settings).expect("an image");
        assert_eq!(
            (image.kernel, image.initrd, image.root),
            (own.clone(), own, folder.join("root.sqfs"))
        );
        fs::remove_file(folder.join("vmlinux")).expect("removed");
        settings.qemu.kernel = None;
        assert_eq!(Image::find(&settings).expect("an image").kernel, folder.join("vmlinuz"));
    }

    #[test]
    fn an_image_without_one_of_its_files_is_none() {
        let missing = |files: &[&str]| {
            let (_place, settings) = place(files);
            Image::find(&settings).expect_err("a file is missing").to_string()
        };
        assert!(missing(&["initrd.img", "root.sqfs"]).contains("no kernel in "));
        assert!(missing(&["vmlinux", "root.sqfs"]).ends_with("initrd.img"));
        assert!(missing(&["vmlinux", "initrd.img"]).ends_with("root.sqfs"));
        let (place, settings) = place(&[]);
        fs::remove_file(place.path().join("image")).expect("removed");
        let error = Image::find(&settings).expect_err("there is no image").to_string();
        assert!(error.starts_with("qemu.image: cannot open "), "{error}");
    }

    #[test]
    fn a_slot_names_its_image_or_learns_that_it_was_removed() {
        let (place, settings) = place(&["vmlinux", "initrd.img", "root.sqfs"]);
        let image = Image::find(&settings).expect("an image");
        for gone in ["initrd.img", "vmlinux", "root.sqfs", ""] {
            let slot = SlotDir(place.path().join(format!("slot-{gone}")));
            fs::create_dir(&slot.0).expect("a folder");
            assert_eq!(of_slot(&slot), None);
            if gone.is_empty() {
                image.occupy(&slot).expect("it is there");
            } else {
                // Between the look for it and its occupation.
                fs::remove_file(image.folder.join(gone)).expect("removed");
                image.occupy(&slot).expect_err("it is gone");
                fs::write(image.folder.join(gone), "").expect("a file");
            }
            assert_eq!(of_slot(&slot).as_ref(), Some(&image.folder), "it was marked first");
        }
    }
}
