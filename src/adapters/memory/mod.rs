//! The `memory:` engine, for replay, tests and trials. It loses everything when the process ends.

mod deliveries;
mod records;
mod store;

pub use store::MemoryStore;
