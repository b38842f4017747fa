//! The JSON Schema of the configuration.
//!
//! The schema is derived from the raw types, and its defaults from `default.toml`. It is the only definition of the
//! keys, their types and bounds, and the secrets among them (`writeOnly`).

use super::layer::Layer;
use super::raw::RawConfig;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// Returns the JSON Schema (draft 2020-12) of a configuration file.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<RawConfig>().to_value();
    if let Ok(defaults) = Layer::defaults() {
        complete(&mut schema, Some(&Value::Object(defaults.tree)));
    }
    schema
}

/// Adds the defaults. A key with a default is not required.
fn complete(schema: &mut Value, default: Option<&Value>) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    match object.get_mut("properties").and_then(Value::as_object_mut) {
        Some(properties) => {
            for (name, property) in properties {
                complete(property, default.and_then(|table| table.get(name)));
            }
            object.remove("required");
        }
        None => {
            if let Some(default) = default {
                object.insert("default".to_owned(), default.clone());
            }
        }
    }
}

/// A schema, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct Node<'a>(pub(super) &'a Value);

impl<'a> Node<'a> {
    /// The keys of a table; none for anything else.
    pub(super) fn properties(self) -> Option<&'a Map<String, Value>> {
        self.0.get("properties")?.as_object()
    }

    pub(super) fn property(self, name: &str) -> Option<Node<'a>> {
        self.properties()?.get(name).map(Node)
    }

    /// What a list holds.
    pub(super) fn items(self) -> Option<Node<'a>> {
        self.0.get("items").map(Node)
    }

    pub(super) fn is_secret(self) -> bool {
        self.flag("writeOnly") || self.items().is_some_and(|items| items.flag("writeOnly"))
    }

    /// Whether it is a URL, in which there can be a password.
    pub(super) fn is_url(self) -> bool {
        self.0.get("format").and_then(Value::as_str) == Some("uri")
    }

    fn flag(self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// JSON types a value may have.
    pub(super) fn types(self) -> Vec<&'a str> {
        match self.0.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn allows(self, kind: &str) -> bool {
        self.types().contains(&kind)
    }

    /// The words that may be chosen from.
    pub(super) fn choices(self) -> Option<&'a Vec<Value>> {
        self.0.get("enum")?.as_array()
    }

    pub(super) fn bound(self, name: &str) -> Option<f64> {
        self.0.get(name)?.as_f64()
    }

    pub(super) fn required(self) -> impl Iterator<Item = &'a str> {
        let list = self.0.get("required").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Every key with its path from here, tables inside tables included, lists of tables not.
    pub(super) fn keys(self) -> Vec<(String, Node<'a>)> {
        let mut keys = Vec::new();
        for (name, property) in self.properties().into_iter().flatten() {
            let node = Node(property);
            if node.properties().is_some() {
                keys.extend(
                    node.keys()
                        .into_iter()
                        .map(|(path, leaf)| (format!("{name}.{path}"), leaf)),
                );
            } else {
                keys.push((name.clone(), node));
            }
        }
        keys
    }
}
