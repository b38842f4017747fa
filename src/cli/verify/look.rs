//! Checks each part: configuration, store, GitHub, this machine and the running process.

use super::{github, local};
use crate::adapters::sqlite::OpenError;
use crate::adapters::tools::ProcessTools;
use crate::app::verify::services;
use crate::config::{Host, Loaded, Role, StoreUrl};
use crate::domain::finding::{Finding, Severity, Subject};
use crate::domain::ids::RepositoryName;
use crate::ports::Clock;
use crate::ports::promise::Promise;
use crate::runtime::{self, Silent, Unasked, WiringError};
use std::path::Path;

/// Checks everything; `only` restricts the repositories.
pub(super) async fn all(
    loaded: &Loaded,
    only: Option<&RepositoryName>,
    status_file: &Path,
    clock: &dyn Clock,
) -> Vec<Finding> {
    let config = &loaded.config;
    let (store, tried, open, bounds, github, gate, services) = futures::join!(
        runtime::promises(config),
        runtime::try_out_store(config),
        runtime::open_place(config),
        runtime::overridden_bounds(config),
        github::all(loaded, only),
        runtime::running_gate(config),
        services::check(&ProcessTools)
    );
    let mut found = configuration(loaded, only);
    found.extend(bounds);
    found.extend(local::secret_files(config));
    found.extend(local::webhook_secrets(config));
    match store {
        Ok(promises) => {
            found.extend(promises.iter().map(Promise::finding));
            found.push(trial(tried));
            found.extend(open_place(open));
        }
        Err(Unasked::Closed(WiringError::Sqlite(missing @ OpenError::Missing { .. }))) => {
            found.push(not_made_yet(loaded, &missing));
        }
        Err(unasked) => found.push(Finding::problem(
            Subject::Store,
            format!("its durability is unknown: {unasked}"),
            "check that store.url is correct and that its server is reachable",
        )),
    }
    found.extend(github);
    found.push(local::refreshed_token(status_file, clock.now()));
    found.extend(host(loaded));
    found.extend(local::virtual_machines(config, clock.now()));
    found.extend(services);
    let port = local::public_port(config.server.listen, gate.is_ok()).await;
    found.push(match gate {
        Ok(place) => Finding::ok(Subject::Process, format!("it runs and answers at {place}")),
        Err(silent) => Finding::warning(
            Subject::Process,
            reason(silent),
            "start `jitgate serve`, or read its log",
        ),
    });
    found.extend(port);
    found
}

/// Returns the message with its innermost cause, since the causes between repeat the address.
fn reason(silent: Silent) -> String {
    let what = silent.to_string();
    let cause = anyhow::Error::new(silent).root_cause().to_string();
    if cause == what {
        what
    } else {
        format!("{what}: {cause}")
    }
}

fn configuration(loaded: &Loaded, only: Option<&RepositoryName>) -> Vec<Finding> {
    let config = &loaded.config;
    let mut found = vec![match &loaded.file {
        Some(file) => Finding::ok(Subject::Configuration, format!("it is read from {}", file.display())),
        None => Finding::ok(
            Subject::Configuration,
            "there is no file; defaults and environment variables apply",
        ),
    }];
    found.extend(loaded.warnings.iter().map(|problem| problem.finding(Severity::Warning)));
    if let Err(missing) = config.for_serve(Role::All) {
        found.extend(missing.0.iter().map(|problem| problem.finding(Severity::Problem)));
    }
    let state_dir = &config.server.state_dir;
    if let Err(error) = runtime::can_write(state_dir) {
        found.push(Finding::problem(
            Subject::Configuration,
            format!("server.state_dir: {} cannot be used: {error}", state_dir.display()),
            "choose a place that this user can write to",
        ));
    }
    if let Err(error) = runtime::check_state_dir(state_dir) {
        let remedy = error.remedy().unwrap_or_default();
        found.push(Finding::problem(
            Subject::Configuration,
            format!("server.state_dir: {error}"),
            remedy,
        ));
    }
    let is_there = |only: &RepositoryName| {
        config
            .repositories
            .iter()
            .any(|repository| repository.name.matches(only.as_str()))
    };
    match only {
        None if config.repositories.is_empty() => found.push(Finding::problem(
            Subject::Configuration,
            "no repository is configured, so all deliveries are ignored",
            "add a [[repositories]] table with full_name = \"OWNER/NAME\"",
        )),
        Some(only) if !is_there(only) => found.push(Finding::problem(
            Subject::Configuration,
            format!("{only} is not configured, so its deliveries are ignored"),
            format!("add a [[repositories]] table with full_name = \"{only}\""),
        )),
        _ => {}
    }
    found
}

/// Judges a missing database: `serve` creates it if the folder is writable.
fn not_made_yet(loaded: &Loaded, missing: &OpenError) -> Finding {
    let StoreUrl::Sqlite(path) = &loaded.config.store.url else {
        return Finding::problem(Subject::Store, missing.to_string(), "correct store.url");
    };
    match runtime::can_write(path.parent().unwrap_or(path)) {
        Ok(()) => Finding::warning(Subject::Store, missing.to_string(), "start `jitgate serve`"),
        Err(error) => Finding::problem(
            Subject::Store,
            format!("{} cannot be made: {error}", path.display()),
            "set store.url to a place that this user can write to",
        ),
    }
}

/// Reports a store that accepts clients without a password where jobs can reach it.
fn open_place(open: Result<Option<String>, Unasked>) -> Option<Finding> {
    let place = open.ok().flatten()?;
    Some(Finding::problem(
        Subject::Store,
        runtime::StartError::Open(place).to_string(),
        runtime::CLOSE_STORE,
    ))
}

fn trial(tried: Result<(), Unasked>) -> Finding {
    match tried {
        Ok(()) => Finding::ok(Subject::Store, "it supports all operations"),
        Err(failure) => Finding::problem(
            Subject::Store,
            format!("an operation fails: {failure}"),
            "Redis: use version 7 or Valkey, and give the user `+@all -@admin -@dangerous +info +config|get` on \
             `~{jitgate:* ~jitgate:* &jitgate:*`. SQLite: see that no other program holds the file, and that this user can \
             write to it and its folder",
        ),
    }
}

fn host(loaded: &Loaded) -> Vec<Finding> {
    let mut found = runtime::inspect_host(&loaded.config);
    if loaded.config.runners.host == Host::Local && !found.iter().any(Finding::is_problem) {
        found.push(Finding::ok(Subject::Host, "this machine can make slots for jobs"));
    }
    found
}
