//! GitHub's own description of its API (`OpenAPI` 3.0) or of its deliveries (3.1), as schemas to hold JSON against.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub(crate) struct Description(Value);

/// A file of a pinned npm package.
pub(crate) fn npm_file(path: &str) -> Value {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/node/node_modules/@octokit")
        .join(path);
    let text = std::fs::read(&path)
        .unwrap_or_else(|e| panic!("{}: {e}; run ./tests/run, or npm ci in tests/node", path.display()));
    serde_json::from_slice(&text).expect("JSON")
}

impl Description {
    pub(crate) fn of_the_api() -> Self {
        Self(npm_file("openapi/generated/api.github.com.json"))
    }

    pub(crate) fn of_deliveries() -> Self {
        Self(npm_file("openapi-webhooks/generated/api.github.com.json"))
    }

    /// Returns true if the description has an operation.
    pub(crate) fn has(&self, method: &str, template: &str) -> bool {
        self.0["paths"][template][method.to_lowercase()].is_object()
    }

    /// Returns the template of the operation that a path belongs to, and the values of its variables. A template with
    /// fewer variables is preferred, as in `/runners/downloads` and `/runners/{runner_id}`.
    pub(crate) fn operation(&self, method: &str, path: &str) -> Option<(String, BTreeMap<String, String>)> {
        let templates = self.0["paths"].as_object().expect("paths").keys();
        let matches = templates
            .filter(|template| self.has(method, template))
            .filter_map(|template| Some((template.clone(), variables(template, path)?)));
        matches.min_by_key(|(_, variables)| variables.len())
    }

    /// Returns the schema of the body of a request; none if the operation takes none.
    pub(crate) fn request(&self, method: &str, template: &str) -> Option<Value> {
        let operation = &self.0["paths"][template][method.to_lowercase()];
        let body = self.follow(&operation["requestBody"]);
        let schema = &body["content"]["application/json"]["schema"];
        (!schema.is_null()).then(|| schema.clone())
    }

    /// Returns the names of the query parameters of an operation.
    pub(crate) fn query_names(&self, method: &str, template: &str) -> BTreeSet<String> {
        let path = &self.0["paths"][template];
        let lists = [&path["parameters"], &path[method.to_lowercase()]["parameters"]];
        let parameters = lists.into_iter().filter_map(Value::as_array).flatten();
        let parameters = parameters.map(|parameter| self.follow(parameter));
        let named = parameters.filter(|parameter| parameter["in"] == "query");
        named
            .filter_map(|parameter| Some(parameter["name"].as_str()?.to_owned()))
            .collect()
    }

    /// Returns the status of the first success of an operation, and GitHub's own example of it, if there is one.
    pub(crate) fn example(&self, method: &str, template: &str) -> Option<(u16, Option<Value>)> {
        let responses = &self.0["paths"][template][method.to_lowercase()]["responses"];
        let statuses = responses.as_object()?.keys().filter_map(|status| status.parse().ok());
        let status: u16 = statuses.filter(|status| (200..300).contains(status)).min()?;
        let response = self.follow(&responses[status.to_string()]);
        let examples = response["content"]["application/json"]["examples"].as_object();
        let first = examples.and_then(|examples| examples.values().next());
        Some((status, first.map(|example| self.follow(example)["value"].clone())))
    }

    /// The schema of an answer: none when it has no body, `Err` when no such answer is described.
    pub(crate) fn answer(&self, method: &str, template: &str, status: u16) -> Result<Option<Value>, String> {
        let operation = &self.0["paths"][template][method.to_lowercase()];
        let answer = self.follow(&operation["responses"][status.to_string()]);
        if answer.is_null() {
            return Err(format!("{method} {template} is not said to answer {status}"));
        }
        let schema = &answer["content"]["application/json"]["schema"];
        Ok((!schema.is_null()).then(|| schema.clone()))
    }

    /// The schema of this name.
    pub(crate) fn named(name: &str) -> Value {
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    fn follow<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self
                .0
                .pointer(reference.trim_start_matches('#'))
                .unwrap_or(&Value::Null),
            None => value,
        }
    }

    /// Returns the faults of `value` with their places.
    pub(crate) fn problems(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut names = BTreeSet::new();
        self.collect(schema, &mut names);
        let schemas: Map<String, Value> = names
            .iter()
            .map(|name| (name.clone(), plain(&self.0["components"]["schemas"][name])))
            .collect();
        let mut root = plain(schema);
        root["components"] = json!({ "schemas": schemas });
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&root)
            .expect("a schema");
        validator
            .iter_errors(value)
            .map(|error| format!("{}: {}", error.instance_path(), error.masked()))
            .collect()
    }

    /// Names of the schemas that a schema leads to.
    fn collect(&self, schema: &Value, names: &mut BTreeSet<String>) {
        match schema {
            Value::Object(fields) => {
                let name = fields.get("$ref").and_then(Value::as_str).and_then(schema_name);
                if let Some(name) = name.filter(|name| names.insert((*name).to_owned())) {
                    self.collect(&self.0["components"]["schemas"][name], names);
                }
                fields.values().for_each(|value| self.collect(value, names));
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item, names)),
            _ => {}
        }
    }
}

/// Returns the variables of a path template, if the path fits it.
fn variables(template: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let (wanted, parts): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    if wanted.len() != parts.len() {
        return None;
    }
    let mut found = BTreeMap::new();
    for (wanted, part) in wanted.into_iter().zip(parts) {
        match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) if !part.is_empty() => {
                found.insert(name.to_owned(), part.to_owned());
            }
            _ if wanted == part => {}
            _ => return None,
        }
    }
    Some(found)
}

fn schema_name(reference: &str) -> Option<&str> {
    reference.strip_prefix("#/components/schemas/")
}

/// JSON Schema for an `OpenAPI` schema: `nullable` becomes an alternative.
fn plain(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let mut converted: Map<String, Value> =
                fields.iter().map(|(key, value)| (key.clone(), plain(value))).collect();
            match converted.get("nullable") {
                Some(Value::Bool(nullable)) if *nullable => {
                    converted.remove("nullable");
                    json!({"anyOf": [{"type": "null"}, converted]})
                }
                _ => Value::Object(converted),
            }
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}
