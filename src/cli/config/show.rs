//! `jitgate config show`: every setting and where it came from. Secrets are masked before they get here.

use crate::cli::args::Global;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::cli::sources::configuration;
use crate::telemetry::one_line;
use serde_json::{Map, Value, json};

pub(super) fn run(global: &Global) -> Outcome {
    let settings = configuration(global)?.settings;
    if global.json {
        let shown: Map<String, Value> = settings
            .into_iter()
            .map(|(key, setting)| {
                let value: Value = setting.value.and_then(|text| text.parse().ok()).unwrap_or_default();
                let origin = setting.origin.map(|origin| origin.to_string());
                (key, json!({"value": value, "from": origin}))
            })
            .collect();
        output::print_json(&shown)?;
    } else {
        output::print(|out| {
            for (key, setting) in &settings {
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
