//! Puts the parts of an image together: the root with the runner program and jitgate in it, the kernel, and the initial RAM
//! disk.

use super::archive::{Kind, Member, Reader, Rights, Writer};
use super::modules::Modules;
use super::root::BOOT_FOLDER;
use super::runner_files::{Entry, RunnerFiles};
use super::{ImageError, initrd, kernel, libraries};
use crate::domain::image::{Package, Recipe, guest, installed, part};
use crate::domain::runner_folder::{REAL_WORKER, WORKER};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

/// Starts the services of an image with Docker.
pub(super) const SERVICES: &str = include_str!("services.sh");
/// Files of the root that are replaced.
const REPLACED: [(&str, &str); 3] = [
    ("etc/hostname", "jitgate\n"),
    ("etc/hosts", "127.0.0.1 localhost jitgate\n::1 localhost\n"),
    // The resolver of QEMU's network.
    ("etc/resolv.conf", "nameserver 10.0.2.3\n"),
];
const ROOT: u32 = 0;

/// The scripts of the job gate, whose texts belong to the host.
#[derive(Debug, Clone)]
pub struct GuestScripts {
    /// Stands in for the worker of the runner program.
    pub worker: String,
    /// Runs before the first step of a job.
    pub hook: String,
}

/// The inputs of an image.
pub(super) struct Parts<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) root: &'a Path,
    pub(super) runner: &'a RunnerFiles,
    /// The file of jitgate.
    pub(super) program: &'a Path,
    pub(super) scripts: &'a GuestScripts,
}

/// The findings in the root while it was copied.
pub(super) struct Assembled {
    pub(super) kernel: String,
    pub(super) packages: Vec<Package>,
    pub(super) missing_libraries: BTreeMap<String, String>,
    /// The names of the kernel's file and of the initial RAM disk.
    pub(super) files: [&'static str; 2],
}

#[derive(Default)]
struct Found {
    kernel: Option<(String, Vec<u8>)>,
    busybox: Option<Vec<u8>>,
    modules: Modules,
    packages: Vec<Package>,
    libraries: BTreeSet<String>,
}

/// Writes the complete root to `archive`, and the kernel and the initial RAM disk to `folder`.
pub(super) fn assemble(parts: &Parts<'_>, archive: &Path, folder: &Path) -> Result<Assembled, ImageError> {
    let file = File::create(archive).map_err(ImageError::of(archive))?;
    let mut to = BufWriter::with_capacity(1 << 20, file);
    let mut found = copy_root(parts.root, &mut to).map_err(ImageError::of(parts.root))?;
    let writer = Writer::new(to, parts.recipe.source_date_epoch);
    append(parts, writer).map_err(ImageError::of(archive))?;
    let lacks = |what: &str| ImageError::Incomplete(what.to_owned());
    let (kernel, image) = found.kernel.take().ok_or_else(|| lacks("kernel"))?;
    let busybox = found.busybox.take().ok_or_else(|| lacks("busybox"))?;
    if found.packages.is_empty() {
        return Err(lacks("list of packages"));
    }
    found.packages.sort();
    let (kernel_file, content) = match kernel::unpacked(&image) {
        Some(unpacked) => (part::KERNEL, unpacked),
        None => (part::PACKED_KERNEL, image),
    };
    let ram_disk = initrd::archive(&kernel, &busybox, &found.modules)?;
    let files = [kernel_file, part::RAM_DISK];
    for (name, content) in files.iter().zip([content, ram_disk]) {
        let path = folder.join(name);
        fs::write(&path, content).map_err(ImageError::of(&path))?;
    }
    Ok(Assembled {
        kernel,
        packages: found.packages,
        missing_libraries: libraries::missing(parts.runner, &found.libraries)?,
        files,
    })
}

/// Copies the root, except the files that are replaced or that belong to the boot.
fn copy_root(root: &Path, to: &mut impl Write) -> io::Result<Found> {
    let mut reader = Reader::new(BufReader::with_capacity(1 << 20, File::open(root)?));
    let mut found = Found::default();
    while let Some(member) = reader.next()? {
        if let Some(rest) = member.path.strip_prefix(BOOT_FOLDER) {
            let rest = rest.trim_start_matches('/').to_owned();
            take(&mut found, &rest, &member, &mut reader)?;
            continue;
        }
        if REPLACED.iter().any(|(path, _)| *path == member.path) {
            continue;
        }
        if let Some((_, name)) = member.path.rsplit_once('/')
            && name.contains(".so")
        {
            found.libraries.insert(name.to_owned());
        }
        if member.path == "var/lib/dpkg/status" {
            let content = reader.content()?;
            found.packages.extend(installed(&String::from_utf8_lossy(&content)));
            member.pass_with(&content, to)?;
        } else {
            reader.pass(&member, to)?;
        }
    }
    Ok(found)
}

/// Takes a file that belongs to the boot.
fn take(found: &mut Found, path: &str, member: &Member, reader: &mut Reader<impl io::Read>) -> io::Result<()> {
    if member.kind != Kind::File {
        return Ok(());
    }
    if let Some(release) = path.strip_prefix("boot/vmlinuz-") {
        found.kernel = Some((release.to_owned(), reader.content()?));
    } else if path == "bin/busybox" {
        found.busybox = Some(reader.content()?);
    } else if path == "packages" {
        let text = String::from_utf8_lossy(&reader.content()?).into_owned();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        found.packages.extend(lines.map(|(name, version)| Package {
            name: name.to_owned(),
            version: version.to_owned(),
        }));
    } else if path.ends_with("/modules.builtin") {
        let text = reader.content()?;
        found.modules.add_builtin(&String::from_utf8_lossy(&text));
    } else if path.ends_with(".ko") {
        let content = reader.content()?;
        found.modules.add(path, content);
    }
    Ok(())
}

/// Appends everything that is not Debian's.
fn append(parts: &Parts<'_>, mut to: Writer<impl Write>) -> io::Result<()> {
    let rights = |mode, owner| Rights { mode, owner };
    let (text, program) = (rights(0o644, ROOT), rights(0o755, ROOT));
    for (path, content) in REPLACED {
        to.file(path, text, content.as_bytes())?;
    }
    let own = File::open(parts.program)?;
    let size = own.metadata()?.len();
    to.copied(inside(guest::PROGRAM), program, own, size)?;
    to.folder("usr/local/lib/jitgate", program)?;
    to.file(inside(guest::HOOK), program, parts.scripts.hook.as_bytes())?;
    if parts.recipe.docker {
        to.file(inside(guest::SERVICES), program, SERVICES.as_bytes())?;
    }
    let owned = |mode| rights(mode, guest::ACCOUNT_ID);
    to.folder(inside(guest::HOME), owned(0o755))?;
    to.folder(inside(guest::RUNNER), owned(0o755))?;
    for (path, entry) in &parts.runner.entries {
        let place = |path: &str| format!("{}/{path}", inside(guest::RUNNER));
        match entry {
            Entry::Folder => to.folder(&place(path), owned(0o755))?,
            Entry::Link { target } => to.link(&place(path), target, guest::ACCOUNT_ID)?,
            Entry::File { from, mode, bytes } => {
                let is_worker = path == WORKER;
                if is_worker {
                    to.file(&place(WORKER), owned(0o755), parts.scripts.worker.as_bytes())?;
                }
                let path = if is_worker { REAL_WORKER } else { path };
                to.copied(&place(path), owned(*mode), File::open(from)?, *bytes)?;
            }
        }
    }
    to.finish()?;
    Ok(())
}

fn inside(path: &str) -> &str {
    path.trim_start_matches('/')
}
