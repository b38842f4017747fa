//! `jitgate repository`: which repository a configured name means.

mod accept;
mod args;

pub(super) use args::{Args, run};
