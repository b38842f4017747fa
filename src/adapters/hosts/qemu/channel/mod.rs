//! The channel between the keeper of a virtual machine and the agent in it, over a virtio-serial port.
//!
//! ```text
//!  keeper ── open, prepare, run, answer, close ──────────────────────> agent ──> runner program
//!    │    <── hello, prepared, started, output, ask, hangup, diag, ended ──┘ <── hook and worker of the job
//!    └── the slot's job gate (a client of its socket for each question)
//! ```
//!
//! The guest is hostile. [`session`] is the state machine that judges everything it sends, without I/O and with bounds.
//! [`link`] is the keeper's end until the runner program starts, and [`carrier`] carries everything from then on.
//! [`messages`] and [`lines`] are shared by both ends.

mod carrier;
mod diagnosis;
mod idle;
mod lines;
mod link;
mod messages;
mod questions;
mod session;
#[cfg(test)]
mod tests;
mod timeouts;

pub(crate) use lines::{Line, Lines};
pub use link::Channel;
pub(crate) use messages::{
    FromGuest, MAX_FROM_GUEST_BYTES, MAX_TEXT_BYTES, MAX_TO_GUEST_BYTES, ToGuest, VERSION, encoded, is_file_name,
};
