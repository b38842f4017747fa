//! The `memory:` engine: for replay, tests and a first look. It forgets everything when the process ends.

mod deliveries;
mod records;
mod store;

pub use store::MemoryStore;
