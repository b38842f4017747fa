//! `jitgate runner`: runners as the ledger knows them.

mod args;
mod list;

pub(super) use args::{Args, run};
