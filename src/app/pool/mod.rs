//! The pool of environments: gather what is wanted and what is there, plan, act. A pass takes no input; events and a timer
//! only say that one may be worth while, so a lost event costs time and nothing else.
//!
//! ```text
//!  ledger: wants, runners ─┐                        ┌─ boot, discard     environments
//!  host: environments ─────┼─> care, plan ─> tasks ─┼─ serve             a job gets a runner
//!  the time ───────────────┘   (domain, pure)       ├─ judge, open       the job gate
//!                                                   └─ end, tear down, sweep
//! ```
//!
//! Tasks run side by side, and no two about the same job, runner or environment: a GitHub that is slow about one does not
//! hold up the others. What a task could not do is found again by a later pass.

pub mod capacity;
pub mod memory;
pub mod pass;
mod perform;
mod plan;
mod task;
