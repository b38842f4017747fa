//! `jitgate internal keep`: the keeper of one slot of the local host.

use crate::adapters::clock::SystemClock;
use crate::adapters::hosts::local;
use crate::cli::exit::{Exit, Failure, Outcome};
use std::path::Path;

pub(super) fn run(folder: &Path) -> Outcome {
    // On this thread: environments die with the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Bug, error))?;
    let kept = runtime.block_on(local::keep(folder, &SystemClock));
    kept.map_err(|error| Failure::new(Exit::RunnerHost, error))?;
    Ok(Exit::Done)
}
