//! The SQLite engine, the embedded default: a queue and a ledger in one file on one machine. `schema` documents the
//! tables.
//!
//! One thread writes, in transactions that all waiting writes share. A write is answered after its commit is on disk
//! (`journal_mode=WAL`, `synchronous=FULL`). Reads run in parallel, on connections of their own.

mod body;
mod deliveries;
mod failure;
mod listing;
mod lock;
mod open;
mod readers;
mod records;
mod schema;
mod store;
mod time;
mod writer;

pub use failure::OpenError;
pub use open::OpenMode;
pub use store::SqliteStore;
