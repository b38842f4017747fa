//! `jitgate internal`: what jitgate starts itself as, beside and inside runner environments. Not for people.

mod args;
mod hook;
mod keep;
mod worker;

pub(super) use args::{Args, run};
