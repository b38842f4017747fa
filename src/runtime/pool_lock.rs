//! The lock of the pool in a state directory. A supervisor and a single pass hold it alone; the workers of `serve` share it.
//! The system releases it when the process ends, for any reason. The file stays, and names the holder.

use super::identity::{self, IdentityError};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file in the state directory.
const FILE: &str = "pool.lock";
/// The time for which a start waits for a lock whose holder has just ended.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval at which this lock is checked.
const RELEASE_INTERVAL: Duration = Duration::from_millis(50);
/// More than the file contains.
const MAX_FILE_BYTES: u64 = 4096;

/// The process that holds the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    pub pid: u32,
    /// The name of its machine.
    pub host: String,
    pub since: DateTime<Utc>,
    /// Its command, such as `pool supervise`.
    pub command: String,
}

impl LockHolder {
    fn ourselves(command: &str, now: DateTime<Utc>) -> Self {
        Self {
            pid: std::process::id(),
            host: host_name(),
            since: now,
            command: command.to_owned(),
        }
    }

    /// Returns true if it ran on this machine and has ended.
    fn has_ended(&self) -> bool {
        self.host == host_name() && identity::has_ended(self.pid)
    }
}

impl std::fmt::Display for LockHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.since.format("%Y-%m-%dT%H:%M:%SZ");
        write!(
            f,
            "`jitgate {}`, pid {} on {} since {since}",
            self.command, self.pid, self.host
        )
    }
}

/// The reason why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PoolLockError {
    /// Another process holds it.
    #[error("the pool of {} belongs to another process: {}", path.display(), in_words(holder.as_ref()))]
    Held {
        /// The state directory.
        path: PathBuf,
        holder: Option<LockHolder>,
    },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("cannot lock {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn in_words(holder: Option<&LockHolder>) -> String {
    holder.map_or_else(|| "it did not write its name".to_owned(), ToString::to_string)
}

/// Access to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolAccess {
    /// No other worker may use the pool.
    Alone,
    /// Other workers may use it in the same way.
    Shared,
}

/// The lock, which is held until this value is dropped.
#[derive(Debug)]
pub struct PoolLock {
    file: File,
    holder: LockHolder,
}

impl PoolLock {
    /// Takes the lock for a command. The lock of a process that has just been killed is awaited.
    ///
    /// # Errors
    /// Fails if another process holds it, or the state directory cannot be used.
    pub async fn take(
        state_dir: &Path,
        access: PoolAccess,
        command: &str,
        now: DateTime<Utc>,
    ) -> Result<Self, PoolLockError> {
        identity::prepare_state_dir(state_dir)?;
        let path = state_dir.join(FILE);
        let failed = |source| PoolLockError::Io {
            path: path.clone(),
            source,
        };
        let began = tokio::time::Instant::now();
        loop {
            let mut file = open(&path).map_err(failed)?;
            let locked = match access {
                PoolAccess::Alone => file.try_lock(),
                PoolAccess::Shared => file.try_lock_shared(),
            };
            match locked {
                Ok(()) => {
                    let holder = LockHolder::ourselves(command, now);
                    write(&mut file, &holder).map_err(failed)?;
                    return Ok(Self { file, holder });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
                Err(TryLockError::WouldBlock) => {}
            }
            let holder = read(&mut file).map_err(failed)?;
            // A child process that the holder had just forked keeps the lock for a moment, and so does `pool status`.
            let is_ending = holder.as_ref().is_none_or(LockHolder::has_ended);
            if !is_ending || began.elapsed() >= RELEASE_TIMEOUT {
                let path = state_dir.to_owned();
                return Err(PoolLockError::Held { path, holder });
            }
            tokio::time::sleep(RELEASE_INTERVAL).await;
        }
    }

    /// Returns the process that holds the lock of a state directory, if any.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub fn holder(state_dir: &Path) -> io::Result<Option<LockHolder>> {
        let mut file = match File::open(state_dir.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => read(&mut file),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for PoolLock {
    fn drop(&mut self) {
        // Another holder of a shared lock may have written its name since.
        if read(&mut self.file).is_ok_and(|holder| holder.as_ref() == Some(&self.holder)) {
            self.file.set_len(0).ok();
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn write(file: &mut File, holder: &LockHolder) -> io::Result<()> {
    let text = serde_json::to_string(holder)?;
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{text}")
}

/// Returns the holder that the file names; none if it names none.
fn read(file: &mut File) -> io::Result<Option<LockHolder>> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text).ok())
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}
