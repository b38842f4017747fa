//! `jitgate config check`: everything that is wrong, or risky.

use crate::cli::args::Global;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::cli::sources::try_configuration;
use crate::config::{Loaded, Problem, Problems, Role};
use crate::telemetry::one_line;
use serde_json::json;

pub(super) fn run(global: &Global) -> Outcome {
    let loaded = match try_configuration(global) {
        Ok(loaded) => loaded,
        Err(problems) if global.json => return print_problems(&problems),
        Err(problems) => return Err(problems.into()),
    };
    let missing = loaded
        .config
        .for_serve(Role::All)
        .err()
        .map_or_else(Vec::new, |problems| problems.0);
    if global.json {
        output::print_json(&json!({
            "ok": true, "file": loaded.file, "problems": [], "warnings": loaded.warnings, "missing_for_serve": missing,
        }))?;
    } else {
        print_summary(&loaded, &missing)?;
    }
    Ok(Exit::Done)
}

fn print_problems(Problems(problems): &Problems) -> Outcome {
    output::print_json(&json!({"ok": false, "problems": problems, "warnings": []}))?;
    Ok(Exit::Configuration)
}

fn print_summary(loaded: &Loaded, missing: &[Problem]) -> Result<(), crate::cli::Failure> {
    let file = loaded
        .file
        .as_ref()
        .map_or_else(|| "defaults".to_owned(), |file| file.display().to_string());
    output::print(|out| {
        for warning in &loaded.warnings {
            writeln!(out, "warning: {}", one_line(&warning.to_string()))?;
        }
        for problem in missing {
            writeln!(out, "missing for `jitgate serve`: {}", one_line(&problem.to_string()))?;
        }
        let repositories = loaded.config.repositories.len();
        writeln!(out, "ok: {}, repositories: {repositories}", one_line(&file))
    })
}
