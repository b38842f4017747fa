//! Slots in folders of this machine, for every host that keeps them there: one folder and, once claimed, one keeper for each.
//!
//! ```text
//!  host ── order (stdin) ──────────────────────> keeper ── starts ──> guest ──> runner program ──> hook of the job
//!   │  └─ control socket: claim, open, end, watch ─> │ <──────── job gate's socket: hello, go ────────────┘
//!   └─────── reads ──> status file, lock <── writes ┘
//! ```
//!
//! A keeper ([`keep`]) is a process of its own for each slot that runs something: jobs continue when the host process is killed
//! or upgraded, and they die with their keeper. A host whose guests take long to start starts the keeper when the slot boots
//! ([`SlotHost::boot_guest`]), other hosts when it is claimed ([`SlotHost::boot`]). The host reads everything it knows about a
//! slot from the slot's folder, and therefore knows it after a restart too.
//!
//! A host adds its [`Guest`]: how the sandbox or the virtual machine of a slot is started. It imports from here and never
//! the other way round.

mod account;
mod addresses;
mod boot;
mod bubblewrap;
mod control;
mod ending;
mod guest;
mod host;
mod job_gate;
mod keeper;
mod launched;
mod layout;
mod limits;
mod network;
mod opening;
mod order;
mod output;
mod process;
mod removal;
mod slot_id;
mod status;
mod worker;

pub(crate) use account::Account;
pub(crate) use bubblewrap::{
    PROGRAM_FOLDERS, SandboxOptions, first_process, inheritable, lose_rights, options_file, path_text,
};
pub(crate) use guest::Guest;
pub(crate) use host::SlotHost;
#[cfg(test)]
pub(crate) use job_gate::{GateEvent, watch as watch_gate};
pub(crate) use job_gate::{ask as ask_gate, hook_script};
pub(crate) use keeper::{KeeperError, keep};
pub(crate) use layout::{Layout, SlotDir, SocketPath, host_of, slots_of};
pub(crate) use limits::{Group, Limits, clear_limits, try_limits};
pub(crate) use network::{Network, RESOLVER, Rules, resolver_file, try_network};
pub(crate) use opening::{log_findings, open_slots};
pub(crate) use order::Deadlines;
pub(crate) use process::{ProcessId, SLOT_VARIABLE, SYSTEM_PATH, kill_marked};
pub(crate) use removal::remove_file;
pub(crate) use worker::{SeenPaths, become_worker, install_stand_in, stand_in_script};
