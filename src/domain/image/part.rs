//! The parts of an image: the names of files on which its builder and the host of virtual machines agree.

/// The read-only root file system.
pub const ROOT: &str = "root.sqfs";
/// The kernel, uncompressed: it boots faster than a packed one.
pub const KERNEL: &str = "vmlinux";
/// The kernel as Debian packs it, in images without an uncompressed one.
pub const PACKED_KERNEL: &str = "vmlinuz";
/// The initial RAM disk.
pub const RAM_DISK: &str = "initrd.img";
