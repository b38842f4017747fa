//! Recovery of what GitHub did not deliver: gather, plan, act. The worker makes these passes at the start and in intervals,
//! and `jitgate delivery recover` makes one by hand.
//!
//! ```text
//!  GitHub: delivery log ──> log  ──── GUIDs that never arrived ──> GitHub: redeliver
//!  GitHub: runs, jobs   ──> poll ──── events that are missing  ──> queue, marked as synthesized
//!  queue, ledger        ──> stuck ─── jobs without a decision  ──> alert
//!  ends of jobs         ──> lost  ─── jobs lost with a machine ──> alert, GitHub: re-run
//! ```
//!
//! Every step can be repeated: a request for a redelivery is in the ledger before it is sent, and a synthesized event has
//! a GUID that depends only on the job, its attempt and the action. Events only advance a job, so an event that arrives
//! after its synthesized twin changes nothing.

pub mod log;
mod log_pass;
pub(in crate::app) mod lost;
pub mod memory;
pub mod passes;
pub mod poll;
mod stuck;
mod synthesis;
