//! The virtual machine of a slot, on the side of its keeper: it resumes or boots, takes its JIT configuration over the channel,
//! and is ended when its agent breaks the protocol.

use super::command::Places;
use super::plan::{Plan, PlannedNetwork, Saved};
use super::running::{Backing, Launch, Running};
use super::{disk, template};
use crate::adapters::hosts::slots::{
    self, Group, Guest, KeeperError, Network, ProcessId, RESOLVER, SlotDir, remove_file, resolver_file,
};
use crate::domain::slot::Ending;
use crate::ports::Clock;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

/// Keeps the slot in `folder`; see [`slots::keep`].
///
/// # Errors
/// When the guest cannot be started.
pub(crate) async fn keep(folder: &Path, clock: &dyn Clock) -> Result<(), KeeperError> {
    slots::keep::<QemuGuest>(folder, clock).await
}

/// Returns the path of a slot's scratch disk.
pub(super) fn scratch(slot: &SlotDir) -> PathBuf {
    slot.0.join("scratch.img")
}

/// Returns the path of the file that says why a slot did not resume.
pub(super) fn resume_failure(slot: &SlotDir) -> PathBuf {
    slot.0.join("resume-failed")
}

/// The virtual machine of one slot.
pub(super) struct QemuGuest {
    plan: Plan,
    slot: SlotDir,
    network: Option<Network>,
    group: Group,
    running: Running,
    /// The state to resume from, until that was tried.
    state: Option<fs::File>,
}

impl Guest for QemuGuest {
    type Plan = Plan;

    fn start(plan: &Plan, slot: &SlotDir) -> io::Result<Self> {
        let network = match &plan.network {
            PlannedNetwork::Isolated(rules) => {
                fs::write(resolver_file(slot), format!("nameserver {RESOLVER}\n"))?;
                Some(Network::up(rules, &slot.name()).map_err(io::Error::other)?)
            }
            PlannedNetwork::None | PlannedNetwork::Open => None,
        };
        let group = Group::make(plan.limits, slot).map_err(io::Error::other)?;
        let resumed = plan.saved.as_ref().map(|saved| {
            let (memory, state) = (template::open(&saved.memory)?, template::open(&saved.state)?);
            let running = launch(plan, slot, network.as_ref(), Some((saved, &memory)))?;
            Ok::<_, io::Error>((running, state))
        });
        let (running, state) = match resumed {
            Some(Ok((running, state))) => (running, Some(state)),
            Some(Err(error)) => {
                note_failure(slot, &error);
                (launch(plan, slot, network.as_ref(), None)?, None)
            }
            None => (launch(plan, slot, network.as_ref(), None)?, None),
        };
        group.take(&running.processes())?;
        Ok(Self {
            plan: plan.clone(),
            slot: slot.clone(),
            network,
            group,
            running,
            state,
        })
    }

    fn first_process(&self) -> u32 {
        self.running.id()
    }

    async fn comes_up(&mut self, clock: &dyn Clock) -> io::Result<Vec<ProcessId>> {
        let mut is_up = false;
        if let Some(state) = self.state.take() {
            let resumed = timeout(self.plan.resume_timeout, self.running.resume(&state, || clock.now()));
            match resumed.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(()) => is_up = true,
                Err(error) => {
                    note_failure(&self.slot, &error);
                    self.running.kill();
                    self.running = launch(&self.plan, &self.slot, self.network.as_ref(), None)?;
                    self.group.take(&self.running.processes())?;
                }
            }
        }
        if !is_up {
            self.running.boot(|| clock.now()).await?;
        }
        if let Some(network) = &mut self.network {
            network.set_entered();
        }
        Ok(self.running.processes())
    }

    fn configure(&mut self, configuration: &str) -> io::Result<Receiver> {
        let diagnosis = self.slot.0.join("diag");
        self.running
            .channel
            .run(configuration, &self.slot.gate_socket(), &diagnosis)
    }

    async fn exceeds_a_limit(&mut self) -> Ending {
        self.running.channel.broken().await
    }
}

/// Makes the scratch disk and starts the machine.
fn launch(
    plan: &Plan,
    slot: &SlotDir,
    network: Option<&Network>,
    saved: Option<(&Saved, &fs::File)>,
) -> io::Result<Running> {
    let disk = scratch(slot);
    remove_file(&disk)?;
    let source = saved.map_or(&plan.scratch, |(saved, _)| &saved.scratch);
    disk::copy(source, &disk, plan.account.map(|account| (account.uid, account.gid)))?;
    let resolver = match &plan.network {
        PlannedNetwork::Isolated(_) => Some(resolver_file(slot)),
        PlannedNetwork::None => None,
        PlannedNetwork::Open => Path::new("/etc/resolv.conf").canonicalize().ok(),
    };
    Running::launch(&Launch {
        vm: &plan.vm,
        places: Places {
            name: &slot.name(),
            scratch: &disk,
            resolver: resolver.as_deref(),
            is_alone: matches!(plan.network, PlannedNetwork::None),
        },
        account: plan.account,
        enter: network.map(Network::enter).unwrap_or_default(),
        backing: saved.map_or(Backing::Private, |(_, memory)| Backing::CopyOf(memory)),
    })
}

/// Makes the folder of the job gate. Only the keeper uses it: it passes on what the guest asks over the channel.
pub(super) fn make_gate(slot: &SlotDir) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(slot.gate())
}

fn note_failure(slot: &SlotDir, error: &io::Error) {
    // The host counts it. Without the file, it is only not counted.
    fs::write(resume_failure(slot), error.to_string()).unwrap_or_default();
}
