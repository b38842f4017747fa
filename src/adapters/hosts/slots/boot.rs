//! Booting a slot: a task of its own fills the slot's folder, writes the status file, and starts the keeper of a guest that
//! boots before it is claimed.

use super::removal::remove_file;
use crate::domain::slot::{Ending, SlotState};
use chrono::{DateTime, Utc};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A boot that this process has begun.
pub(super) struct Boot {
    pub(super) since: DateTime<Utc>,
    cancelled: Arc<AtomicBool>,
    given_up: Arc<Notify>,
    result: SharedResult,
    task: JoinHandle<()>,
}

/// The result of a boot, once it is over. The error says what failed.
type SharedResult = Arc<Mutex<Option<Result<(), String>>>>;

impl Boot {
    /// Runs `prepare` on a thread of its own, which returns early when its argument becomes true, then `start`, and then
    /// notifies `changed`.
    pub(super) fn begin(
        since: DateTime<Utc>,
        changed: Arc<Notify>,
        prepare: impl FnOnce(&AtomicBool) -> Result<(), String> + Send + 'static,
        start: impl Future<Output = Result<(), String>> + Send + 'static,
    ) -> Self {
        let (cancelled, result) = (Arc::new(AtomicBool::new(false)), SharedResult::default());
        let (stop, finished) = (cancelled.clone(), result.clone());
        let given_up = Arc::new(Notify::new());
        let until_given_up = given_up.clone();
        let task = tokio::spawn(async move {
            let prepared = tokio::task::spawn_blocking(move || prepare(&stop)).await;
            let mut booted = prepared.unwrap_or_else(|bug| Err(bug.to_string()));
            if booted.is_ok() {
                booted = tokio::select! {
                    started = start => started,
                    // Everything that has started is ended with the slot.
                    () = until_given_up.notified() => Err("it was destroyed".to_owned()),
                };
            }
            *finished.lock().unwrap_or_else(PoisonError::into_inner) = Some(booted);
            changed.notify_one();
        });
        Self {
            since,
            cancelled,
            given_up,
            result,
            task,
        }
    }

    /// Returns the state of the slot until its status file says it.
    pub(super) fn state(&self) -> Option<SlotState> {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        match result.clone() {
            None => Some(SlotState::Booting),
            Some(Ok(())) => None,
            Some(Err(why)) => Some(SlotState::Ended(Ending::BootFailed(why))),
        }
    }

    /// Makes the boot stop, without waiting for it.
    pub(super) fn stop(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.given_up.notify_one();
    }

    /// Stops the boot and waits for its end.
    pub(super) async fn cancel(self) {
        self.stop();
        self.task.await.unwrap_or_default();
    }
}

/// Puts jitgate's own program where keepers and hooks run it, so that replacing the installed file does not affect them.
pub(super) fn install(program: &Path, to: &Path) -> io::Result<()> {
    let draft = to.with_extension("new");
    remove_file(&draft)?;
    // Jobs run it too, under another account.
    let is_for_all = fs::metadata(program)?.permissions().mode() & 0o005 == 0o005;
    if !is_for_all || fs::hard_link(program, &draft).is_err() {
        fs::copy(program, &draft)?;
        fs::set_permissions(&draft, Permissions::from_mode(0o755))?;
    }
    fs::rename(&draft, to)?;
    // Two links to one file both survive a rename.
    remove_file(&draft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn a_program_that_is_installed_again_leaves_no_draft() {
        let place = TempDir::new().expect("a folder");
        let (program, folder) = (place.path().join("program"), place.path().join("host"));
        fs::write(&program, "a program").expect("a file");
        fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("a mode");
        fs::create_dir(&folder).expect("a folder");
        for _ in 0..2 {
            install(&program, &folder.join("jitgate")).expect("it is installed");
            let names = fs::read_dir(&folder)
                .expect("a folder")
                .map(|entry| entry.expect("an entry").file_name());
            assert_eq!(names.collect::<Vec<_>>(), ["jitgate"]);
        }
    }
}
