//! Compares one layer with the schema: unknown keys, wrong types, values out of bounds.
//!
//! Non-conforming settings are reported and removed, so that the rest can be validated in the same run. The remaining
//! settings fit the raw types.

use super::layer::Layer;
use super::mask::shown;
use super::node::Node;
use super::problem::{Origin, Problem};
use super::spelling::{nearest, same_words};
use serde_json::{Map, Value};

/// Returns the conforming part of the layer, and the problems of the rest.
pub(super) fn conform(layer: Layer, root: Node<'_>) -> (Layer, Vec<Problem>) {
    let mut walk = Walk {
        origin: &layer.origin,
        root,
        problems: Vec::new(),
    };
    let tree = walk.table("", layer.tree, root).unwrap_or_default();
    let problems = walk.problems;
    (
        Layer {
            origin: layer.origin,
            tree,
        },
        problems,
    )
}

struct Walk<'a> {
    origin: &'a Origin,
    root: Node<'a>,
    problems: Vec<Problem>,
}

impl Walk<'_> {
    fn value(&mut self, path: &str, value: Value, node: Node<'_>) -> Option<Value> {
        if node.properties().is_some() {
            match value {
                Value::Object(table) => self.table(path, table, node).map(Value::Object),
                other => self.wrong(path, &other, node, "is not a table"),
            }
        } else if let Some(items) = node.items() {
            match value {
                Value::Array(list) => self.list(path, list, node, items),
                other => self.wrong(path, &other, node, "is not a list"),
            }
        } else {
            self.scalar(path, value, node)
        }
    }

    /// Returns `None` if a required key is missing, because the table is then not usable.
    fn table(&mut self, path: &str, table: Map<String, Value>, node: Node<'_>) -> Option<Map<String, Value>> {
        for name in node.required().filter(|name| !table.contains_key(*name)) {
            self.report(join(path, name), None, "is missing".to_owned(), "set it".to_owned());
        }
        let mut kept = Map::new();
        for (name, value) in table {
            let path = join(path, &name);
            match node.property(&name) {
                Some(property) => kept.extend(self.value(&path, value, property).map(|value| (name, value))),
                None => self.unknown(path, &name, node),
            }
        }
        node.required().all(|name| kept.contains_key(name)).then_some(kept)
    }

    fn list(&mut self, path: &str, list: Vec<Value>, node: Node<'_>, items: Node<'_>) -> Option<Value> {
        if node.bound("minItems").is_some_and(|least| count(list.len()) < least) {
            return self.wrong(path, &Value::Array(list), node, "is empty");
        }
        let elements = list.into_iter().enumerate();
        let kept: Vec<Value> = elements
            .filter_map(|(index, element)| self.value(&format!("{path}[{index}]"), element, items))
            .collect();
        Some(Value::Array(kept))
    }

    fn scalar(&mut self, path: &str, value: Value, node: Node<'_>) -> Option<Value> {
        let fits = match &value {
            Value::Null => node.allows("null"),
            Value::Bool(_) => node.allows("boolean"),
            Value::Number(number) => node.allows("number") || (node.allows("integer") && !number.is_f64()),
            Value::String(_) => node.allows("string"),
            Value::Array(_) | Value::Object(_) => false,
        };
        if !fits {
            return self.wrong(path, &value, node, &format!("is {}", kind(&value)));
        }
        if node.choices().is_some_and(|choices| !choices.contains(&value)) {
            return self.wrong(path, &value, node, "is not known");
        }
        let below = |number: f64| node.bound("minimum").is_some_and(|least| number < least);
        let above = |number: f64| node.bound("maximum").is_some_and(|most| number > most);
        if value.as_f64().is_some_and(|number| below(number) || above(number)) {
            return self.wrong(path, &value, node, "is out of bounds");
        }
        if value.as_str().is_some_and(|text| text.trim().is_empty()) {
            return self.wrong(path, &value, node, "is empty");
        }
        Some(value)
    }

    /// Reports a value that does not match the schema. Tables and lists in a wrong place are not quoted, because they
    /// can contain secrets.
    fn wrong(&mut self, path: &str, value: &Value, node: Node<'_>, what: &str) -> Option<Value> {
        let quotable = node.properties().is_none() && !value.is_object() && !value.is_array();
        let remedy = format!("use {}", expected(node));
        self.report(
            path.to_owned(),
            quotable.then(|| shown(value, node)),
            what.to_owned(),
            remedy,
        );
        None
    }

    /// Reports an unknown key. Its value is not quoted, because it can be a secret under a misspelt name.
    fn unknown(&mut self, path: String, name: &str, node: Node<'_>) {
        let siblings = node.properties().into_iter().flatten().map(|(name, _)| name.as_str());
        let section = path.strip_suffix(name).unwrap_or_default();
        let everywhere: Vec<String> = self.root.keys().into_iter().map(|(key, _)| key).collect();
        let find = |test: &dyn Fn(&str) -> bool| everywhere.iter().find(|key| test(key)).cloned();
        let ending = format!(".{name}");
        let meant = find(&|key| same_words(key, &path))
            .or_else(|| nearest(name, siblings).map(|sibling| format!("{section}{sibling}")))
            .or_else(|| find(&|key| key.ends_with(&ending)));
        let remedy = match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "remove it; `jitgate config schema` lists every key".to_owned(),
        };
        self.report(path, None, "is an unknown setting".to_owned(), remedy);
    }

    fn report(&mut self, key: String, value: Option<String>, what: String, remedy: String) {
        let origin = Some(self.origin.clone());
        self.problems.push(Problem {
            key,
            value,
            origin,
            what,
            remedy,
        });
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

fn expected(node: Node<'_>) -> String {
    if let Some(properties) = node.properties() {
        let keys: Vec<String> = properties.keys().map(|key| format!("`{key}`")).collect();
        return format!("a table with {}", keys.join(", "));
    }
    if let Some(items) = node.items() {
        let least = if node.bound("minItems").is_some() {
            ", at least one"
        } else {
            ""
        };
        return format!("a list; of each element: {}{least}", expected(items));
    }
    if let Some(choices) = node.choices() {
        let words: Vec<String> = choices.iter().map(Value::to_string).collect();
        return format!("one of {}", words.join(", "));
    }
    let number = if node.allows("integer") {
        "a whole number"
    } else if node.allows("number") {
        "a number"
    } else if node.allows("boolean") {
        return "true or false".to_owned();
    } else {
        return "a text between quotes".to_owned();
    };
    let number = match (node.bound("minimum"), node.bound("maximum")) {
        (Some(least), Some(most)) => format!("{number} from {least} to {most}"),
        (Some(least), None) => format!("{number}, {least} or more"),
        _ => number.to_owned(),
    };
    if node.allows("string") {
        return format!("{number}, or a text between quotes");
    }
    number
}

fn count(length: usize) -> f64 {
    u32::try_from(length).map_or(f64::INFINITY, f64::from)
}
