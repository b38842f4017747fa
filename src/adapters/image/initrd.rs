//! The initial RAM disk: busybox, the kernel modules that a guest boots with, and the script that becomes the agent.

use super::ImageError;
use super::cpio::Cpio;
use super::modules::{Modules, WANTED};

/// The first process of the guest.
pub(super) const INIT: &str = include_str!("init.sh");
/// The programs that the script calls.
const APPLETS: [&str; 8] = ["insmod", "ip", "ln", "mkdir", "mount", "sh", "sleep", "switch_root"];
const FOLDERS: [&str; 8] = ["bin", "dev", "lower", "mnt", "modules", "proc", "scratch", "sys"];

/// Returns the archive for a kernel.
pub(super) fn archive(kernel: &str, busybox: &[u8], modules: &Modules) -> Result<Vec<u8>, ImageError> {
    let missing = |module| ImageError::NoModule {
        kernel: kernel.to_owned(),
        module,
    };
    let modules = modules.in_order(WANTED).map_err(missing)?;
    let mut archive = Cpio::default();
    for folder in FOLDERS {
        archive.folder(folder);
    }
    // The kernel opens the console before the script runs.
    archive.device("dev/console", (5, 1));
    archive.device("dev/null", (1, 3));
    archive.program("bin/busybox", busybox);
    for applet in APPLETS {
        archive.link(&format!("bin/{applet}"), "busybox");
    }
    let mut order = String::new();
    for (name, content) in modules {
        archive.file(&format!("modules/{name}.ko"), content);
        order.push_str(name);
        order.push('\n');
    }
    archive.file("modules/order", order.as_bytes());
    archive.program("init", INIT.as_bytes());
    Ok(archive.finish())
}
