//! The start of a guest, and the channels between it, the host and the keeper.

use super::control::{self, Command, REFUSED, Reply, Request};
use super::guest::Guest;
use super::job_gate::{self, GateEvent};
use super::layout::{SlotDir, SocketPath};
use super::order::Order;
use super::process::{Children, ProcessId};
use super::status::Status;
use crate::ports::Clock;
use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Host processes that wait for the end of a keeper: the current one, and some before it.
const MAX_WATCHERS: usize = 8;

/// A running guest, and the channels that report its events.
pub(super) struct Launched<G> {
    pub(super) guest: G,
    pub(super) children: Children,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) gate: mpsc::Receiver<GateEvent>,
    pub(super) go: Option<oneshot::Sender<()>>,
    /// The requests that wait for the end of this keeper.
    watchers: VecDeque<Reply>,
}

impl<G: Guest> Launched<G> {
    /// Starts the guest and waits until it is up. The status then names its processes.
    pub(super) async fn launch(
        slot: &SlotDir,
        order: &Order<G::Plan>,
        status: &mut Status,
        clock: &dyn Clock,
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
        let guest = match G::start(&order.plan, slot) {
            Ok(guest) => guest,
            Err(error) => {
                children.kill_all().await;
                return Err(error);
            }
        };
        children.set_first(guest.first_process());
        let mut launched = Self {
            guest,
            children,
            requests,
            gate,
            go: Some(go),
            watchers: VecDeque::new(),
        };
        match launched.until_up(order.deadlines.boot, clock).await {
            Ok(processes) => {
                status.processes = processes;
                launched.children.set_first(launched.guest.first_process());
                Ok(launched)
            }
            Err(error) => {
                launched.children.kill_all().await;
                Err(error)
            }
        }
    }

    /// Waits until the guest is up, within a time limit and unless the host wants it to end.
    async fn until_up(&mut self, limit: Duration, clock: &dyn Clock) -> io::Result<Vec<ProcessId>> {
        let coming = timeout(limit, self.guest.comes_up(clock));
        tokio::pin!(coming);
        loop {
            tokio::select! {
                up = &mut coming => return up.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?,
                Some(Request { command, reply }) = self.requests.recv() => match command {
                    Command::End => {
                        self.watchers.push_back(reply);
                        return Err(io::Error::other("it was destroyed"));
                    }
                    Command::Watch => watch(&mut self.watchers, reply),
                    Command::Claim(_) | Command::Open => reply.answer(REFUSED).await,
                },
            }
        }
    }

    /// Keeps a request open until this keeper ends.
    pub(super) fn watch(&mut self, reply: Reply) {
        watch(&mut self.watchers, reply);
    }
}

fn watch(watchers: &mut VecDeque<Reply>, reply: Reply) {
    watchers.push_back(reply);
    if watchers.len() > MAX_WATCHERS {
        watchers.pop_front();
    }
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    UnixListener::bind(&SocketPath::of(socket)?.path)
}
