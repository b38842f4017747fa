//! `jitgate internal worker`: stands in the place of the runner program's worker, and becomes it once it may.

use crate::adapters::hosts::slots;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use std::ffi::OsString;
use std::path::Path;

pub(super) fn run(socket: &Path, program: &Path, words: &[OsString]) -> Outcome {
    let error = slots::become_worker(socket, program, words);
    output::complain(&format!("jitgate: {error}"));
    Ok(Exit::Negative)
}
