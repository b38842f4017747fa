//! The synthetic host: pretends to run runners, for replay, tests and load. It works with the simulated GitHub only.

mod configuration;
mod host;

pub use host::SyntheticHost;
