//! `jitgate runner`: jitgate's runners, and the operator's own ones.

mod args;
mod command;
mod health;
mod list;
mod one_job;
mod recover;
mod register;
mod registration;
mod slots;
mod target;
mod texts;

pub(super) use args::Args;
pub(super) use command::run;
pub(super) use health::problems;
