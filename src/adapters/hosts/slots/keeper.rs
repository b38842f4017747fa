//! The keeper of one slot: a process that starts the guest, takes its claim, watches its job gate and its deadlines, and ends
//! when nothing of the guest is left. It outlives the host process that started it; the guest does not outlive the keeper.
//!
//! It has one thread, because the kernel ends the guest together with the thread that started it.

use super::control::{Claim, Command, DONE, REFUSED, Reply, Request};
use super::guest::Guest;
use super::job_gate::GateEvent;
use super::launched::Launched;
use super::layout::{SlotDir, SocketPath};
use super::order::{Order, STARTED};
use super::output;
use super::process::{ProcessId, machine_start};
use super::status::Status;
use crate::domain::slot::{Ending, SlotState};
use crate::ports::Clock;
use keyutils::Keyring;
use rustix::process::{Pid, getpid, setsid};
use secrecy::ExposeSecret;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Time to read the last output, once no process is left that writes.
const LAST_OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// Delay before a status that could not be written is written again.
const WRITE_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Looks for the host process of an unclaimed guest before the guest counts as an orphan.
const ORPHAN_LOOKS: u32 = 10;
/// Attempts to lock the slot, and the delay between two: a look at the slot by another process locks it for a moment.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(5);

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
    let order = Order::receive(io::stdin().lock()).map_err(KeeperError::NoOrder)?;
    let answer = Keeper::<G>::start(SlotDir(folder.to_owned()), order, clock).await;
    let text = answer.as_ref().map_or_else(ToString::to_string, |_| STARTED.to_owned());
    // A host that has ended finds the slot by its status.
    writeln!(io::stdout(), "{}", one_line(&text)).unwrap_or_default();
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
    /// The runner program, once the slot is claimed.
    job: Option<Job>,
    /// The request that waits until the job has received "go".
    opening: Option<Reply>,
    gate_deadline: Option<Instant>,
    /// Looks in a row that found no host process, and the time of the next one.
    orphan_looks: u32,
    next_look: Instant,
    /// Shows that this keeper lives.
    _lock: File,
}

/// A runner program that was started.
struct Job {
    output: JoinHandle<io::Result<()>>,
    deadline: Instant,
}

impl<'a, G: Guest> Keeper<'a, G> {
    async fn start(slot: SlotDir, order: Order<G::Plan>, clock: &'a dyn Clock) -> Result<Self, KeeperError> {
        let used = || KeeperError::Used(slot.name());
        let lock = lock(&slot).await.ok_or_else(used)?;
        // Read under the lock: another process may have used the slot before, or be about to remove it.
        let status = Status::read(&slot).filter(|status| {
            let is_current = machine_start().is_ok_and(|start| start == status.machine_start);
            is_current && status.is_unkept()
        });
        let mut status = status.ok_or_else(used)?;
        status.keeper = ProcessId::of(Pid::as_raw(Some(getpid())));
        let launched = Launched::launch(&slot, &order, &mut status, clock).await;
        status.since = clock.now();
        match launched {
            Ok(launched) => {
                status.state = SlotState::Ready;
                status.booted.get_or_insert(status.since);
                let is_written = status.write(&slot).is_ok();
                let next_look = Instant::now() + order.deadlines.orphan / ORPHAN_LOOKS;
                Ok(Self {
                    slot,
                    order,
                    clock,
                    status,
                    is_written,
                    launched,
                    job: None,
                    opening: None,
                    gate_deadline: None,
                    orphan_looks: 0,
                    next_look,
                    _lock: lock,
                })
            }
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
            let next = self.next_deadline();
            let launched = &mut self.launched;
            let ending = tokio::select! {
                // In this order, because a job can have received "go" and ended before the event of its gate is handled.
                biased;
                Some(event) = launched.gate.recv() => self.handle_gate(event).await,
                Some(request) = launched.requests.recv() => self.handle_request(request).await,
                () = launched.children.first_ends() => Some(self.ending_of_exit()),
                ending = launched.guest.exceeds_a_limit() => Some(ending),
                () = sleep_until(next) => self.handle_time(),
            };
            if let Some(ending) = ending {
                break ending;
            }
        };
        self.end(ending).await;
    }

    fn next_deadline(&self) -> Instant {
        let retry = (!self.is_written).then(|| Instant::now() + WRITE_RETRY_DELAY);
        let of_job = self.job.as_ref().map_or(self.next_look, |job| job.deadline);
        [self.gate_deadline, retry]
            .into_iter()
            .flatten()
            .fold(of_job, Instant::min)
    }

    async fn handle_gate(&mut self, event: GateEvent) -> Option<Ending> {
        match event {
            GateEvent::Hello(hello) if self.status.state == SlotState::Claimed => {
                self.gate_deadline = Some(Instant::now() + self.order.deadlines.gate);
                self.set_state(SlotState::AtGate(hello));
                None
            }
            GateEvent::Opened => {
                self.gate_deadline = None;
                self.set_state(SlotState::Open);
                self.answer_opening(DONE).await;
                None
            }
            // A job before the slot is claimed is none of ours.
            GateEvent::Hello(_) | GateEvent::Abuse => Some(Ending::GateAbused),
        }
    }

    async fn handle_request(&mut self, request: Request) -> Option<Ending> {
        let Request { command, reply } = request;
        match command {
            Command::Claim(claim) => return self.handle_claim(claim, reply).await,
            Command::Open => {
                let waits = matches!(self.status.state, SlotState::AtGate(_));
                match self.launched.go.take_if(|_| waits) {
                    Some(go) => {
                        self.opening = Some(reply);
                        // A hook that has left is reported as abuse, which also answers the request.
                        go.send(()).unwrap_or_default();
                    }
                    None => reply.answer(REFUSED).await,
                }
            }
            // The sender waits for the connection to close, which happens when this process ends.
            Command::End => {
                self.launched.watch(reply);
                return Some(Ending::Lost);
            }
            Command::Watch => self.launched.watch(reply),
        }
        None
    }

    async fn handle_claim(&mut self, claim: Claim, reply: Reply) -> Option<Ending> {
        if self.status.state != SlotState::Ready {
            reply.answer(REFUSED).await;
            return None;
        }
        self.status.runner = Some(claim.runner.name);
        self.status.state = SlotState::Claimed;
        self.status.since = self.clock.now();
        // Before the runner program starts, so that a host that finds this keeper dead finds its guest.
        let written = self.status.write(&self.slot);
        let output = written.and_then(|()| self.launched.guest.configure(claim.configuration.expose_secret()));
        match output {
            Ok(output) => {
                let file = claim.runner.output;
                self.job = Some(Job {
                    output: tokio::spawn(async move { output::keep(output, &file).await }),
                    deadline: Instant::now() + self.order.deadlines.job,
                });
                reply.answer(DONE).await;
                self.notify();
                None
            }
            Err(error) => {
                let why = one_line(&error.to_string());
                reply.answer(&why).await;
                Some(Ending::BootFailed(why))
            }
        }
    }

    /// Returns the ending of a slot whose guest has ended by itself.
    fn ending_of_exit(&self) -> Ending {
        if self.job.is_some() {
            Ending::Exited
        } else {
            Ending::BootFailed("it ended before it was claimed".to_owned())
        }
    }

    fn handle_time(&mut self) -> Option<Ending> {
        let now = Instant::now();
        if self.job.as_ref().is_some_and(|job| now >= job.deadline) {
            return Some(Ending::TooLong);
        }
        if self.gate_deadline.is_some_and(|deadline| now >= deadline) {
            return Some(Ending::GateUnanswered);
        }
        if self.job.is_none() && now >= self.next_look {
            self.next_look = now + self.order.deadlines.orphan / ORPHAN_LOOKS;
            self.orphan_looks = if self.has_host() { 0 } else { self.orphan_looks + 1 };
            if self.orphan_looks >= ORPHAN_LOOKS {
                return Some(Ending::Lost);
            }
        }
        if !self.is_written {
            self.write();
        }
        None
    }

    async fn end(mut self, ending: Ending) {
        self.launched.children.kill_all().await;
        if let Some(job) = &mut self.job {
            // A process elsewhere could hold the pipe open if it was passed on.
            if timeout(LAST_OUTPUT_TIMEOUT, &mut job.output).await.is_err() {
                job.output.abort();
            }
        }
        self.set_state(SlotState::Ended(ending));
        self.answer_opening(REFUSED).await;
    }

    async fn answer_opening(&mut self, answer: &str) {
        if let Some(reply) = self.opening.take() {
            reply.answer(answer).await;
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
        self.connect().and_then(|socket| socket.send(b"!")).ok();
    }

    /// Returns true if a host process listens.
    fn has_host(&self) -> bool {
        self.connect().is_ok()
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let events = SocketPath::of(&self.order.events)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&events.path)?;
        Ok(socket)
    }
}

/// Takes the lock of the slot, which shows that this keeper lives.
async fn lock(slot: &SlotDir) -> Option<File> {
    let lock = OpenOptions::new().read(true).write(true).open(slot.lock()).ok()?;
    for _ in 0..LOCK_ATTEMPTS {
        if lock.try_lock().is_ok() {
            return Some(lock);
        }
        sleep(LOCK_RETRY_DELAY).await;
    }
    None
}

fn one_line(text: &str) -> String {
    text.replace('\n', "; ")
}
