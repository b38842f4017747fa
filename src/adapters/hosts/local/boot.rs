//! Booting a slot: its folder is filled, and its status file, written last, says that it is ready.

use super::account::Account;
use super::copying::{self, CopyError};
use super::inspection::Settings;
use super::layout::{Layout, SlotDir};
use super::status::Status;
use super::{hook, network, sandbox, worker};
use crate::ports::runner_host::{Ending, SlotState};
use chrono::{DateTime, Utc};
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A boot that this process began.
pub(super) struct Boot {
    pub(super) since: DateTime<Utc>,
    cancelled: Arc<AtomicBool>,
    outcome: Outcome,
    task: JoinHandle<()>,
}

/// How a boot went, once it is over; the text says what failed.
type Outcome = Arc<Mutex<Option<Result<(), String>>>>;

/// Everything a slot needs.
pub(super) struct Preparation {
    pub(super) slot: SlotDir,
    pub(super) settings: Settings,
    pub(super) layout: Layout,
    pub(super) account: Account,
    /// What the slot's status is going to be.
    pub(super) status: Status,
}

impl Boot {
    /// Begins; whoever waits for `changed` is woken when it is over.
    pub(super) fn begin(preparation: Preparation, changed: Arc<Notify>) -> Self {
        let since = preparation.status.since;
        let (cancelled, outcome) = (Arc::new(AtomicBool::new(false)), Outcome::default());
        let (stop, told) = (cancelled.clone(), outcome.clone());
        let task = tokio::spawn(async move {
            let prepared = tokio::task::spawn_blocking(move || preparation.run(&stop)).await;
            let prepared = prepared.map_err(|bug| bug.to_string());
            let prepared = prepared.and_then(|prepared| prepared.map_err(|error| error.to_string()));
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(prepared);
            changed.notify_one();
        });
        Self {
            since,
            cancelled,
            outcome,
            task,
        }
    }

    /// None when the slot's folder says it.
    pub(super) fn state(&self) -> Option<SlotState> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome.clone() {
            None => Some(SlotState::Booting),
            Some(Ok(())) => None,
            Some(Err(why)) => Some(SlotState::Ended(Ending::BootFailed(why))),
        }
    }

    /// Makes it end soon.
    pub(super) fn stop(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Ends it.
    pub(super) async fn cancel(self) {
        self.stop();
        self.task.await.unwrap_or_default();
    }
}

impl Preparation {
    fn run(&self, cancelled: &AtomicBool) -> Result<(), CopyError> {
        let slot = &self.slot;
        let failed = |source| CopyError::Io {
            path: slot.0.display().to_string(),
            source,
        };
        let own = Account::own();
        let make = |path: &Path, account| copying::make_folder(path, account).map_err(failed);
        make(&slot.environment(), &own)?;
        make(&slot.home(), &self.account)?;
        make(&slot.tmp(), &self.account)?;
        make(&slot.gate(), &own)?;
        let seen = sandbox::seen(&self.settings, &self.layout, slot);
        fs::write(slot.hook(), hook::script(&seen.program, &seen.socket)).map_err(failed)?;
        fs::set_permissions(slot.hook(), Permissions::from_mode(0o755)).map_err(failed)?;
        fs::write(slot.resolver(), format!("nameserver {}\n", network::RESOLVER)).map_err(failed)?;
        fs::set_permissions(slot.resolver(), Permissions::from_mode(0o644)).map_err(failed)?;
        let home = &self.settings.local.runner_home;
        // The folder itself may be a link, to a version say.
        let home = home.canonicalize().map_err(failed)?;
        copying::copy(&home, &slot.runner(), &self.account, cancelled)?;
        worker::stand_in(&slot.runner(), &seen).map_err(failed)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        options.open(slot.lock()).map_err(failed)?;
        self.status.write(slot).map_err(failed)
    }
}

/// Puts the program where keepers and hooks find it, whatever happens to the installed one.
pub(super) fn install(program: &Path, to: &Path) -> io::Result<()> {
    let draft = to.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Jobs run it too.
    let is_for_all = fs::metadata(program)?.permissions().mode() & 0o005 == 0o005;
    if !is_for_all || fs::hard_link(program, &draft).is_err() {
        fs::copy(program, &draft)?;
        fs::set_permissions(&draft, Permissions::from_mode(0o755))?;
    }
    fs::rename(draft, to)
}
