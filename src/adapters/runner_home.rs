//! The folder of a runner program on this machine.

use crate::domain::base_runner::installation::{
    EARLIER_SETTINGS, Installation, REGISTRATION_FILES, Registration, RunnerSettings,
};
use crate::ports::runner_home::{HomeLock, RunnerHomes};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// Maximum size of a file with settings.
const MAX_SETTINGS_BYTES: u64 = 65_536;
/// The programs whose owner is the account of the runner, the first that exists.
const PROGRAMS: [&str; 2] = ["config.sh", "run.sh"];

/// The folders of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalHomes;

struct Lock(#[expect(dead_code, reason = "the lock ends when the file is closed")] File);

impl HomeLock for Lock {}

impl RunnerHomes for LocalHomes {
    fn look(&self, home: &Path) -> io::Result<Installation> {
        let folder = fs::metadata(home)?;
        if !folder.is_dir() {
            return Err(io::Error::new(ErrorKind::NotADirectory, "it is not a folder"));
        }
        let program = PROGRAMS.iter().find_map(|name| fs::metadata(home.join(name)).ok());
        let unit = text(&home.join(".service")).map(|text| text.trim().to_owned());
        Ok(Installation {
            registration: registration(home),
            has_service_script: home.join("svc.sh").is_file(),
            unit: unit.filter(|unit| !unit.is_empty()),
            owner: program.unwrap_or(folder).uid(),
        })
    }

    fn missing(&self, home: &Path, names: &[&str]) -> Vec<PathBuf> {
        let is_missing = |path: &PathBuf| {
            let program = fs::metadata(path);
            !program.is_ok_and(|program| program.is_file() && program.permissions().mode() & 0o111 != 0)
        };
        let paths = names.iter().map(|name| home.join(name));
        paths.filter(is_missing).collect()
    }

    fn libraries(&self, home: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(home.join("bin")) else {
            return Vec::new();
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut found: Vec<PathBuf> = paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "so"))
            .collect();
        found.sort();
        found
    }

    fn remove_registration(&self, home: &Path) -> io::Result<()> {
        REGISTRATION_FILES
            .iter()
            .try_for_each(|name| self.remove_file(&home.join(name)))
    }

    fn set_registration_aside(&self, home: &Path) -> io::Result<()> {
        let has_settings = matches!(registration(home), Registration::Present(_));
        if has_settings {
            fs::rename(home.join(".runner"), home.join(EARLIER_SETTINGS))?;
        }
        self.remove_registration(home)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn work_folder(&self, home: &Path, name: &str) -> io::Result<(PathBuf, bool)> {
        let parts: Vec<Component<'_>> = Path::new(name).components().collect();
        if parts.is_empty() || !parts.iter().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "it is not inside the folder of the runner",
            ));
        }
        let mut path = home.to_owned();
        for part in parts {
            path.push(part);
            match fs::symlink_metadata(&path) {
                Ok(entry) if !entry.is_dir() => {
                    return Err(io::Error::new(ErrorKind::NotADirectory, "it is a link or a file"));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok((home.join(name), false)),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        let is_used = fs::read_dir(&path)?.next().is_some();
        Ok((path, is_used))
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                // Jobs leave folders that are closed to their owner, such as the module cache of Go.
                open_folders(folder)?;
                fs::remove_dir_all(folder)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn lock(&self, home: &Path) -> io::Result<Option<Box<dyn HomeLock>>> {
        let folder = File::open(home)?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // The runner program inherits the lock, which then outlives this process if it is killed.
                fcntl_setfd(&folder, FdFlags::empty())?;
                Ok(Some(Box::new(Lock(folder))))
            }
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn registration(home: &Path) -> Registration {
    let is_there = |name: &str| fs::symlink_metadata(home.join(name)).is_ok();
    let settings = |name: &str| text(&home.join(name)).and_then(|text| RunnerSettings::parse(&text));
    match settings(".runner").filter(|_| is_there(".credentials")) {
        Some(settings) => Registration::Present(settings),
        None => match settings(EARLIER_SETTINGS) {
            Some(settings) => Registration::Interrupted(settings),
            None if REGISTRATION_FILES.iter().copied().any(is_there) => Registration::Damaged,
            None => Registration::Missing,
        },
    }
}

fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(MAX_SETTINGS_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Makes every folder writable for its owner, without following links.
fn open_folders(folder: &Path) -> io::Result<()> {
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = open(&next, flags, Mode::empty())?;
        fs::set_permissions(
            format!("/proc/self/fd/{}", opened.as_raw_fd()),
            Permissions::from_mode(0o700),
        )?;
        for entry in fs::read_dir(&next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(())
}
