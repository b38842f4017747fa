//! Runners on this machine: for each job a directory and, by bubblewrap, processes and mounts of its own.
//!
//! ```text
//!  the gate ── order, JIT configuration (stdin) ──> keeper ── starts ──> bwrap ──> ./run.sh ──> the job's hook
//!     │  └──── control socket: open, end ────────────> │ <───── job gate's socket: hello, go ────────────┘
//!     └─────── reads ──> status file, lock <── writes ─┘
//! ```
//!
//! A keeper ([`keep`]) is a process of its own for each claimed slot: jobs go on when the gate is killed or upgraded, and
//! they die with their keeper. What the gate knows of a slot it reads from the slot's directory, so it knows it after a
//! restart too.

mod account;
mod addresses;
mod boot;
mod children;
mod control;
mod copying;
mod disk;
mod ending;
mod handover;
mod hook;
mod host;
mod inspection;
mod job_gate;
mod keeper;
mod launch;
mod layout;
mod limits;
mod network;
mod order;
mod output;
mod process;
mod removal;
mod sandbox;
mod seccomp;
mod status;
mod worker;

pub use hook::{HookError, ask as ask_gate};
pub use host::LocalHost;
pub use inspection::{Complaint, Inspection, Settings, inspect};
pub use keeper::{KeeperError, keep};
pub use worker::{WorkerError, become_worker};
