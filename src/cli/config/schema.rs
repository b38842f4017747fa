//! `jitgate config schema`: prints the JSON Schema of the configuration file.

use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::config::schema;

pub(super) fn run() -> Outcome {
    output::print_json(&schema())?;
    Ok(Exit::Done)
}
