//! The slots of one instance on this machine, for every host that keeps them in folders.
//!
//! The folder of a slot holds everything that is known about it. A slot is ready once its status file says so. The file
//! belongs to the keeper from the keeper's start on. A keeper lives as long as it holds the slot's lock, and a slot
//! whose keeper is dead without having reported an ending is lost.

use super::boot::{self, Boot};
use super::control::{self, Claim, Command, DONE, REFUSED, RunnerOrder};
use super::layout::{Layout, SlotDir, SocketPath};
use super::order::{Deadlines, Order, STARTED};
use super::process::machine_start;
use super::status::Status;
use super::{ending, output, removal, slot_id};
use crate::domain::slot::{Ending, Remains, Slot, SlotId, SlotSize, SlotState};
use crate::ports::{Clock, Failure};
use chrono::DateTime;
use rustix::io::Errno;
use secrecy::SecretString;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UnixDatagram;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Time for a keeper to answer, in addition to the time for its guest to come up.
const KEEPER_TIMEOUT: Duration = Duration::from_secs(30);

/// The slots of one instance on this machine.
pub(crate) struct SlotHost {
    layout: Layout,
    machine_start: String,
    clock: Arc<dyn Clock>,
    booting: Mutex<BTreeMap<SlotId, Boot>>,
    /// The slots whose keepers notify `changed` when they end.
    watched: Arc<Mutex<BTreeSet<SlotId>>>,
    changed: Arc<Notify>,
    events: JoinHandle<()>,
}

impl SlotHost {
    /// Opens the slots of an instance, including those of an earlier process. `host` is the name of the host's kind, and
    /// `program` is the program of jitgate.
    pub(crate) fn open(
        host: &str,
        state_dir: &Path,
        instance: &str,
        program: &Path,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let layout = Layout::prepare(state_dir, host, instance)?;
        boot::install(program, &layout.program())?;
        let changed = Arc::new(Notify::new());
        Ok(Self {
            events: listen(&layout, changed.clone())?,
            machine_start: machine_start()?,
            layout,
            clock,
            booting: Mutex::default(),
            watched: Arc::default(),
            changed,
        })
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Makes a slot, whose folder `prepare` fills on a thread of its own. It returns early once the slot is destroyed, which
    /// its second argument says. The guest starts when the slot is claimed.
    pub(crate) fn boot(&self, prepare: impl Prepare) -> Result<SlotId, Failure> {
        self.begin(None, SlotState::Ready, prepare, |_| async { Ok(()) })
    }

    /// Makes a slot of a size like [`SlotHost::boot`], whose guest starts at once with this plan.
    pub(crate) fn boot_guest<P: Serialize + Send + Sync + 'static>(
        &self,
        size: SlotSize,
        prepare: impl Prepare,
        deadlines: Deadlines,
        plan: impl FnOnce(&SlotDir) -> Result<P, String> + Send + 'static,
    ) -> Result<SlotId, Failure> {
        let layout = self.layout.clone();
        self.begin(size, SlotState::Booting, prepare, move |slot| async move {
            let started = start_keeper(&layout, &slot, deadlines, plan(&slot)?).await;
            started.map_err(|failure| failure.to_string())
        })
    }

    fn begin<S: Future<Output = Result<(), String>> + Send + 'static>(
        &self,
        size: SlotSize,
        state: SlotState,
        prepare: impl Prepare,
        start: impl FnOnce(SlotDir) -> S + Send + 'static,
    ) -> Result<SlotId, Failure> {
        let (id, slot) = self
            .make_folder(size.as_deref())
            .map_err(|error| Failure::Transient(format!("cannot make a folder for a slot: {error}")))?;
        let (since, clock, machine_start) = (self.clock.now(), self.clock.clone(), self.machine_start.clone());
        let folder = slot.clone();
        let prepare = move |cancelled: &AtomicBool| {
            prepare(&slot, cancelled)?;
            let status = Status::unkept(state, clock.now(), &machine_start);
            let mut options = OpenOptions::new();
            let lock = options.write(true).create_new(true).mode(0o600).open(slot.lock());
            let written = lock.and_then(|_| status.write(&slot));
            written.map_err(|error| format!("cannot write to {}: {error}", slot.0.display()))
        };
        // Lazily, because the keeper must not start before the folder is filled.
        let start = async move { start(folder).await };
        let boot = Boot::begin(since, self.changed.clone(), prepare, start);
        lock(&self.booting).insert(id.clone(), boot);
        Ok(id)
    }

    /// Starts the runner program in a ready slot. The guest starts with the plan now if it has not started before.
    pub(crate) async fn claim<P: Serialize>(
        &self,
        id: &SlotId,
        runner: &str,
        config: SecretString,
        deadlines: Deadlines,
        plan: impl FnOnce(&SlotDir) -> Result<P, String>,
    ) -> Result<(), Failure> {
        let slot = self.slot(id);
        let slot = slot.ok_or_else(|| Failure::Permanent(format!("there is no slot {}", id.0)))?;
        let unread = |error| Failure::Transient(format!("cannot read slot {}: {error}", id.0));
        let unready = || Failure::Permanent(format!("slot {} is not ready, or was used before", id.0));
        if self.read(id.clone()).map_err(unread)?.state != SlotState::Ready {
            return Err(unready());
        }
        control::check_name(runner)?;
        control::check_configuration(&config)?;
        if let Err(error) = output::prune(&self.layout.output()) {
            tracing::warn!(%error, "cannot remove the old output of runners");
        }
        if Status::try_read(&slot)
            .map_err(unread)?
            .is_none_or(|status| status.is_unkept())
        {
            let plan = plan(&slot).map_err(Failure::Permanent)?;
            start_keeper(&self.layout, &slot, deadlines, plan).await?;
        }
        let claim = Command::Claim(Claim {
            runner: RunnerOrder {
                name: runner.to_owned(),
                output: self.layout.output().join(format!("{runner}.log")),
            },
            configuration: config,
        });
        let answer = timeout(KEEPER_TIMEOUT, control::send(&slot, claim)).await;
        self.changed.notify_one();
        match answer {
            Ok(Ok(answer)) if answer == DONE => Ok(()),
            Ok(Ok(answer)) if answer == REFUSED => Err(unready()),
            Ok(Ok(answer)) if !answer.is_empty() => Err(Failure::Permanent(answer)),
            _ => Err(Failure::Transient(format!(
                "the keeper of slot {} did not report whether the runner started",
                id.0
            ))),
        }
    }

    pub(crate) async fn open_gate(&self, id: &SlotId) -> Result<(), Failure> {
        let no_job = || Failure::Permanent(format!("no job waits at the gate of slot {}", id.0));
        let slot = self.slot(id).ok_or_else(no_job)?;
        match timeout(KEEPER_TIMEOUT, control::send(&slot, Command::Open)).await {
            Ok(Ok(answer)) if answer == DONE => Ok(()),
            // The keeper refused, or has ended.
            Ok(_) => Err(no_job()),
            Err(_) => Err(Failure::Transient(format!(
                "the keeper of slot {} does not answer",
                id.0
            ))),
        }
    }

    /// Ends everything in the slot and removes it. `release` frees what the slot holds outside of its folder.
    pub(crate) async fn destroy(&self, id: &SlotId, release: impl FnOnce(&SlotDir)) -> Result<(), Failure> {
        let boot = lock(&self.booting).remove(id);
        if let Some(boot) = boot {
            boot.cancel().await;
        }
        if let Some(slot) = self.slot(id) {
            let keeper_lock = ending::end(&slot, &self.machine_start).await?;
            release(&slot);
            let folder = slot.0.clone();
            let removed = tokio::task::spawn_blocking(move || {
                let removed = removal::remove(&folder);
                drop(keeper_lock);
                removed
            });
            let removed = removed.await.map_err(io::Error::other).flatten();
            removed.map_err(|error| Failure::Transient(format!("cannot remove {}: {error}", slot.0.display())))?;
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Returns what is left of a slot.
    pub(crate) fn remains(&self, id: &SlotId) -> Result<Remains, Failure> {
        // An id that is not a plain name has no folder.
        let Some(slot) = self.layout.slot(id) else {
            return Ok(Remains::Nothing);
        };
        match slot.0.symlink_metadata() {
            Ok(_) => Ok(Remains::Slot(slot.0.display().to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Remains::Nothing),
            Err(error) => Err(Failure::Transient(format!(
                "cannot look for {}: {error}",
                slot.0.display()
            ))),
        }
    }

    pub(crate) fn list(&self) -> Result<Vec<Slot>, Failure> {
        let failed = |error| Failure::Transient(format!("cannot list the slots: {error}"));
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.layout.slots()).map_err(failed)? {
            ids.extend(entry.map_err(failed)?.file_name().into_string().map(SlotId));
        }
        ids.sort();
        ids.into_iter().map(|id| self.read(id).map_err(failed)).collect()
    }

    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn slot(&self, id: &SlotId) -> Option<SlotDir> {
        self.layout.slot(id).filter(|slot| slot.0.is_dir())
    }

    /// Makes a folder that contains the size alone. Its name is unique on every machine, because processes are found by it.
    fn make_folder(&self, size: Option<&str>) -> io::Result<(SlotId, SlotDir)> {
        let mut random = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let id = slot_id::new(self.clock.now(), random);
        let slot = SlotDir(self.layout.slots().join(&id.0));
        slot.make(size)?;
        Ok((id, slot))
    }

    fn read(&self, id: SlotId) -> io::Result<Slot> {
        let slot = SlotDir(self.layout.slots().join(&id.0));
        let made = slot_id::time_of(&id);
        let size = slot.size()?;
        if let Some(boot) = lock(&self.booting).get(&id)
            && let Some(state) = boot.state()
        {
            let since = boot.since;
            return Ok(Slot {
                id,
                size,
                runner: None,
                state,
                since,
                made,
                booted: None,
            });
        }
        let Some(status) = Status::try_read(&slot)? else {
            let changed = slot.0.metadata().and_then(|metadata| metadata.modified());
            return Ok(Slot {
                id,
                size,
                runner: None,
                state: SlotState::Ended(Ending::Lost),
                since: changed.map_or_else(|_| self.clock.now(), DateTime::from),
                made,
                booted: None,
            });
        };
        let status = self.verified(&slot, status);
        // A keeper without processes cannot take commands yet, and its start is waited for anyway.
        if !matches!(status.state, SlotState::Ended(_)) && !status.processes.is_empty() {
            self.watch(&id, slot);
        }
        Ok(Slot {
            id,
            size,
            runner: status.runner,
            state: status.state,
            since: status.since,
            made,
            booted: status.booted,
        })
    }

    /// Returns the status with the state `Ended(Lost)` if the process that wrote it has died.
    fn verified(&self, slot: &SlotDir, status: Status) -> Status {
        let is_of_this_boot = status.machine_start == self.machine_start;
        match status.state {
            SlotState::Ended(_) => return status,
            // Its lock is not tried, because that could keep a keeper from taking it.
            SlotState::Ready if is_of_this_boot && status.is_unkept() => return status,
            _ if is_of_this_boot && ending::has_keeper(slot) => return status,
            _ => {}
        }
        // The keeper may have ended after its status was read.
        let mut status = Status::read(slot).unwrap_or(status);
        if !matches!(status.state, SlotState::Ended(_)) {
            status.state = SlotState::Ended(Ending::Lost);
        }
        status
    }

    /// Notifies `changed` when the keeper ends, however that happens.
    fn watch(&self, id: &SlotId, slot: SlotDir) {
        if !lock(&self.watched).insert(id.clone()) {
            return;
        }
        let (id, watched, changed) = (id.clone(), self.watched.clone(), self.changed.clone());
        tokio::spawn(async move {
            // There is no answer: the connection closes when the keeper ends.
            control::send(&slot, Command::Watch).await.ok();
            ending::keeper_ends(&slot).await;
            lock(&watched).remove(&id);
            changed.notify_one();
        });
    }
}

impl Drop for SlotHost {
    fn drop(&mut self) {
        self.events.abort();
        // No one would use these slots any more.
        lock(&self.booting).values().for_each(Boot::stop);
    }
}

/// Fills the folder of a slot, and returns early once its second argument becomes true.
pub(crate) trait Prepare: FnOnce(&SlotDir, &AtomicBool) -> Result<(), String> + Send + 'static {}

impl<F: FnOnce(&SlotDir, &AtomicBool) -> Result<(), String> + Send + 'static> Prepare for F {}

/// Starts the keeper of a slot and waits until its guest is up.
async fn start_keeper<P: Serialize>(
    layout: &Layout,
    slot: &SlotDir,
    deadlines: Deadlines,
    plan: P,
) -> Result<(), Failure> {
    let order = Order {
        deadlines,
        plan,
        events: layout.events(),
    };
    let limit = deadlines.boot + KEEPER_TIMEOUT;
    match timeout(limit, order.start_keeper(&layout.program(), slot)).await {
        Ok(Ok(answer)) if answer == STARTED => Ok(()),
        Ok(Ok(answer)) if !answer.is_empty() => Err(Failure::Permanent(answer)),
        Ok(Err(error)) => {
            let what = format!("cannot start a keeper: {error}");
            Err(if is_shortage(&error) {
                Failure::Transient(what)
            } else {
                Failure::Permanent(what)
            })
        }
        _ => Err(Failure::Transient(format!(
            "the keeper of slot {} did not report whether it started",
            slot.name()
        ))),
    }
}

/// Returns true if the machine is out of descriptors, processes or memory, which is temporary.
fn is_shortage(error: &io::Error) -> bool {
    let short = [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| short.contains(&errno))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notifies `changed` of each event that a keeper sends.
fn listen(layout: &Layout, changed: Arc<Notify>) -> io::Result<JoinHandle<()>> {
    // An earlier process left its socket.
    removal::remove_file(&layout.events())?;
    let socket = UnixDatagram::bind(&SocketPath::of(&layout.events())?.path)?;
    Ok(tokio::spawn(async move {
        let mut event = [0];
        while socket.recv(&mut event).await.is_ok() {
            changed.notify_one();
        }
    }))
}
