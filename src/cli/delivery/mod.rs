//! `jitgate delivery`: the deliveries in the store.

mod args;
mod export;
mod filter;
mod list;
mod recover;
mod replay;
mod show;
mod world;

pub(super) use args::{Args, run};
pub(super) use filter::FilterArgs;
pub(super) use list::run as list;
pub(super) use replay::requeue;
pub(super) use show::{guid, known};
