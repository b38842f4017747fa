//! The agent of a virtual machine: its first process, which starts the runner program and speaks with the keeper over the
//! channel. It is jitgate itself, as `jitgate internal guest`.
//!
//! It trusts the keeper and nothing in the guest. It keeps no random number: a guest that is resumed from a saved state has
//! the memory of all others that were. It never uses macros that print, because they panic without a console.

mod client;
mod conversation;
mod event;
mod gate;
mod link;
mod logs;
mod pieces;
mod place;
mod preparation;
mod runner;

pub(crate) use conversation::attend;
pub(crate) use place::Place;
