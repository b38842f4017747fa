//! `jitgate config check`: everything that is wrong, or risky, what the store can lose, where alerts go, and whether this
//! machine can make runners.

use crate::adapters::hosts::local::{Complaint, Inspection};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::global::Global;
use crate::cli::output;
use crate::cli::sources::configuration;
use crate::config::{AlertPlace, Loaded, Problem, Problems, Role};
use crate::ports::promise::Promise;
use crate::runtime::{self, Unasked};
use crate::telemetry::one_line;
use serde_json::json;

pub(super) async fn run(global: &Global) -> Outcome {
    let loaded = match configuration(global) {
        Ok(loaded) => loaded,
        Err(problems) if global.json => return print_problems(&problems),
        Err(problems) => return Err(problems.into()),
    };
    let missing = loaded
        .config
        .for_serve(Role::All)
        .err()
        .map_or_else(Vec::new, |problems| problems.0);
    let store = runtime::promises(&loaded.config).await;
    let host = runtime::inspect_host(&loaded.config);
    if global.json {
        let told = |complaints: &[Complaint]| -> Vec<_> {
            complaints
                .iter()
                .map(|complaint| json!({"what": complaint.what, "remedy": complaint.remedy}))
                .collect()
        };
        output::print_json(&json!({
            "ok": true, "file": loaded.file, "problems": [], "warnings": loaded.warnings, "missing_for_serve": missing,
            "store": match &store {
                Ok(promises) => json!({"promises": promises}),
                Err(unasked) => json!({"unknown": unasked.to_string()}),
            },
            "alerts": loaded.config.alerts.places(),
            "host": {"problems": told(&host.problems), "warnings": told(&host.warnings)},
        }))?;
    } else {
        let lines = [store_lines(&store), host_lines(&host)].concat();
        print_summary(&loaded, &missing, &lines)?;
    }
    Ok(Exit::Done)
}

fn print_problems(Problems(problems): &Problems) -> Outcome {
    output::print_json(&json!({"ok": false, "problems": problems, "warnings": []}))?;
    Ok(Exit::Configuration)
}

/// One line a setting of the store. That it does not answer, or is not there yet, makes no configuration wrong.
fn store_lines(store: &Result<Vec<Promise>, Unasked>) -> Vec<String> {
    let promises = match store {
        Ok(promises) => promises,
        Err(unasked) => return vec![format!("store: what it can lose is not known yet: {unasked}")],
    };
    let line = |promise: &Promise| {
        let setting = promise.as_set();
        match promise.weakness {
            None => format!("store: {setting} loses nothing"),
            Some(weakness) => format!(
                "warning: store: {setting} can lose {}; remedy: {}",
                weakness.can_lose, weakness.remedy
            ),
        }
    };
    promises.iter().map(line).collect()
}

fn shown(place: AlertPlace) -> String {
    match place.sink {
        "log" => place.to,
        sink => format!("{sink} at {}", place.to),
    }
}

/// One line for each thing that is wrong with this machine. The configuration may be meant for another one.
fn host_lines(host: &Inspection) -> Vec<String> {
    let line = |complaint: &Complaint| format!("{}; remedy: {}", complaint.what, complaint.remedy);
    let problems = host
        .problems
        .iter()
        .map(|problem| format!("missing for runners: {}", line(problem)));
    problems
        .chain(
            host.warnings
                .iter()
                .map(|warning| format!("warning: {}", line(warning))),
        )
        .collect()
}

fn print_summary(loaded: &Loaded, missing: &[Problem], lines: &[String]) -> Result<(), Failure> {
    let file = loaded
        .file
        .as_ref()
        .map_or_else(|| "defaults".to_owned(), |file| file.display().to_string());
    output::print(|out| {
        for warning in &loaded.warnings {
            writeln!(out, "warning: {}", one_line(&warning.to_string()))?;
        }
        for line in lines {
            writeln!(out, "{}", one_line(line))?;
        }
        let places: Vec<String> = loaded.config.alerts.places().into_iter().map(shown).collect();
        writeln!(out, "alerts: {}", one_line(&places.join("; ")))?;
        for problem in missing {
            writeln!(out, "missing for `jitgate serve`: {}", one_line(&problem.to_string()))?;
        }
        let repositories = loaded.config.repositories.len();
        writeln!(out, "ok: {}, repositories: {repositories}", one_line(&file))
    })
}
