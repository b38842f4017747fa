//! The keeper of one claimed slot: a process that starts the environment, watches its job gate and its deadlines, and
//! ends when nothing of it is left. It outlives the gate that made it; its environment does not outlive it.
//!
//! One thread: the environment is told by the kernel when the thread that started it is gone.

use super::children::Children;
use super::control::{self, DONE, REFUSED, Said, Word};
use super::job_gate::{self, Heard};
use super::layout::{SlotDir, SocketPath};
use super::limits::Group;
use super::network::Network;
use super::order::Order;
use super::process::{ProcessId, machine_start};
use super::status::Status;
use super::{disk, launch, output};
use crate::ports::Clock;
use crate::ports::runner_host::{Ending, SlotState};
use keyutils::Keyring;
use rustix::process::{Pid, getpid, setsid};
use secrecy::{ExposeSecret, SecretString};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// Time for an environment to come up.
const COMES_UP_WITHIN: Duration = Duration::from_secs(20);
/// Time for the last output to be read, once nobody is left to write any.
const LAST_OUTPUT_WITHIN: Duration = Duration::from_secs(1);
/// How long until a status that could not be written is written again.
const WRITTEN_AGAIN: Duration = Duration::from_secs(1);
/// Gates that wait for a keeper's end: the one there is, and some before it.
const MOST_WATCHING: usize = 8;
/// How a keeper answers the gate that made it.
pub(super) const STARTED: &str = "started";

/// A keeper could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// No order came, or half of one.
    #[error("no order was given")]
    NoOrder(#[source] io::Error),
    /// The slot is not ready, or somebody else's.
    #[error("slot {0} was used before")]
    Used(String),
    /// The environment did not come up.
    #[error("the runner did not start: {0}")]
    Environment(io::Error),
}

/// Keeps the slot in `folder`, as stdin says, until its environment has ended. Whoever calls this is the process's only
/// thread, and has no children.
///
/// # Errors
/// When the environment cannot be started; the reason is also printed for the gate.
pub async fn keep(folder: &Path, clock: &dyn Clock) -> Result<(), KeeperError> {
    // Away from the terminal and the signals of whoever started the gate. It fails only where this was done before.
    setsid().ok();
    // Keys of whoever started the gate are none of the job's, nor is there a ring that a later job could look into. Where the
    // kernel keeps no keys, or none are allowed here, there are none to be had.
    Keyring::join_anonymous_session().ok();
    let (order, configuration) = Order::receive(io::stdin().lock()).map_err(KeeperError::NoOrder)?;
    let configuration = SecretString::from(configuration);
    let answer = Keeper::start(SlotDir(folder.to_owned()), order, &configuration, clock).await;
    let text = answer.as_ref().map_or_else(ToString::to_string, |_| STARTED.to_owned());
    let text = text.replace('\n', "; ");
    // A gate that is gone finds the slot by its status.
    writeln!(io::stdout(), "{text}").unwrap_or_default();
    answer?.run().await;
    Ok(())
}

struct Keeper<'a> {
    slot: SlotDir,
    order: Order,
    clock: &'a dyn Clock,
    status: Status,
    is_written: bool,
    children: Children,
    output: JoinHandle<io::Result<()>>,
    said: mpsc::Receiver<Said>,
    heard: mpsc::Receiver<Heard>,
    go: Option<oneshot::Sender<()>>,
    /// Waits to hear that the job was told to go.
    opening: Option<Said>,
    /// Wait for this keeper to end.
    watching: VecDeque<Said>,
    gate_deadline: Option<Instant>,
    job_deadline: Instant,
    /// Hears when the job has filled more disk than it may.
    full: mpsc::Receiver<()>,
    /// They end with this process.
    _network: Option<Network>,
    _group: Group,
    /// Says that this keeper lives.
    _lock: File,
}

impl<'a> Keeper<'a> {
    async fn start(
        slot: SlotDir,
        order: Order,
        configuration: &SecretString,
        clock: &'a dyn Clock,
    ) -> Result<Self, KeeperError> {
        let used = || KeeperError::Used(slot.name());
        let lock = OpenOptions::new().read(true).write(true).open(slot.lock());
        let lock = lock.map_err(|_| used())?;
        lock.try_lock().map_err(|_| used())?;
        // Read under the lock: it says whether somebody was here before, or is about to remove all this.
        let status = Status::read(&slot).filter(|status| {
            let here = machine_start().is_ok_and(|start| start == status.machine_start);
            here && status.state == SlotState::Ready
        });
        let mut status = status.ok_or_else(used)?;
        status.runner = Some(order.runner.clone());
        status.keeper = ProcessId::of(Pid::as_raw(Some(getpid())));
        status.state = SlotState::Claimed;
        status.since = clock.now();
        let job_deadline = Instant::now() + order.job_deadline;
        match Self::launch(&slot, &order, &mut status, configuration).await {
            Ok((children, output, said, heard, go, full, network, group)) => Ok(Self {
                slot,
                output,
                clock,
                status,
                is_written: true,
                children,
                said,
                heard,
                go: Some(go),
                opening: None,
                watching: VecDeque::new(),
                gate_deadline: None,
                job_deadline,
                order,
                full,
                _network: network,
                _group: group,
                _lock: lock,
            }),
            Err(error) => {
                status.state = SlotState::Ended(Ending::BootFailed(error.to_string()));
                // Where this cannot be written, the slot counts as lost, which ends it too.
                status.write(&slot).unwrap_or_default();
                Err(KeeperError::Environment(error))
            }
        }
    }

    async fn launch(
        slot: &SlotDir,
        order: &Order,
        status: &mut Status,
        configuration: &SecretString,
    ) -> io::Result<Parts> {
        status.write(slot)?;
        let (say, said) = mpsc::channel(1);
        tokio::spawn(control::hear(listen(&slot.control())?, say));
        let gate = listen(&slot.gate_socket())?;
        // For the user the job runs as. The folders above are closed to everybody else.
        fs::set_permissions(slot.gate_socket(), Permissions::from_mode(0o666))?;
        let (tell, heard) = mpsc::channel(1);
        let (go, told) = oneshot::channel();
        tokio::spawn(job_gate::watch(gate, tell, told));
        let (fill, full) = mpsc::channel(1);
        let mut children = Children::adopt()?;
        let begun = || {
            let plan = order.network.as_ref();
            let network = plan.map(|plan| Network::up(plan, &slot.name())).transpose();
            let network = network.map_err(io::Error::other)?;
            let group = Group::make(order.limits, slot).map_err(io::Error::other)?;
            Ok((launch::start(&order.command, network.as_ref())?, network, group))
        };
        let (started, mut network, group) = match begun() {
            Ok(begun) => begun,
            Err(error) => {
                children.kill_all().await;
                return Err(error);
            }
        };
        children.first(started.child.id());
        let launched = timeout(COMES_UP_WITHIN, started.comes_up()).await;
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let launched = launched.unwrap_or_else(|_| Err(late()));
        let ready = launched.and_then(|mut launched| {
            status.environment.clone_from(&launched.processes);
            // Before the runner program starts: whoever finds this keeper dead finds its environment.
            status.write(slot)?;
            if let Some(network) = &mut network {
                network.is_entered();
            }
            // All there is of it so far waits for its configuration.
            group.take(&launched.processes)?;
            if let (Some(most), Some(first)) = (order.limits.disk_mib, launched.processes.last()) {
                let folder = slot.environment();
                let before = disk::used(&folder);
                tokio::spawn(disk::watch(folder, first.id(), before, most, fill.clone()));
            }
            launched.configure(configuration.expose_secret())?;
            Ok(launched)
        });
        match ready {
            Ok(launched) => {
                let file = order.output.clone();
                let output = tokio::spawn(async move { output::keep(launched.output, &file).await });
                Ok((children, output, said, heard, go, full, network, group))
            }
            Err(error) => {
                children.kill_all().await;
                Err(error)
            }
        }
    }

    async fn run(mut self) {
        self.notify();
        let ending = loop {
            let again = (!self.is_written).then(|| Instant::now() + WRITTEN_AGAIN);
            let next = [Some(self.job_deadline), self.gate_deadline, again];
            let next = next.into_iter().flatten().min().unwrap_or(self.job_deadline);
            let ending = tokio::select! {
                // In this order: a job can have gone and ended before it is heard that it went.
                biased;
                Some(heard) = self.heard.recv() => self.at_gate(heard).await,
                Some(said) = self.said.recv() => self.told(said).await,
                () = self.children.first_ends() => Some(Ending::Exited),
                Some(()) = self.full.recv() => Some(Ending::DiskFull),
                () = sleep_until(next) => self.time_passed(),
            };
            if let Some(ending) = ending {
                break ending;
            }
        };
        self.end(ending).await;
    }

    async fn at_gate(&mut self, heard: Heard) -> Option<Ending> {
        match heard {
            Heard::Hello(hello) => {
                self.gate_deadline = Some(Instant::now() + self.order.gate_deadline);
                self.becomes(SlotState::AtGate(hello));
                None
            }
            Heard::Opened => {
                self.gate_deadline = None;
                self.becomes(SlotState::Open);
                self.answer(DONE).await;
                None
            }
            Heard::Abuse => Some(Ending::GateAbused),
        }
    }

    async fn told(&mut self, said: Said) -> Option<Ending> {
        match said.word {
            Word::Open => {
                let waits = matches!(self.status.state, SlotState::AtGate(_));
                match self.go.take_if(|_| waits) {
                    Some(go) => {
                        self.opening = Some(said);
                        // A hook that is gone by now is reported as abuse, and answered then.
                        go.send(()).unwrap_or_default();
                    }
                    None => said.answer(REFUSED).await,
                }
                None
            }
            // Whoever said these waits for the connection to close, with this process.
            Word::End => {
                self.watching.push_back(said);
                Some(Ending::Lost)
            }
            Word::Watch => {
                self.watching.push_back(said);
                if self.watching.len() > MOST_WATCHING {
                    self.watching.pop_front();
                }
                None
            }
        }
    }

    fn time_passed(&mut self) -> Option<Ending> {
        let now = Instant::now();
        if now >= self.job_deadline {
            return Some(Ending::TooLong);
        }
        if self.gate_deadline.is_some_and(|deadline| now >= deadline) {
            return Some(Ending::GateUnanswered);
        }
        self.write();
        None
    }

    async fn end(mut self, ending: Ending) {
        self.children.kill_all().await;
        // Whoever was handed the pipe could hold it open.
        let rest = timeout(LAST_OUTPUT_WITHIN, &mut self.output).await;
        if rest.is_err() {
            self.output.abort();
        }
        self.becomes(SlotState::Ended(ending));
        self.answer(REFUSED).await;
    }

    async fn answer(&mut self, answer: &str) {
        if let Some(said) = self.opening.take() {
            said.answer(answer).await;
        }
    }

    fn becomes(&mut self, state: SlotState) {
        self.status.state = state;
        self.status.since = self.clock.now();
        self.write();
    }

    fn write(&mut self) {
        self.is_written = self.status.write(&self.slot).is_ok();
        self.notify();
    }

    /// Wakes the gate, if there is one: all else it learns from the status file.
    fn notify(&self) {
        let told = SocketPath::of(&self.order.events).and_then(|events| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket.send_to(b"!", &events.path)
        });
        told.ok();
    }
}

type Parts = (
    Children,
    JoinHandle<io::Result<()>>,
    mpsc::Receiver<Said>,
    mpsc::Receiver<Heard>,
    oneshot::Sender<()>,
    mpsc::Receiver<()>,
    Option<Network>,
    Group,
);

fn listen(socket: &Path) -> io::Result<UnixListener> {
    UnixListener::bind(&SocketPath::of(socket)?.path)
}
