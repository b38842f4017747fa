//! Loads the configuration of a command. The only reader of the process environment.

use super::global::Global;
use crate::config::{FileSource, Loaded, Problems, Sources, load};
use std::collections::BTreeMap;

/// Loads the configuration that the global flags select.
pub(super) fn configuration(global: &Global) -> Result<Loaded, Problems> {
    let file = global.config.clone().map_or(FileSource::Search, FileSource::Path);
    load(Sources {
        file,
        env: environment(),
        ..Sources::default()
    })
}

/// Returns the process environment. Invalid Unicode in a value becomes U+FFFD, which validation rejects.
fn environment() -> BTreeMap<String, String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let variables = std::env::vars_os();
    variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .collect()
}
