//! `jitgate incident`: the incidents in the store, and the report of one.

mod args;
mod list;
mod report;

pub(super) use args::{Args, run};
