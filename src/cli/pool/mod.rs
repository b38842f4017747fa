//! `jitgate pool`: the slots of this machine, their bounds, and the worker that keeps them.

mod args;
mod command;
mod credentials_watch;
mod reconcile;
mod scale;
mod status;
mod supervise;
mod worker_settings;

pub(super) use args::{Args, WorkerArgs, interval_s};
pub(super) use command::run;
pub(super) use status::{bounds_in_effect, configured as configured_bounds};
pub(super) use worker_settings::bounds;
