//! Recovery of what GitHub did not deliver: pure rules about the delivery log, about jobs that GitHub shows and the ledger
//! does not know, about lost jobs, and about the intervals of the checks.

pub mod log;
pub mod lost;
pub mod pace;
pub mod poll;
