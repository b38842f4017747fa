//! Ends everything that runs in a slot, with the help of its keeper or without.

use super::control::{self, Command};
use super::layout::SlotDir;
use super::process::{ProcessId, processes_of};
use super::status::Status;
use crate::domain::slot::SlotState;
use crate::ports::Failure;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Time for a keeper to end by itself before it is killed.
const KEEPER_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for a killed process to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
/// Scans in a row that find no process before the slot counts as empty: a process that is still forking can be missed by one
/// scan.
const MIN_EMPTY_SCANS: u32 = 3;
/// Interval between two looks at a change that the kernel does not report.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Ends the keeper of a slot and everything it keeps. The returned file locks the slot, so that nothing can start in it
/// any more; there is none where the slot never had a lock.
pub(super) async fn end(slot: &SlotDir, machine_start: &str) -> Result<Option<File>, Failure> {
    // The answer does not matter: the free lock shows that the keeper has ended.
    timeout(KEEPER_TIMEOUT, control::send(slot, Command::End)).await.ok();
    let mut keeper_lock = free_lock(slot, KEEPER_TIMEOUT).await;
    if matches!(keeper_lock, Err(Held)) {
        let keeper = Status::read(slot).and_then(|status| status.keeper);
        tracing::warn!(slot = slot.name(), "killing the keeper, which does not end by itself");
        keeper.into_iter().for_each(ProcessId::kill);
        keeper_lock = free_lock(slot, KILL_TIMEOUT).await;
    }
    let Ok(keeper_lock) = keeper_lock else {
        return Err(Failure::Transient(format!(
            "the keeper of slot {} does not end",
            slot.name()
        )));
    };
    // The kernel kills the guest with its keeper, but that takes a moment.
    let unread = |error| Failure::Transient(format!("cannot read the status of slot {}: {error}", slot.name()));
    let status = Status::try_read(slot).map_err(unread)?;
    let has_ended = |status: &Status| status.is_unkept() || matches!(status.state, SlotState::Ended(_));
    let running = status.filter(|status| !has_ended(status) && status.machine_start == machine_start);
    if let Some(status) = running {
        let deadline = Instant::now() + KILL_TIMEOUT;
        let mut empty_scans = 0;
        while empty_scans < MIN_EMPTY_SCANS {
            let mut left = processes_of(&slot.name(), &slot.job());
            left.extend(status.processes.iter().filter(|process| process.is_alive()));
            empty_scans = if left.is_empty() { empty_scans + 1 } else { 0 };
            if Instant::now() > deadline {
                return Err(Failure::Transient(format!(
                    "the processes of slot {} do not end",
                    slot.name()
                )));
            }
            left.into_iter().for_each(ProcessId::kill);
            sleep(POLL_INTERVAL).await;
        }
    }
    Ok(keeper_lock)
}

/// Returns true if a keeper lives in the slot. A lock that cannot be opened does not count as free.
pub(super) fn has_keeper(slot: &SlotDir) -> bool {
    match File::open(slot.lock()) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(error) => error.kind() != ErrorKind::NotFound,
    }
}

/// Waits until a keeper that is about to end has ended, up to a bound.
pub(super) async fn keeper_ends(slot: &SlotDir) {
    let deadline = Instant::now() + KEEPER_TIMEOUT;
    while has_keeper(slot) && Instant::now() < deadline {
        sleep(POLL_INTERVAL).await;
    }
}

/// The lock is held by another process.
struct Held;

/// Takes the lock of a slot as soon as its keeper has released it. Returns none where the slot never had a lock.
async fn free_lock(slot: &SlotDir, limit: Duration) -> Result<Option<File>, Held> {
    let file = match OpenOptions::new().read(true).write(true).open(slot.lock()) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(Held),
    };
    let deadline = Instant::now() + limit;
    while file.try_lock().is_err() {
        if Instant::now() > deadline {
            return Err(Held);
        }
        sleep(POLL_INTERVAL).await;
    }
    Ok(Some(file))
}
