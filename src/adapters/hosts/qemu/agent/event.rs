//! The events of the agent, which its threads send to the one that handles them.

use super::client::Client;
use crate::adapters::hosts::qemu::channel::ToGuest;

/// An event for the agent.
pub(super) enum Event {
    /// The keeper sent a message.
    Told(ToGuest),
    /// The keeper is gone for good.
    Gone,
    /// A client of the job gate asks.
    Asked {
        connection: u64,
        client: Client,
        text: String,
    },
    /// The client has left, or was sent away.
    Left { connection: u64 },
    /// The runner program wrote this.
    Printed(String),
    /// No process can write output any more.
    Silent,
    /// The runner program has ended.
    Ended { code: i32 },
}
