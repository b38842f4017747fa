//! The pool of slots: gather, plan, act. A pass has no input. Events and a timer only trigger one, so a lost event
//! costs time and nothing else.
//!
//! ```text
//!  ledger: waiting jobs, runners ─┐                    ┌─ boot, discard        slots
//!  host: slots ───────────────────┼─> plan ─> tasks ───┼─ serve                a job receives a runner
//!  time ──────────────────────────┘   (domain, pure)   ├─ judge, open          the job gate
//!                                                      └─ end, tear down, sweep
//! ```
//!
//! Tasks run concurrently, but no two with the same job, runner or slot, so slow answers about one do not delay the
//! others. A later pass repeats what a task could not do.

pub mod bounds;
pub mod capacity;
pub mod memory;
pub mod pass;
mod perform;
mod plan;
mod report;
pub mod scale;
pub mod status;
mod task;
