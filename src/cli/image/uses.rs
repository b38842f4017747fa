//! The images that must stay: those of slots, and the configured one.

use crate::adapters::hosts::qemu::images_of_slots;
use crate::adapters::image::StoredImage;
use crate::cli::exit::Failure;
use crate::cli::session::Session;
use std::path::PathBuf;

/// The paths of images that are in use.
pub(super) struct Uses {
    slots: Vec<PathBuf>,
    configured: Option<PathBuf>,
}

impl Uses {
    /// Looks at the slots and at the configuration. A faulty configuration is an error, because it could hide both.
    pub(super) fn look(session: &Session) -> Result<Self, Failure> {
        let config = session.config()?;
        let configured = config.qemu.image.as_ref();
        Ok(Self {
            slots: images_of_slots(&config.server.state_dir),
            configured: configured.and_then(|image| image.canonicalize().ok()),
        })
    }

    /// Returns the number of slots that use an image.
    pub(super) fn slots(&self, image: &StoredImage) -> usize {
        let path = image.path.canonicalize().ok();
        self.slots.iter().filter(|slot| path.as_ref() == Some(*slot)).count()
    }

    /// Returns true if new virtual machines get the image.
    pub(super) fn is_current(&self, image: &StoredImage) -> bool {
        let path = image.path.canonicalize().ok();
        image.is_current || path.is_some() && path == self.configured
    }
}
