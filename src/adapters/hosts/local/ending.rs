//! Ending what runs in a slot, with its keeper's help or without.

use super::control::{self, Word};
use super::layout::SlotDir;
use super::process::{ProcessId, belonging};
use super::sandbox::MARK;
use super::status::Status;
use crate::ports::Failure;
use crate::ports::runner_host::SlotState;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Time for a keeper to do as it is told before it is killed.
const POLITENESS: Duration = Duration::from_secs(3);
/// Time for what was killed to be gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often in a row nothing is found before nothing is there: who is being born is missed once.
const QUIET: u32 = 3;
/// How often what the kernel does not report is looked at.
const AGAIN: Duration = Duration::from_millis(5);

/// Ends the keeper and all it keeps. What is returned locks the slot, so that nothing is started in it any more.
pub(super) async fn end(slot: &SlotDir, machine_start: &str) -> Result<Option<File>, Failure> {
    // No answer is as good as one: what counts is the lock.
    timeout(POLITENESS, control::tell(slot, Word::End)).await.ok();
    let mut keeper_lock = free_lock(slot, POLITENESS).await;
    if matches!(keeper_lock, Err(Held)) {
        let keeper = Status::read(slot).and_then(|status| status.keeper);
        tracing::warn!(slot = slot.name(), "its keeper does not end, and is killed");
        keeper.into_iter().for_each(ProcessId::kill);
        keeper_lock = free_lock(slot, PATIENCE).await;
    }
    let Ok(keeper_lock) = keeper_lock else {
        return Err(Failure::Transient(format!(
            "the keeper of {} does not end",
            slot.name()
        )));
    };
    // The kernel kills an environment with its keeper, but that takes a moment.
    let unread = |error| Failure::Transient(format!("the status of {} cannot be read: {error}", slot.name()));
    let status = Status::look(slot).map_err(unread)?;
    let has_ended = |status: &Status| matches!(status.state, SlotState::Ready | SlotState::Ended(_));
    let known = status.filter(|status| !has_ended(status) && status.machine_start == machine_start);
    if let Some(status) = known {
        let mark = format!("{}={}", MARK, slot.name());
        let deadline = Instant::now() + PATIENCE;
        let mut quiet = 0;
        while quiet < QUIET {
            let mut left = belonging(&mark, &slot.environment());
            left.extend(status.environment.iter().filter(|process| process.is_alive()));
            quiet = if left.is_empty() { quiet + 1 } else { 0 };
            if Instant::now() > deadline {
                return Err(Failure::Transient(format!("processes of {} do not end", slot.name())));
            }
            left.into_iter().for_each(ProcessId::kill);
            sleep(AGAIN).await;
        }
    }
    Ok(keeper_lock)
}

/// Whether a keeper lives in the slot. One whose lock cannot be opened just now is not taken for dead.
pub(super) fn has_keeper(slot: &SlotDir) -> bool {
    match File::open(slot.lock()) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

/// Returns once a keeper that is going is gone, or after a while if it is not going.
pub(super) async fn keeper_is_gone(slot: &SlotDir) {
    let deadline = Instant::now() + POLITENESS;
    while has_keeper(slot) && Instant::now() < deadline {
        sleep(AGAIN).await;
    }
}

/// Somebody holds the lock.
struct Held;

/// The lock of a slot, as soon as its keeper is gone. None where there never was one.
async fn free_lock(slot: &SlotDir, patience: Duration) -> Result<Option<File>, Held> {
    let file = match OpenOptions::new().read(true).write(true).open(slot.lock()) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(Held),
    };
    let deadline = Instant::now() + patience;
    while file.try_lock().is_err() {
        if Instant::now() > deadline {
            return Err(Held);
        }
        sleep(AGAIN).await;
    }
    Ok(Some(file))
}
