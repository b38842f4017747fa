//! The keeper of one claimed slot: a process that starts the guest, watches its job gate and its deadlines, and ends when
//! nothing of the guest is left. It outlives the host process that started it; the guest does not outlive the keeper.
//!
//! It has one thread, because the kernel ends the guest together with the thread that started it.

use super::control::{self, Command, DONE, REFUSED, Request};
use super::guest::Guest;
use super::job_gate::{self, GateEvent};
use super::layout::{SlotDir, SocketPath};
use super::order::{Order, STARTED};
use super::output;
use super::process::{Children, ProcessId, machine_start};
use super::status::Status;
use crate::domain::slot::{Ending, SlotState};
use crate::ports::Clock;
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

/// Time for a guest to come up.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Time to read the last output, once no process is left that writes.
const LAST_OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// Delay before a status that could not be written is written again.
const WRITE_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Host processes that wait for the end of a keeper: the current one, and some before it.
const MAX_WATCHERS: usize = 8;

/// A keeper cannot do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeeperError {
    #[error("no order was received")]
    NoOrder(#[source] io::Error),
    #[error("slot {0} is not ready, or was used before")]
    Used(String),
    #[error("the runner did not start: {0}")]
    Guest(io::Error),
}

/// Keeps the slot in `folder`, as the order on stdin says, until its guest has ended. The caller is the only thread of the
/// process and has no children.
///
/// # Errors
/// When the guest cannot be started; the host receives the reason on stdout.
pub(crate) async fn keep<G: Guest>(folder: &Path, clock: &dyn Clock) -> Result<(), KeeperError> {
    // Leaves the terminal of the host process and its signals. It fails only where this was done before.
    setsid().ok();
    // The job gets neither the keys of the host's user, nor a keyring that a later job could read. Where the kernel has no
    // keyrings, or allows none, there is nothing to leave.
    Keyring::join_anonymous_session().ok();
    let (order, configuration) = Order::receive(io::stdin().lock()).map_err(KeeperError::NoOrder)?;
    let answer = Keeper::<G>::start(SlotDir(folder.to_owned()), order, &configuration, clock).await;
    let text = answer.as_ref().map_or_else(ToString::to_string, |_| STARTED.to_owned());
    let text = text.replace('\n', "; ");
    // A host that has ended finds the slot by its status.
    writeln!(io::stdout(), "{text}").unwrap_or_default();
    answer?.run().await;
    Ok(())
}

struct Keeper<'a, G: Guest> {
    slot: SlotDir,
    order: Order<G::Plan>,
    clock: &'a dyn Clock,
    status: Status,
    is_written: bool,
    launched: Launched<G>,
    /// The request that waits until the job has received "go".
    opening: Option<Request>,
    /// The requests that wait for the end of this keeper.
    watchers: VecDeque<Request>,
    gate_deadline: Option<Instant>,
    job_deadline: Instant,
    /// Shows that this keeper lives.
    _lock: File,
}

/// A running guest, and the channels that report its events.
struct Launched<G> {
    guest: G,
    children: Children,
    output: JoinHandle<io::Result<()>>,
    requests: mpsc::Receiver<Request>,
    gate: mpsc::Receiver<GateEvent>,
    go: Option<oneshot::Sender<()>>,
}

impl<G: Guest> Launched<G> {
    async fn launch(
        slot: &SlotDir,
        order: &Order<G::Plan>,
        status: &mut Status,
        configuration: &SecretString,
    ) -> io::Result<Self> {
        status.write(slot)?;
        let (requested, requests) = mpsc::channel(1);
        tokio::spawn(control::receive(listen(&slot.control())?, requested));
        let listener = listen(&slot.gate_socket())?;
        // For the account of the job. The folders above are closed to all others.
        fs::set_permissions(slot.gate_socket(), Permissions::from_mode(0o666))?;
        let (report, gate) = mpsc::channel(1);
        let (go, may_go) = oneshot::channel();
        tokio::spawn(job_gate::watch(listener, report, may_go));
        let mut children = Children::adopt()?;
        let mut guest = match G::start(&order.plan, slot) {
            Ok(guest) => guest,
            Err(error) => {
                children.kill_all().await;
                return Err(error);
            }
        };
        children.set_first(guest.first_process());
        match configure(&mut guest, slot, order, status, configuration).await {
            Ok(output) => Ok(Self {
                guest,
                children,
                output,
                requests,
                gate,
                go: Some(go),
            }),
            Err(error) => {
                children.kill_all().await;
                Err(error)
            }
        }
    }
}

/// Waits until the guest is up, and starts the runner program in it. Returns the task that keeps its output.
async fn configure<G: Guest>(
    guest: &mut G,
    slot: &SlotDir,
    order: &Order<G::Plan>,
    status: &mut Status,
    configuration: &SecretString,
) -> io::Result<JoinHandle<io::Result<()>>> {
    let processes = timeout(START_TIMEOUT, guest.comes_up()).await;
    status.processes = processes.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    // Before the runner program starts, so that a host that finds this keeper dead finds its guest.
    status.write(slot)?;
    let output = guest.configure(configuration.expose_secret())?;
    let file = order.output.clone();
    Ok(tokio::spawn(async move { output::keep(output, &file).await }))
}

impl<'a, G: Guest> Keeper<'a, G> {
    async fn start(
        slot: SlotDir,
        order: Order<G::Plan>,
        configuration: &SecretString,
        clock: &'a dyn Clock,
    ) -> Result<Self, KeeperError> {
        let used = || KeeperError::Used(slot.name());
        let lock = OpenOptions::new().read(true).write(true).open(slot.lock());
        let lock = lock.map_err(|_| used())?;
        lock.try_lock().map_err(|_| used())?;
        // Read under the lock: another process may have used the slot before, or be about to remove it.
        let status = Status::read(&slot).filter(|status| {
            let is_current = machine_start().is_ok_and(|start| start == status.machine_start);
            is_current && status.state == SlotState::Ready
        });
        let mut status = status.ok_or_else(used)?;
        status.runner = Some(order.runner.clone());
        status.keeper = ProcessId::of(Pid::as_raw(Some(getpid())));
        status.state = SlotState::Claimed;
        status.since = clock.now();
        let job_deadline = Instant::now() + order.job_deadline;
        match Launched::launch(&slot, &order, &mut status, configuration).await {
            Ok(launched) => Ok(Self {
                slot,
                order,
                clock,
                status,
                is_written: true,
                launched,
                opening: None,
                watchers: VecDeque::new(),
                gate_deadline: None,
                job_deadline,
                _lock: lock,
            }),
            Err(error) => {
                status.state = SlotState::Ended(Ending::BootFailed(error.to_string()));
                // If this cannot be written, the slot counts as lost, which ends it too.
                status.write(&slot).unwrap_or_default();
                Err(KeeperError::Guest(error))
            }
        }
    }

    async fn run(mut self) {
        self.notify();
        let ending = loop {
            let retry = (!self.is_written).then(|| Instant::now() + WRITE_RETRY_DELAY);
            let next = [Some(self.job_deadline), self.gate_deadline, retry];
            let next = next.into_iter().flatten().min().unwrap_or(self.job_deadline);
            let launched = &mut self.launched;
            let ending = tokio::select! {
                // In this order, because a job can have received "go" and ended before the event of its gate is handled.
                biased;
                Some(event) = launched.gate.recv() => self.handle_gate(event).await,
                Some(request) = launched.requests.recv() => self.handle_request(request).await,
                () = launched.children.first_ends() => Some(Ending::Exited),
                ending = launched.guest.exceeds_a_limit() => Some(ending),
                () = sleep_until(next) => self.handle_time(),
            };
            if let Some(ending) = ending {
                break ending;
            }
        };
        self.end(ending).await;
    }

    async fn handle_gate(&mut self, event: GateEvent) -> Option<Ending> {
        match event {
            GateEvent::Hello(hello) => {
                self.gate_deadline = Some(Instant::now() + self.order.gate_deadline);
                self.set_state(SlotState::AtGate(hello));
                None
            }
            GateEvent::Opened => {
                self.gate_deadline = None;
                self.set_state(SlotState::Open);
                self.answer_opening(DONE).await;
                None
            }
            GateEvent::Abuse => Some(Ending::GateAbused),
        }
    }

    async fn handle_request(&mut self, request: Request) -> Option<Ending> {
        match request.command {
            Command::Open => {
                let waits = matches!(self.status.state, SlotState::AtGate(_));
                match self.launched.go.take_if(|_| waits) {
                    Some(go) => {
                        self.opening = Some(request);
                        // A hook that has left is reported as abuse, which also answers the request.
                        go.send(()).unwrap_or_default();
                    }
                    None => request.answer(REFUSED).await,
                }
                None
            }
            // The sender waits for the connection to close, which happens when this process ends.
            Command::End => {
                self.watchers.push_back(request);
                Some(Ending::Lost)
            }
            Command::Watch => {
                self.watchers.push_back(request);
                if self.watchers.len() > MAX_WATCHERS {
                    self.watchers.pop_front();
                }
                None
            }
        }
    }

    fn handle_time(&mut self) -> Option<Ending> {
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
        self.launched.children.kill_all().await;
        // A process elsewhere could hold the pipe open if it was passed on.
        let output = &mut self.launched.output;
        if timeout(LAST_OUTPUT_TIMEOUT, &mut *output).await.is_err() {
            output.abort();
        }
        self.set_state(SlotState::Ended(ending));
        self.answer_opening(REFUSED).await;
    }

    async fn answer_opening(&mut self, answer: &str) {
        if let Some(request) = self.opening.take() {
            request.answer(answer).await;
        }
    }

    fn set_state(&mut self, state: SlotState) {
        self.status.state = state;
        self.status.since = self.clock.now();
        self.write();
    }

    fn write(&mut self) {
        self.is_written = self.status.write(&self.slot).is_ok();
        self.notify();
    }

    /// Wakes the host process, if there is one. It reads everything else from the status file.
    fn notify(&self) {
        let notified = SocketPath::of(&self.order.events).and_then(|events| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket.send_to(b"!", &events.path)
        });
        notified.ok();
    }
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    UnixListener::bind(&SocketPath::of(socket)?.path)
}
