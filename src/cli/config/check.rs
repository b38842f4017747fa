//! `jitgate config check`: problems and risks of the configuration, possible losses of the store, the receivers of alerts,
//! and the ability of this machine to run runners.

use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::global::Global;
use crate::cli::sources::configuration;
use crate::cli::{findings, output};
use crate::config::{AlertPlace, Loaded, Problems, Role};
use crate::domain::finding::{Finding, Severity, Subject};
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
    let bounds = runtime::overridden_bounds(&loaded.config).await;
    if global.json {
        let host_findings = |severity| -> Vec<_> {
            let those = host.iter().filter(|finding| finding.severity == severity);
            those
                .map(|finding| json!({"what": finding.what, "remedy": finding.remedy}))
                .collect()
        };
        output::print_json(&json!({
            "ok": true, "file": loaded.file, "problems": [], "warnings": loaded.warnings, "missing_for_serve": missing,
            "store": match &store {
                Ok(promises) => json!({"promises": promises}),
                Err(unasked) => json!({"unknown": unasked.to_string()}),
            },
            "pool": bounds.as_ref().map(|finding| json!({"what": finding.what, "remedy": finding.remedy})),
            "alerts": loaded.config.alerts.places(),
            "host": {"problems": host_findings(Severity::Problem), "warnings": host_findings(Severity::Warning)},
        }))?;
    } else {
        let warnings = loaded.warnings.iter().map(|problem| problem.finding(Severity::Warning));
        let missing = missing.iter().map(|problem| problem.finding(Severity::Problem));
        let found: Vec<Finding> = warnings
            .chain(bounds)
            .chain(store_findings(&store))
            .chain(host)
            .chain(missing)
            .collect();
        print(&loaded, &found)?;
    }
    Ok(Exit::Done)
}

fn print_problems(Problems(problems): &Problems) -> Outcome {
    output::print_json(&json!({"ok": false, "problems": problems, "warnings": []}))?;
    Ok(Exit::Configuration)
}

/// A store that does not answer, or does not exist yet, does not make the configuration wrong.
fn store_findings(store: &Result<Vec<Promise>, Unasked>) -> Vec<Finding> {
    match store {
        Ok(promises) => promises.iter().map(Promise::finding).collect(),
        Err(unasked) => vec![Finding::warning(
            Subject::Store,
            format!("it is unknown what the store can lose: {unasked}"),
            "start the store, or correct store.url",
        )],
    }
}

fn shown(place: AlertPlace) -> String {
    match place.sink {
        "log" => place.to,
        sink => format!("{sink} at {}", place.to),
    }
}

/// Prints the findings. A problem for `serve` is no error here: the configuration may be for another role or machine.
fn print(loaded: &Loaded, found: &[Finding]) -> Result<(), Failure> {
    let file = loaded
        .file
        .as_ref()
        .map_or_else(|| "defaults".to_owned(), |file| file.display().to_string());
    output::print(|out| {
        findings::print(out, found)?;
        let places: Vec<String> = loaded.config.alerts.places().into_iter().map(shown).collect();
        writeln!(out, "alerts: {}", one_line(&places.join("; ")))?;
        if found.iter().any(Finding::is_problem) {
            writeln!(out, "not ready for `jitgate serve` here: see the problems above")?;
        }
        let repositories = loaded.config.repositories.len();
        writeln!(out, "ok: {}, repositories: {repositories}", one_line(&file))
    })
}
