//! `jitgate config show`: prints every setting with its source. Secrets are already masked here.

use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::cli::session::Session;
use crate::telemetry::one_line;
use serde_json::{Map, Value, json};

pub(super) fn run(session: &Session) -> Outcome {
    let settings = &session.loaded()?.settings;
    if session.global.json {
        let shown: Map<String, Value> = settings
            .iter()
            .map(|(key, setting)| {
                let value: Value = setting
                    .value
                    .as_ref()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or_default();
                let origin = setting.origin.as_ref().map(ToString::to_string);
                (key.clone(), json!({"value": value, "from": origin}))
            })
            .collect();
        output::print_json(&shown)?;
    } else {
        output::print(|out| {
            for (key, setting) in settings {
                match (&setting.value, &setting.origin) {
                    (Some(value), Some(origin)) => {
                        let line = format!("{key} = {value}  # from {origin}");
                        writeln!(out, "{}", one_line(&line))?;
                    }
                    _ => writeln!(out, "# {key} is not set")?,
                }
            }
            Ok(())
        })?;
    }
    Ok(Exit::Done)
}
