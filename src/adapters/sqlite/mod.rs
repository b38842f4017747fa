//! The SQLite engine: queue and ledger in one file on one machine, the embedded default. `schema` documents the tables.
//!
//! One thread writes, in transactions that all waiting writes share, and nothing is answered before its commit is on
//! disk (`journal_mode=WAL`, `synchronous=FULL`). Others read beside it, on connections of their own.

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
