//! `jitgate alert`: what is wrong, who looks at it, and what is over.

mod args;
mod list;
mod settle;

pub(super) use args::{Args, run};
