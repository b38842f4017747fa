//! The units of systemd: their texts, and the steps that install them.
//!
//! One source renders the files in `deploy/` and the units that `jitgate setup` writes.

mod access;
mod command;
mod deploy;
mod gate;
mod plan;
mod pool;
mod recovery;
mod token;
mod unit;

pub use command::{BadWord, Program, Word};
pub use deploy::deployed;
pub use plan::{Conflict, Found, Machine, Step, UnitState, Wanted, plan};
pub use pool::{PoolUnits, RECONCILE, RECONCILE_TIMER, SUPERVISOR};
pub use recovery::{RECOVERY, RECOVERY_PATH, REQUEST_FILE, RecoveryUnits};
pub use token::{DEFAULT_TOKEN_FILE, STATUS_FILE, TOKEN_REFRESH, TOKEN_REFRESH_TIMER, TokenUnits};
pub use unit::{Installed, Section, Unit};
