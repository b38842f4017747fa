//! A keeper's children. It adopts what its environment leaves behind, so "no children" means that nothing is left.

use super::process::children_of;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};
use std::io;
use std::time::Duration;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::timeout;

/// How soon those that had children of their own meanwhile are looked for, at first.
const AGAIN: Duration = Duration::from_millis(10);
/// And how often, where something does not die.
const SELDOM: Duration = Duration::from_secs(1);

/// The children of this process, which has no others.
pub(super) struct Children {
    first: Option<Pid>,
    first_ended: bool,
    changed: unix::Signal,
}

impl Children {
    /// Adopts from now on whatever its children leave behind.
    pub(super) fn adopt() -> io::Result<Self> {
        set_child_subreaper(Some(getpid()))?;
        Ok(Self {
            first: None,
            first_ended: false,
            changed: unix::signal(SignalKind::child())?,
        })
    }

    /// Everything ends with this one.
    pub(super) fn first(&mut self, pid: u32) {
        self.first = i32::try_from(pid).ok().and_then(Pid::from_raw);
    }

    /// Returns once the first child has ended.
    pub(super) async fn first_ends(&mut self) {
        loop {
            self.reap();
            if self.first_ended {
                return;
            }
            self.changed.recv().await;
        }
    }

    /// Kills every child, and theirs, and returns once none is left.
    pub(super) async fn kill_all(&mut self) {
        let own = Pid::as_raw(Some(getpid()));
        let mut again = AGAIN;
        loop {
            for child in children_of(own) {
                child.kill();
            }
            // Also where /proc hides it. Until it is reaped its id is nobody else's.
            if let Some(first) = self.first.filter(|_| !self.first_ended) {
                kill_process(first, Signal::KILL).unwrap_or_default();
            }
            if self.reap() {
                return;
            }
            // Waiting longer than needed is no harm, and nobody needs the event itself.
            timeout(again, self.changed.recv()).await.unwrap_or_default();
            again = SELDOM.min(again + AGAIN);
        }
    }

    /// Takes note of every child that has ended. True when none is left.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, _))) => self.first_ended |= Some(pid) == self.first,
                Err(Errno::INTR) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }
}
