//! From sources to a validated configuration: layers, conformed one by one, laid over each other, then validated.

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

/// Where configuration is looked for when no file is named: the first that exists.
const SEARCHED: [&str; 2] = ["./jitgate.toml", "/etc/jitgate/jitgate.toml"];

/// What a configuration is read from. Each wins over the one before, and over the defaults.
#[derive(Debug, Default)]
pub struct Sources {
    /// The file.
    pub file: FileSource,
    /// The environment: variables that do not start with `JITGATE_` are ignored.
    pub env: BTreeMap<String, String>,
    /// Sections with keys as in a file.
    pub overrides: Map<String, Value>,
}

/// Which file.
#[derive(Debug, Default)]
pub enum FileSource {
    /// None at all.
    #[default]
    Nothing,
    /// This one; it has to be there.
    Path(PathBuf),
    /// `./jitgate.toml`, else `/etc/jitgate/jitgate.toml`, else none.
    Search,
}

/// A configuration, and how it came about.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every key with its value, secrets masked, and where it came from.
    pub settings: BTreeMap<String, Setting>,
    /// What is allowed but risky.
    pub warnings: Vec<Problem>,
    /// The file that was read.
    pub file: Option<PathBuf>,
}

/// Reads and validates a configuration.
///
/// # Errors
/// With everything that is wrong with it.
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

/// The admin listener's default depends on the host of runners.
fn show_admin_socket(config: &Config, settings: &mut BTreeMap<String, Setting>) {
    let setting = settings.get_mut("server.admin_listen");
    if let (AdminListen::Unix(path), Some(setting)) = (&config.server.admin_listen, setting)
        && setting.origin == Some(Origin::Default)
    {
        setting.value = Some(Value::from(format!("unix:{}", path.display())).to_string());
    }
}

/// Every source as a layer, the strongest last.
fn layers(sources: Sources, root: Node<'_>, problems: &mut Vec<Problem>) -> Vec<Layer> {
    let mut read = vec![Layer::defaults()];
    let path = match sources.file {
        FileSource::Nothing => None,
        FileSource::Path(path) => Some(path),
        FileSource::Search => SEARCHED.iter().map(PathBuf::from).find(|path| path.exists()),
    };
    read.extend(path.as_deref().map(Layer::from_file));
    for (name, text) in &sources.env {
        read.extend(Layer::from_env(name, text, root).map(Ok));
        if let Some(meant) = intended_variable(name, root) {
            problems.push(*Problem::new(
                name,
                "is read by nobody",
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

/// Lays the layers over each other. Tables are merged, lists replaced.
fn merge(layers: Vec<Layer>) -> Result<RawConfig, Box<Problem>> {
    let mut builder = ::config::Config::builder();
    for layer in layers {
        builder = builder.add_source(layer);
    }
    let merged = builder.build().and_then(::config::Config::try_deserialize);
    // Every layer fits the schema that was made from the raw types, so this is not the operator's mistake. The error is
    // not quoted: it quotes values.
    merged.map_err(|_| {
        Problem::new(
            "configuration",
            "fits its schema but not its types",
            "report this as a bug",
        )
    })
}

/// What each key is set to, by the strongest layer that sets it.
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

/// Warns of a file that holds secrets and is open to others.
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
