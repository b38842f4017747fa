//! The part of a keeper that differs between hosts: it starts the sandbox or the virtual machine of a slot.

use super::layout::SlotDir;
use super::process::ProcessId;
use crate::domain::slot::Ending;
use crate::ports::Clock;
use serde::de::DeserializeOwned;
use std::io;
use tokio::net::unix::pipe::Receiver;

/// The sandbox or the virtual machine of one slot. Dropping it releases everything outside of its processes.
pub(crate) trait Guest: Sized {
    /// The parameters of the start, which the host sends to the keeper.
    type Plan: DeserializeOwned;

    /// Starts the first process, which dies with the thread that calls this.
    fn start(plan: &Self::Plan, slot: &SlotDir) -> io::Result<Self>;

    /// Returns the id of the first process, a child of the keeper. The guest has ended when it exits. It can be another one once
    /// the guest is up.
    fn first_process(&self) -> u32;

    /// Waits until the guest is up. Returns the processes that everything in it dies with, by which the host finds it if the
    /// keeper dies.
    async fn comes_up(&mut self, clock: &dyn Clock) -> io::Result<Vec<ProcessId>>;

    /// Hands over the JIT configuration, which starts the runner program, and returns the output of the guest.
    fn configure(&mut self, configuration: &str) -> io::Result<Receiver>;

    /// Waits until the keeper has to end the guest because it exceeds a limit.
    async fn exceeds_a_limit(&mut self) -> Ending;
}
