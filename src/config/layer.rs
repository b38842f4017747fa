//! One source of settings as a tree with origins: the defaults, a file, an environment variable or overrides.

use super::node::Node;
use super::problem::{Origin, Problem};
use super::spelling::same_words;
use serde_json::{Map, Value};
use std::path::Path;

/// Prefix of every environment variable that is a setting. `__` also separates section and key.
const ENV_PREFIX: &str = "JITGATE__";

/// The settings from one source, as nested tables.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) origin: Origin,
    pub(super) tree: Map<String, Value>,
}

impl Layer {
    /// Returns the embedded defaults.
    pub(super) fn defaults() -> Result<Self, Box<Problem>> {
        Self::from_toml(Origin::Default, include_str!("default.toml"))
    }

    /// Parses a file.
    pub(super) fn from_file(path: &Path) -> Result<Self, Box<Problem>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let what = format!("cannot be read: {error}");
            Problem::new(path.display(), what, "use an existing, readable file with --config")
        })?;
        Self::from_toml(Origin::File(path.to_owned()), &text)
    }

    /// Parses TOML. The error contains the position, but no quotation, because the line can contain a secret.
    pub(super) fn from_toml(origin: Origin, text: &str) -> Result<Self, Box<Problem>> {
        let table: toml::Table = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            let what = format!(
                "is not TOML at line {line}, column {column}: {}",
                describe(error.message())
            );
            Problem::new(&origin, what, "correct the syntax there")
        })?;
        let tree = table.into_iter().map(|(key, value)| (key, to_json(value))).collect();
        Ok(Self { origin, tree })
    }

    /// Parses one environment variable. Returns `None` if it is not a setting of jitgate.
    pub(super) fn from_env(name: &str, text: &str, root: Node<'_>) -> Option<Self> {
        let path: Vec<String> = name
            .strip_prefix(ENV_PREFIX)?
            .split("__")
            .map(str::to_ascii_lowercase)
            .collect();
        let node = path.iter().try_fold(root, |node, part| node.property(part));
        let value = node.map_or_else(|| Value::String(text.to_owned()), |node| typed(text, node));
        let mut tree = value;
        for part in path.into_iter().rev() {
            tree = Value::Object(Map::from_iter([(part, tree)]));
        }
        let Value::Object(tree) = tree else { return None };
        Some(Self {
            origin: Origin::Environment(name.to_owned()),
            tree,
        })
    }
}

/// Returns the variable that `name` probably means if its underscores differ: `JITGATE_STORE_URL`.
pub(super) fn intended_variable(name: &str, root: Node<'_>) -> Option<String> {
    if !name.starts_with("JITGATE_") || name.starts_with(ENV_PREFIX) {
        return None;
    }
    let words = name.strip_prefix("JITGATE_")?;
    let (key, _) = root.keys().into_iter().find(|(key, _)| same_words(key, words))?;
    Some(format!("{ENV_PREFIX}{}", key.replace('.', "__").to_ascii_uppercase()))
}

/// Parses the text of an environment variable as the type in the schema. An invalid text stays text and is reported
/// later as a wrong type.
fn typed(text: &str, node: Node<'_>) -> Value {
    let as_text = || Value::String(text.to_owned());
    if let Some(items) = node.items() {
        let elements = text.split(',').map(str::trim).filter(|element| !element.is_empty());
        return elements.map(|element| element_of(element, items)).collect();
    }
    let readable = ["integer", "number", "boolean"].iter().any(|kind| node.allows(kind));
    if readable {
        return serde_json::from_str(text.trim()).unwrap_or_else(|_| as_text());
    }
    as_text()
}

/// Parses an element of a list. A list of tables accepts plain repository names.
fn element_of(text: &str, items: Node<'_>) -> Value {
    if items.property("full_name").is_some() {
        return Value::Object(Map::from_iter([("full_name".to_owned(), Value::from(text))]));
    }
    typed(text, items)
}

fn to_json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Value::from(number),
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(list) => list.into_iter().map(to_json).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, to_json(value))).collect(),
    }
}

/// Returns the parser's message as one line.
fn describe(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl ::config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn ::config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<::config::Map<String, ::config::Value>, ::config::ConfigError> {
        Ok(self
            .tree
            .iter()
            .map(|(key, value)| (key.clone(), to_config(value)))
            .collect())
    }
}

fn to_config(value: &Value) -> ::config::Value {
    let kind = match value {
        Value::Null => ::config::ValueKind::Nil,
        Value::Bool(flag) => ::config::ValueKind::Boolean(*flag),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => ::config::ValueKind::U64(number),
            (None, Some(number)) => ::config::ValueKind::I64(number),
            (None, None) => ::config::ValueKind::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => ::config::ValueKind::String(text.clone()),
        Value::Array(list) => ::config::ValueKind::Array(list.iter().map(to_config).collect()),
        Value::Object(table) => ::config::ValueKind::Table(
            table
                .iter()
                .map(|(key, value)| (key.clone(), to_config(value)))
                .collect(),
        ),
    };
    ::config::Value::new(None, kind)
}
