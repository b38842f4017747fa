//! `jitgate pool scale`.

use super::args::{BoundArgs, Scale};
use super::{status, worker_settings};
use crate::adapters::private_file::{self, PUBLIC_MODE};
use crate::app::pool::scale::{self, Incomplete, ScaleRequest, ScaleStatus, Scaling};
use crate::cli::credentials::CredentialArgs;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::domain::ids::RepositoryName;
use crate::domain::scale::{Control, Inventory, MissingTarget};
use crate::ports;
use crate::runtime::{self, StartError};
use anyhow::anyhow;
use serde::Serialize;
use serde_json::Map;
use std::io::{self, Write};
use std::path::Path;

/// The inventory and the result.
#[derive(Serialize)]
struct Answer<'a> {
    inventory: &'a Inventory,
    status: ScaleStatus<'a>,
}

/// Runs `pool scale`.
pub(super) async fn run(args: &Scale, session: &Session) -> Outcome {
    check_files(args)?;
    let config = args.credentials.strict(session, Map::new()).await?.config;
    let repository = args.which.configured(&config)?;
    let github = CredentialArgs::open(&config, session)?;
    let ledger = session.store()?.ledger.as_ref();
    let configured = status::configured(&config);
    let control = if args.reset {
        Control::new(
            configured.min,
            configured.max,
            Some(configured.target),
            MissingTarget::Max,
        )
        .map_err(|error| Failure::new(Exit::Configuration, error))?
    } else {
        let (min, max) = (configured.min, configured.max);
        worker_settings::control(&args.bounds, min, max, args.bounds.target, MissingTarget::Min)?
    };
    let state_dir = &config.server.state_dir;
    let known = runtime::pool_name(state_dir);
    let request = ScaleRequest {
        pool: known.as_deref(),
        control,
        reset: args.reset,
        force_remove_busy: args.force_remove_busy,
        configured,
        scope: &repository.scope,
        has_worker: status::holder(&config)?.is_some(),
    };
    let scaling = scale::plan(ledger, github.as_ref(), &request)
        .await
        .map_err(|incomplete| match incomplete {
            Incomplete::Store(failure) => Failure::of_store(failure),
            Incomplete::GitHub(failure) => unlisted(&repository.name, &failure),
        })?;
    if !scaling.changes {
        session.note_unchanged();
    }
    if !args.dry_run {
        let pool = match known {
            Some(pool) => pool,
            None => new_name(state_dir)?,
        };
        let origin = args.person.origin(session.clock.now());
        let stored = scale::act(ledger, &pool, config.store.retention, &scaling, &origin).await;
        stored.map_err(Failure::of_store)?;
        write_file(args.inventory_out.as_deref(), &scaling.plan.inventory)?;
        write_file(args.status_out.as_deref(), &scaling.status(false))?;
    }
    let answer = Answer {
        inventory: &scaling.plan.inventory,
        status: scaling.status(args.dry_run),
    };
    session.answer(&answer, |out| print(out, &scaling, args.dry_run))?;
    Ok(Exit::Done)
}

/// Returns the bounds of the flags in words.
pub(super) fn in_words(args: &Scale) -> String {
    if args.reset {
        return "reset".to_owned();
    }
    let BoundArgs { min, max, target } = args.bounds;
    let given = [("min", min), ("max", max), ("target", target)];
    let words = given
        .into_iter()
        .filter_map(|(name, bound)| Some(format!("{name} {}", bound?)));
    words.collect::<Vec<_>>().join(", ")
}

/// Makes the name of a pool that no worker has used yet.
fn new_name(state_dir: &Path) -> Result<String, Failure> {
    let named = runtime::prepare_state_dir(state_dir).and_then(|()| runtime::shared_instance(state_dir));
    Ok(named.map_err(StartError::Identity)?.name)
}

fn check_files(args: &Scale) -> Result<(), Failure> {
    if args.inventory_out.is_some() && args.inventory_out == args.status_out {
        let error = anyhow!("--inventory-out and --status-out name the same file");
        return Err(Failure::new(Exit::Usage, error).remedy("use two files"));
    }
    Ok(())
}

/// Returns the failure of a list of runners that GitHub did not return. Nothing has changed.
fn unlisted(repository: &RepositoryName, failure: &ports::Failure) -> Failure {
    let text = failure.to_string();
    let answered = |status: &str| text.contains(&format!("answered {status}"));
    let refused = if answered("404") {
        "check the name of the repository, and that the app is installed there or the token can read it"
    } else if answered("403") {
        "give the app or token the permission Administration (read and write), or Self-hosted runners for an organization"
    } else if answered("409") || answered("422") {
        "run the command again; if GitHub repeats its answer, follow its message"
    } else {
        "renew the token, or correct the id and the private key of the app"
    };
    let what = format!("{repository}: cannot list the runners, and nothing is changed");
    Failure::of_github(anyhow!("{what}: {failure}"), failure, refused)
}

fn write_file(path: Option<&Path>, content: &impl Serialize) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    let mut text = serde_json::to_vec_pretty(content).map_err(|error| Failure::new(Exit::Bug, error))?;
    text.push(b'\n');
    private_file::replace(path, PUBLIC_MODE, &text).map_err(|error| {
        Failure::new(Exit::Usage, error)
            .remedy("name a file in a folder that exists and that this user can write to; the bounds are stored")
    })
}

fn print(out: &mut dyn Write, scaling: &Scaling, dry_run: bool) -> io::Result<()> {
    let control = &scaling.plan.inventory.control;
    let what = match (dry_run, scaling.changes) {
        (true, _) => "would be",
        (false, true) => "now",
        (false, false) => "already",
    };
    writeln!(
        out,
        "the bounds are {what} min {}, max {}, target {}",
        control.min, control.max, control.target_effective
    )?;
    if scaling.plan.operations.is_empty() {
        writeln!(out, "nothing is to do")?;
    }
    for step in &scaling.plan.operations {
        let name = step.runner.as_deref().unwrap_or("the pool");
        writeln!(out, "  {}  {name}: {}", step.action.as_str(), step.detail)?;
    }
    for warning in &scaling.plan.warnings {
        let name = warning.runner.as_deref().unwrap_or("the pool");
        writeln!(out, "warning: {}: {name}: {}", warning.code, warning.message)?;
    }
    Ok(())
}
