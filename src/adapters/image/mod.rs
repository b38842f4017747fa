//! Images of virtual machines: built from Debian, kept in a folder, compared with their manifests.
//!
//! ```text
//!  mmdebstrap + customize.sh ──> root.tar (cached) ──> assembly ──> root.sqfs, vmlinux, initrd.img ──> manifest.json, name
//!                                  runner program, jitgate ──┘
//! ```

mod archive;
mod assembly;
mod build;
mod cpio;
mod digest;
mod error;
mod initrd;
mod inspection;
mod kernel;
mod libraries;
mod modules;
mod root;
mod runner_files;
mod shared_libraries;
mod store;
mod tie;

pub use assembly::GuestScripts;
pub use build::{Built, Plan, Request, build, plan};
pub use error::ImageError;
pub use inspection::{Inspection, inspect};
pub use store::{Images, ImagesLock, StoredImage};
