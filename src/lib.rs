//! The library behind the `jitgate` binary; `docs/ARCHITECTURE.md` describes its structure.

pub mod adapters;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod http;
pub mod ports;
pub mod runtime;
pub mod simulator;
pub mod telemetry;
