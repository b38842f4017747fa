//! The configuration of a worker with the flags of `pool supervise` and `pool reconcile`.

use super::args::{BoundArgs, WorkerArgs};
use crate::cli::exit::{Exit, Failure};
use crate::cli::session::Session;
use crate::config::{Config, Loaded, Role};
use crate::domain::scale::{Control, MissingTarget};
use serde_json::{Map, Value, json};

/// Returns the configuration of a worker. An invalid configuration is always an error.
pub(super) async fn load(args: &WorkerArgs, session: &Session) -> Result<Loaded, Failure> {
    let mut loaded = args.credentials.strict(session, Map::new()).await?;
    if let Some(named) = args.which.name()?
        && loaded.config.repositories.is_empty()
    {
        loaded = args.credentials.strict(session, only(named.as_str())).await?;
    }
    let config = &mut loaded.config;
    if args.which.repo.is_some() {
        args.which.configured(config)?;
    }
    apply(&args.bounds, config)?;
    // No job may see the files of the flags either.
    let files = [&args.credentials.token_file, &args.credentials.app.app_private_key_file];
    config.secret_files.extend(files.into_iter().flatten().cloned());
    config.for_serve(Role::Worker)?;
    Ok(loaded)
}

fn only(repository: &str) -> Map<String, Value> {
    Map::from_iter([("repositories".to_owned(), json!([{"full_name": repository}]))])
}

/// Returns the bounds of a worker with these flags. A configured target is not kept if the flags replace the maximum
/// without it.
pub(in crate::cli) fn bounds(args: &BoundArgs, config: &Config) -> Result<Control, Failure> {
    let runners = &config.runners;
    let kept = args.max.is_none().then_some(runners.target);
    control(args, runners.min, runners.max, args.target.or(kept), MissingTarget::Max)
}

/// Replaces the configured bounds.
fn apply(args: &BoundArgs, config: &mut Config) -> Result<(), Failure> {
    let control = bounds(args, config)?;
    let runners = &mut config.runners;
    runners.min = control.min;
    runners.max = control.max;
    runners.target = control.target_effective;
    Ok(())
}

/// Returns the bounds of the flags, over the configured ones.
pub(super) fn control(
    args: &BoundArgs,
    min: u32,
    max: u32,
    target: Option<u32>,
    missing: MissingTarget,
) -> Result<Control, Failure> {
    let (min, max) = (args.min.unwrap_or(min), args.max.unwrap_or(max));
    Control::new(min, max, target, missing)
        .map_err(|error| Failure::new(Exit::Usage, error).remedy("set both with --min and --max, the minimum first"))
}
