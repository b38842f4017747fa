//! Recovery of what GitHub did not deliver: pure rules about the delivery log, about jobs that GitHub shows and the ledger
//! does not know, and about the intervals of both checks.

pub mod log;
pub mod pace;
pub mod poll;
