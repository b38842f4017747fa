//! [`RunnerHost`] by directories, keepers and bubblewrap.
//!
//! The directory of a slot is all there is to know of it. A slot is ready once its status file says so, which is written
//! last; from then on the file is its keeper's. A keeper lives as long as it holds the slot's lock, and a slot whose keeper
//! is dead without having said how it ended is lost.

use super::account::Account;
use super::boot::{self, Boot, Preparation};
use super::control::{self, DONE, Word};
use super::inspection::{self, Complaint, Settings};
use super::keeper::STARTED;
use super::layout::{Layout, SlotDir, SocketPath};
use super::limits::Limits;
use super::network::Plan;
use super::order::Order;
use super::process::machine_start;
use super::status::Status;
use super::{ending, handover, limits, output, removal, sandbox};
use crate::ports::runner_host::{Ending, RunnerHost, Slot, SlotId, SlotState};
use crate::ports::{Clock, Failure};
use async_trait::async_trait;
use chrono::DateTime;
use rustix::io::Errno;
use secrecy::{ExposeSecret, SecretString};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::UnixDatagram;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Time for a keeper to bring its environment up, or to open its gate.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longer than GitHub allows a runner's name to be.
const LONGEST_NAME: usize = 100;
/// Much longer than any JIT configuration.
const LONGEST_CONFIGURATION: usize = 60 * 1024;

/// Runners on this machine.
pub struct LocalHost {
    settings: Settings,
    /// Who jobs run as, once this machine was found fit to run any.
    account: OnceLock<Account>,
    layout: Layout,
    machine_start: String,
    clock: Arc<dyn Clock>,
    booting: Mutex<BTreeMap<SlotId, Boot>>,
    /// Keepers whose end wakes us.
    watched: Arc<Mutex<BTreeSet<SlotId>>>,
    changed: Arc<Notify>,
    events: JoinHandle<()>,
}

impl LocalHost {
    /// The host with whatever slots an earlier one left. Where something is missing on this machine it says so, here and at
    /// every boot, until that is mended: deliveries can be taken meanwhile.
    ///
    /// # Errors
    /// When the state directory cannot be used, with what to do about it.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Complaint> {
        let unusable = |error: io::Error| Complaint {
            what: format!("{} cannot be used for runners: {error}", settings.state_dir.display()),
            remedy: "make server.state_dir a place that this user can write to and run programs from".to_owned(),
        };
        let layout = Layout::prepare(&settings.state_dir, &settings.instance).map_err(unusable)?;
        boot::install(&settings.program, &layout.program()).map_err(unusable)?;
        let changed = Arc::new(Notify::new());
        let host = Self {
            events: listen(&layout, changed.clone()).map_err(unusable)?,
            machine_start: machine_start().map_err(unusable)?,
            account: OnceLock::new(),
            layout,
            clock,
            booting: Mutex::default(),
            watched: Arc::default(),
            changed,
            settings,
        };
        let inspection = inspection::inspect(&host.settings);
        for warning in inspection.warnings {
            tracing::warn!(remedy = warning.remedy, "{}", warning.what);
        }
        for problem in inspection.problems {
            tracing::error!(remedy = problem.remedy, "no runner can be made: {}", problem.what);
        }
        Ok(host)
    }

    /// Who jobs run as; an answer only where jobs can run.
    fn account(&self) -> Result<&Account, Failure> {
        if let Some(account) = self.account.get() {
            return Ok(account);
        }
        if let Some(problem) = inspection::inspect(&self.settings).problems.first() {
            return Err(Failure::Permanent(problem.to_string()));
        }
        let account = match &self.settings.local.user {
            None => Account::own(),
            Some(name) => {
                let gone = || Failure::Permanent(format!("local.user: there is no account {name} any more"));
                Account::named(name).ok_or_else(gone)?
            }
        };
        Ok(self.account.get_or_init(|| account))
    }

    fn slot(&self, id: &SlotId) -> Option<SlotDir> {
        self.layout.slot(id).filter(|slot| slot.0.is_dir())
    }

    /// A new folder, and nothing in it yet. Its name is of no other slot, on this machine or elsewhere: processes are known
    /// by it.
    fn make_folder(&self) -> io::Result<(SlotId, SlotDir)> {
        let mut random = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let now = self.clock.now().timestamp_millis();
        let id = SlotId(format!("slot-{now:x}-{}", hex::encode(random)));
        let slot = SlotDir(self.layout.slots().join(&id.0));
        DirBuilder::new().mode(0o700).create(&slot.0)?;
        Ok((id, slot))
    }

    fn look_at(&self, id: SlotId) -> io::Result<Slot> {
        let slot = SlotDir(self.layout.slots().join(&id.0));
        if let Some(boot) = lock(&self.booting).get(&id)
            && let Some(state) = boot.state()
        {
            let since = boot.since;
            return Ok(Slot {
                id,
                runner: None,
                state,
                since,
            });
        }
        let Some(status) = Status::look(&slot)? else {
            let made = slot.0.metadata().and_then(|metadata| metadata.modified());
            return Ok(Slot {
                id,
                runner: None,
                state: SlotState::Ended(Ending::Lost),
                since: made.map_or_else(|_| self.clock.now(), DateTime::from),
            });
        };
        let status = self.as_it_is(&slot, status);
        // Before it has started anything it cannot be spoken to, and the claim waits for it anyway.
        if !matches!(status.state, SlotState::Ready | SlotState::Ended(_)) && !status.environment.is_empty() {
            self.watch(&id, slot);
        }
        Ok(Slot {
            id,
            runner: status.runner,
            state: status.state,
            since: status.since,
        })
    }

    /// What a status file says, unless the one who wrote it is gone.
    fn as_it_is(&self, slot: &SlotDir, status: Status) -> Status {
        let is_of_now = status.machine_start == self.machine_start;
        match status.state {
            SlotState::Ended(_) => return status,
            // Its lock is not looked at: that could keep a keeper from taking it.
            SlotState::Ready if is_of_now => return status,
            _ if is_of_now && ending::has_keeper(slot) => return status,
            _ => {}
        }
        // It may have ended right after it was read.
        let mut status = Status::read(slot).unwrap_or(status);
        if !matches!(status.state, SlotState::Ended(_)) {
            status.state = SlotState::Ended(Ending::Lost);
        }
        status
    }

    /// Wakes whoever waits when the keeper ends, however that happens.
    fn watch(&self, id: &SlotId, slot: SlotDir) {
        if !lock(&self.watched).insert(id.clone()) {
            return;
        }
        let (id, watched, changed) = (id.clone(), self.watched.clone(), self.changed.clone());
        tokio::spawn(async move {
            // It never answers: the connection closes with it.
            control::tell(&slot, Word::Watch).await.ok();
            ending::keeper_is_gone(&slot).await;
            lock(&watched).remove(&id);
            changed.notify_one();
        });
    }
}

impl Drop for LocalHost {
    fn drop(&mut self) {
        self.events.abort();
        // Nobody would wait for them any more.
        lock(&self.booting).values().for_each(Boot::stop);
    }
}

#[async_trait]
impl RunnerHost for LocalHost {
    async fn boot(&self) -> Result<SlotId, Failure> {
        let account = self.account()?.clone();
        if let Some(missing) = inspection::missing_runner(&self.settings.local.runner_home) {
            return Err(Failure::Permanent(missing.to_string()));
        }
        let made = self.make_folder();
        let (id, slot) =
            made.map_err(|error| Failure::Transient(format!("cannot make a folder for a runner: {error}")))?;
        let preparation = Preparation {
            slot,
            settings: self.settings.clone(),
            layout: self.layout.clone(),
            account,
            status: Status::new(SlotState::Ready, self.clock.now(), &self.machine_start),
        };
        let boot = Boot::begin(preparation, self.changed.clone());
        lock(&self.booting).insert(id.clone(), boot);
        Ok(id)
    }

    async fn claim(&self, id: &SlotId, runner: &str, config: SecretString) -> Result<(), Failure> {
        let slot = self.slot(id);
        let slot = slot.ok_or_else(|| Failure::Permanent(format!("there is no slot {}", id.0)))?;
        let unread = |error| Failure::Transient(format!("slot {} cannot be looked at: {error}", id.0));
        if self.look_at(id.clone()).map_err(unread)?.state != SlotState::Ready {
            return Err(Failure::Permanent(format!(
                "slot {} is not ready, or was used before",
                id.0
            )));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if runner.is_empty() || runner.len() > LONGEST_NAME || !runner.chars().all(is_plain) || runner.starts_with('.')
        {
            return Err(Failure::Permanent(format!("{runner:?} is no name for a runner")));
        }
        let configuration = config.expose_secret();
        if configuration.len() > LONGEST_CONFIGURATION || configuration.contains(char::is_control) {
            return Err(Failure::Permanent(
                "the JIT configuration is not one line of text".to_owned(),
            ));
        }
        let command =
            sandbox::command(&self.settings, &self.layout, &slot, self.account()?).map_err(Failure::Permanent)?;
        let order = Order {
            runner: runner.to_owned(),
            gate_deadline: self.settings.gate_deadline,
            job_deadline: self.settings.job_deadline,
            command,
            network: Plan::of(&self.settings),
            limits: Limits::of(&self.settings),
            output: self.layout.output().join(format!("{runner}.log")),
            events: self.layout.events(),
        };
        if let Err(error) = output::prune(&self.layout.output()) {
            tracing::warn!(%error, "old output of runners cannot be removed");
        }
        let answer = timeout(
            PATIENCE,
            handover::start_keeper(&self.layout.program(), &slot, order, config),
        )
        .await;
        self.changed.notify_one();
        match answer {
            Ok(Ok(answer)) if answer == STARTED => Ok(()),
            Ok(Ok(answer)) if !answer.is_empty() => Err(Failure::Permanent(answer)),
            Ok(Err(error)) => {
                let what = format!("no keeper can be started: {error}");
                Err(if is_shortage(&error) {
                    Failure::Transient(what)
                } else {
                    Failure::Permanent(what)
                })
            }
            _ => Err(Failure::Transient(format!(
                "the keeper of {} did not say whether it started",
                id.0
            ))),
        }
    }

    async fn open_gate(&self, id: &SlotId) -> Result<(), Failure> {
        let nobody = || Failure::Permanent(format!("nobody is at the gate of slot {}", id.0));
        let slot = self.slot(id).ok_or_else(nobody)?;
        match timeout(PATIENCE, control::tell(&slot, Word::Open)).await {
            Ok(Ok(answer)) if answer == DONE => Ok(()),
            // A refusal, or a keeper that is no more.
            Ok(_) => Err(nobody()),
            Err(_) => Err(Failure::Transient(format!("the keeper of {} does not answer", id.0))),
        }
    }

    async fn destroy(&self, id: &SlotId) -> Result<(), Failure> {
        let boot = lock(&self.booting).remove(id);
        if let Some(boot) = boot {
            boot.cancel().await;
        }
        if let Some(slot) = self.slot(id) {
            let keeper_lock = ending::end(&slot, &self.machine_start).await?;
            limits::clear(&slot);
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

    async fn list(&self) -> Result<Vec<Slot>, Failure> {
        let failed = |error| Failure::Transient(format!("cannot list the slots: {error}"));
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.layout.slots()).map_err(failed)? {
            ids.extend(entry.map_err(failed)?.file_name().into_string().map(SlotId));
        }
        ids.sort();
        ids.into_iter().map(|id| self.look_at(id).map_err(failed)).collect()
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// Whether the machine is out of descriptors, processes or memory, which passes.
fn is_shortage(error: &io::Error) -> bool {
    let short = [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| short.contains(&errno))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes whoever waits when a keeper says that something changed.
fn listen(layout: &Layout, changed: Arc<Notify>) -> io::Result<JoinHandle<()>> {
    // Of the gate before this one.
    match fs::remove_file(layout.events()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixDatagram::bind(&SocketPath::of(&layout.events())?.path)?;
    Ok(tokio::spawn(async move {
        let mut event = [0];
        while socket.recv(&mut event).await.is_ok() {
            changed.notify_one();
        }
    }))
}
