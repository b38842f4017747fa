//! Warns of settings that this version of jitgate reads and does not use yet, where an operator has changed them.

use super::problem::{Problem, Setting};
use std::collections::BTreeMap;

/// Settings without effect: keys, and sections with a dot at the end. A key leaves the list with the code that uses it.
const WITHOUT_EFFECT: [&str; 1] = ["telemetry.otlp_endpoint"];

/// A warning for each setting without effect whose value is not the default.
pub(super) fn warnings(
    settings: &BTreeMap<String, Setting>,
    defaults: &BTreeMap<String, Setting>,
) -> impl Iterator<Item = Problem> {
    let is_changed = |key: &str, setting: &Setting| {
        let default = defaults.get(key).and_then(|default| default.value.as_ref());
        setting.value.as_ref() != default
    };
    let changed = settings
        .iter()
        .filter(move |(key, setting)| has_no_effect(key) && is_changed(key, setting));
    changed.map(|(key, setting)| Problem {
        key: key.clone(),
        value: setting.value.clone(),
        origin: setting.origin.clone(),
        what: "has no effect yet".to_owned(),
        remedy: "remove it: this version of jitgate does not use it".to_owned(),
    })
}

fn has_no_effect(key: &str) -> bool {
    WITHOUT_EFFECT
        .iter()
        .any(|name| key == *name || name.ends_with('.') && key.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema;

    #[test]
    fn every_name_is_a_setting_or_a_section() {
        let schema = schema();
        for name in WITHOUT_EFFECT {
            let (path, is_section) = name.strip_suffix('.').map_or((name, false), |path| (path, true));
            let pointer = format!("/properties/{}", path.replace('.', "/properties/"));
            let node = schema.pointer(&pointer).unwrap_or_else(|| panic!("no setting {name}"));
            assert_eq!(node.get("properties").is_some(), is_section, "{name}");
        }
    }
}
