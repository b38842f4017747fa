//! Loads a configuration: reads the layers, compares each with the schema, merges and validates them.

use super::AdminListen;
use super::check::Check;
use super::conform::conform;
use super::layer::{Layer, intended_variable};
use super::mask::{MASK, shown};
use super::node::Node;
use super::problem::{Origin, Problem, Problems, Setting};
use super::proxy::Environment;
use super::raw::RawConfig;
use super::repositories;
use super::schema::schema;
use super::settings::Config;
use super::without_effect;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Default locations of the configuration file. The first existing one is used.
const SEARCH_PATHS: [&str; 2] = ["./jitgate.toml", "/etc/jitgate/jitgate.toml"];

/// The sources of a configuration. Each overrides the previous one and the defaults.
#[derive(Debug, Default)]
pub struct Sources {
    pub file: FileSource,
    /// The environment. Variables that do not start with `JITGATE_` are ignored.
    pub env: BTreeMap<String, String>,
    /// Sections with keys, as in a file.
    pub overrides: Map<String, Value>,
}

/// The configuration file.
#[derive(Debug, Default)]
pub enum FileSource {
    /// No file.
    #[default]
    Nothing,
    /// This file, which must exist.
    Path(PathBuf),
    /// `./jitgate.toml`, otherwise `/etc/jitgate/jitgate.toml`, otherwise no file.
    Search,
}

/// A validated configuration with its origins.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// Every key with its value, with masked secrets, and its origin.
    pub settings: BTreeMap<String, Setting>,
    /// Permitted but risky settings.
    pub warnings: Vec<Problem>,
    pub file: Option<PathBuf>,
}

/// Loads and validates a configuration.
///
/// # Errors
/// With all its problems.
pub fn load(sources: Sources) -> Result<Loaded, Problems> {
    let schema = schema();
    let root = Node(&schema);
    let mut problems = Vec::new();
    let mut proxy_warnings = Vec::new();
    let environment = Environment::read(&sources.env, &mut proxy_warnings);
    let layers = layers(sources, root, &mut problems);
    let file = layers.iter().find_map(|layer| match &layer.origin {
        Origin::File(path) => Some(path.clone()),
        _ => None,
    });
    let mut conforming = Vec::new();
    for layer in layers {
        let (layer, found) = conform(layer, root);
        problems.extend(found);
        conforming.push(layer);
    }
    let defaults = settings(conforming.get(..1).unwrap_or_default(), root);
    let mut settings = settings(&conforming, root);
    let mut check = Check::new(&settings, environment);
    let config = match merge(conforming) {
        Ok(raw) => raw.validate(&mut check).ok(),
        Err(problem) => {
            problems.push(*problem);
            None
        }
    };
    problems.extend(check.problems);
    let mut warnings = check.warnings;
    warnings.extend(proxy_warnings);
    warnings.extend(without_effect::warnings(&settings, &defaults));
    let github_proxy = check.github_proxy;
    warnings.extend(exposed_file(file.as_deref(), &settings));
    match config {
        Some(mut config) if problems.is_empty() => {
            show_admin_socket(&config, &mut settings);
            if let (Some(used), Some(setting)) = (github_proxy, settings.get_mut("github.proxy")) {
                *setting = used;
            }
            config.secret_files.extend(file.clone());
            Ok(Loaded {
                config,
                settings,
                warnings,
                file,
            })
        }
        _ => Err(Problems(problems)),
    }
}

/// The default of the admin listener depends on the runner host.
fn show_admin_socket(config: &Config, settings: &mut BTreeMap<String, Setting>) {
    let setting = settings.get_mut("server.admin_listen");
    if let (AdminListen::Unix(path), Some(setting)) = (&config.server.admin_listen, setting)
        && setting.origin == Some(Origin::Default)
    {
        setting.value = Some(Value::from(format!("unix:{}", path.display())).to_string());
    }
}

/// Returns every source as a layer, in ascending order of precedence.
fn layers(sources: Sources, root: Node<'_>, problems: &mut Vec<Problem>) -> Vec<Layer> {
    let mut read = vec![Layer::defaults()];
    let path = match sources.file {
        FileSource::Nothing => None,
        FileSource::Path(path) => Some(path),
        FileSource::Search => SEARCH_PATHS.iter().map(PathBuf::from).find(|path| path.exists()),
    };
    read.extend(path.as_deref().map(Layer::from_file));
    for (name, text) in &sources.env {
        read.extend(Layer::from_env(name, text, root).map(Ok));
        if let Some(meant) = intended_variable(name, root) {
            problems.push(*Problem::new(
                name,
                "is an unknown environment variable",
                format!("did you mean `{meant}`?"),
            ));
        }
    }
    let overrides = Layer {
        origin: Origin::Overrides,
        tree: sources.overrides,
    };
    read.push(Ok(overrides));
    let mut layers = Vec::new();
    for layer in read {
        match layer {
            Ok(layer) => layers.push(layer),
            Err(problem) => problems.push(*problem),
        }
    }
    layers
}

/// Merges the layers. Tables are merged, lists are replaced.
fn merge(layers: Vec<Layer>) -> Result<RawConfig, Box<Problem>> {
    let mut builder = ::config::Config::builder();
    for layer in layers {
        builder = builder.add_source(layer);
    }
    let merged = builder.build().and_then(::config::Config::try_deserialize);
    // Every layer fits the schema of the raw types, so this is no mistake of the operator. The error quotes values and
    // is therefore not shown.
    merged.map_err(|_| {
        Problem::new(
            "configuration",
            "fits its schema but not its types",
            "report this as a bug",
        )
    })
}

/// Returns the value of each key from the layer with the highest precedence.
fn settings(layers: &[Layer], root: Node<'_>) -> BTreeMap<String, Setting> {
    let unset = Setting {
        value: None,
        origin: None,
    };
    let mut settings = BTreeMap::new();
    for (key, node) in root.keys() {
        let path: Vec<&str> = key.split('.').collect();
        let strongest = layers.iter().rev().find_map(|layer| {
            let (first, rest) = path.split_first()?;
            let value = rest
                .iter()
                .try_fold(layer.tree.get(*first)?, |value, part| value.get(part))?;
            Some((value, &layer.origin))
        });
        match strongest {
            Some((Value::Array(tables), origin)) if node.items().is_some_and(|items| items.properties().is_some()) => {
                for table in tables {
                    let name = table.get("full_name").and_then(Value::as_str).unwrap_or_default();
                    let section = repositories::section(name);
                    for (name, value) in table.as_object().into_iter().flatten() {
                        let Some(property) = node.items().and_then(|items| items.property(name)) else {
                            continue;
                        };
                        settings.insert(format!("{section}.{name}"), setting(value, property, origin));
                    }
                }
            }
            Some((value, origin)) => {
                settings.insert(key, setting(value, node, origin));
            }
            None => {
                settings.insert(key, unset.clone());
            }
        }
    }
    settings
}

fn setting(value: &Value, node: Node<'_>, origin: &Origin) -> Setting {
    Setting {
        value: (!value.is_null()).then(|| shown(value, node)),
        origin: Some(origin.clone()),
    }
}

/// Warns of a file that contains secrets and is readable by others.
fn exposed_file(file: Option<&Path>, settings: &BTreeMap<String, Setting>) -> Option<Problem> {
    let path = file?;
    let mode = path.metadata().ok()?.permissions().mode();
    let from_file = Some(Origin::File(path.to_owned()));
    let is_masked = |setting: &Setting| setting.value.as_ref().is_some_and(|value| value.contains(MASK));
    let (key, _) = settings
        .iter()
        .find(|(_, setting)| setting.origin == from_file && is_masked(setting))?;
    (mode & 0o077 != 0).then(|| Problem {
        key: key.clone(),
        value: None,
        origin: from_file,
        what: "is a secret in a file that others can open".to_owned(),
        remedy: format!("run `chmod 600 {}`, or use the `_file` form of the key", path.display()),
    })
}
