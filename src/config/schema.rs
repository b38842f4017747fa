//! The JSON Schema of the configuration.
//!
//! The schema is derived from the raw types, and its defaults from `default.toml`. It is the only definition of the
//! keys, their types and bounds, and the secrets among them (`writeOnly`).

use super::layer::Layer;
use super::raw::RawConfig;
use schemars::generate::SchemaSettings;
use serde_json::Value;

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
