//! Where alerts go besides the ledger.

mod log;

pub use log::LogSink;
