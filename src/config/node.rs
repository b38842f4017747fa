//! Reads a JSON Schema: which keys there are, and what each of them allows.

use serde_json::{Map, Value};

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

    /// Returns the schema of the elements of a list.
    pub(super) fn items(self) -> Option<Node<'a>> {
        self.0.get("items").map(Node)
    }

    pub(super) fn is_secret(self) -> bool {
        self.flag("writeOnly") || self.items().is_some_and(|items| items.flag("writeOnly"))
    }

    /// Returns true for a URL, which can contain a password.
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
