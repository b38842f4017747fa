//! Fills the folder of a slot that boots: the copy of the runner program, the home directory and the job gate.

use super::copying::{self, CopyError};
use super::sandbox;
use super::settings::Settings;
use crate::adapters::hosts::slots::{Account, Layout, RESOLVER, SlotDir, hook_script, install_stand_in, resolver_file};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Fills the folder of a slot, until `cancelled` becomes true.
pub(super) fn prepare(
    slot: &SlotDir,
    settings: &Settings,
    layout: &Layout,
    account: &Account,
    cancelled: &AtomicBool,
) -> Result<(), CopyError> {
    let failed = |source| CopyError::Io {
        path: slot.0.display().to_string(),
        source,
    };
    let own = Account::own();
    let make = |path: &Path, account| copying::make_folder(path, account).map_err(failed);
    make(&slot.job(), &own)?;
    make(&slot.home(), account)?;
    make(&slot.tmp(), account)?;
    make(&slot.gate(), &own)?;
    let seen = sandbox::seen_paths(settings, layout, slot);
    write(&slot.hook(), &hook_script(&seen.program, &seen.socket), 0o755).map_err(failed)?;
    let resolver = format!("nameserver {}\n", RESOLVER);
    write(&resolver_file(slot), &resolver, 0o644).map_err(failed)?;
    // The folder itself may be a link, for example to a version.
    let home = settings.local.runner_home.canonicalize().map_err(failed)?;
    copying::copy(&home, &slot.runner(), account, cancelled)?;
    install_stand_in(&slot.runner(), &seen).map_err(failed)
}

fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}
