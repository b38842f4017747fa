//! Where the configuration of a command comes from. The only reader of the process environment.

use super::args::Global;
use super::exit::Failure;
use crate::config::{FileSource, Loaded, Problems, Sources, load};

/// Loads the configuration as the global flags say.
pub(super) fn configuration(global: &Global) -> Result<Loaded, Failure> {
    try_configuration(global).map_err(Failure::from)
}

/// The same, for commands that make more of problems than an error.
pub(super) fn try_configuration(global: &Global) -> Result<Loaded, Problems> {
    let file = global.config.clone().map_or(FileSource::Search, FileSource::Path);
    // What is not Unicode in a value becomes U+FFFD, and is refused as whatever it then is.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    let mut loaded = load(Sources {
        file,
        env: variables.collect(),
        ..Sources::default()
    })?;
    if let Some(log) = &global.log {
        loaded.config.telemetry.log = log.clone();
    }
    Ok(loaded)
}
