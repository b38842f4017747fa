//! Loads the configuration of a command. The only reader of the process environment.

use super::global::Global;
use crate::config::{FileSource, Loaded, Problems, Sources, load};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// Loads the configuration that the global flags select.
pub(super) fn configuration(global: &Global) -> Result<Loaded, Problems> {
    configuration_over(global, Map::new())
}

/// Loads the same configuration with sections that override it.
pub(super) fn configuration_over(global: &Global, overrides: Map<String, Value>) -> Result<Loaded, Problems> {
    let file = global.config.clone().map_or(FileSource::Search, FileSource::Path);
    let env = environment();
    load(Sources { file, env, overrides })
}

/// Loads the configuration that a service sees: the file, and not the environment of this process.
pub(super) fn configuration_of_a_service(global: &Global) -> Result<Loaded, Problems> {
    let file = global.config.clone().map_or(FileSource::Search, FileSource::Path);
    load(Sources {
        file,
        ..Sources::default()
    })
}

/// Loads the defaults, with the proxies of the environment.
pub(super) fn without_a_file(overrides: Map<String, Value>) -> Result<Loaded, Problems> {
    let mut env = environment();
    env.retain(|name, _| !name.starts_with("JITGATE_"));
    load(Sources {
        file: FileSource::Nothing,
        env,
        overrides,
    })
}

/// Returns an environment variable.
pub(super) fn variable(name: &str) -> Option<String> {
    environment().remove(name)
}

/// Returns the environment variables whose names are selected.
pub(super) fn variables(is_selected: impl Fn(&str) -> bool) -> Vec<(String, OsString)> {
    let selected = environment().into_iter().filter(|(name, _)| is_selected(name));
    selected.map(|(name, value)| (name, value.into())).collect()
}

/// Returns the process environment. Invalid Unicode in a value becomes U+FFFD, which validation rejects.
fn environment() -> BTreeMap<String, String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    let variables = std::env::vars_os();
    variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .collect()
}
