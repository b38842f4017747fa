//! The library behind the `jitgate` binary; `docs/ARCHITECTURE.md` draws the whole.

pub mod domain;
pub mod ports;
pub mod simulator;
