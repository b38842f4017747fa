//! `jitgate repository accept`: pins what GitHub shows now under a configured name.

use super::args::Accept;
use crate::adapters::clock::SystemClock;
use crate::app::repositories::pins;
use crate::app::settings::Repository;
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::{output, store};
use crate::config::Config;
use crate::domain::alert::inert;
use crate::domain::ids::RepositoryName;
use crate::domain::pin::{RepositoryIds, Shown};
use crate::ports::github::Purpose;
use crate::ports::{Clock, GitHub};
use crate::runtime::{self, Store};
use crate::telemetry::one_line;
use anyhow::anyhow;
use serde_json::json;
use std::sync::Arc;

/// Longest reason that is kept, in characters.
const MAX_WHY: usize = 500;
/// Longest name of a person that is kept, in characters.
const MAX_NAME: usize = 100;

pub(super) fn run(args: &Accept, global: &Global) -> Outcome {
    let named = args.which.name()?;
    let why = inert(args.why.trim(), MAX_WHY);
    if why.is_empty() {
        let error = anyhow!("--why is empty, and it is kept for whoever asks later");
        return Err(Failure::new(Exit::Usage, error).remedy("say why the repository is right"));
    }
    let by = inert(&args.by.clone().unwrap_or_else(runtime::login_name), MAX_NAME);
    store::with(global, async |config, store| {
        let repository = meant(config, named.as_ref())?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let github = runtime::open_github(config, &clock, Arc::new(()))?;
        let shown = ask(github.as_ref(), &repository.name).await?;
        let configured = repository.configured_ids;
        if configured.contradict(&shown.ids) {
            let error = anyhow!(
                "{}: GitHub shows {}, and the configuration says {configured}",
                repository.name,
                shown.ids
            );
            return Err(Failure::new(Exit::Negative, error)
                .remedy("if GitHub is right, change id and owner_id of that [[repositories]] table"));
        }
        accept(config, store, &repository, &shown, (&by, &why), &clock, global).await
    })
}

/// The configured repository that is meant.
fn meant(config: &Config, named: Option<&RepositoryName>) -> Result<Repository, Failure> {
    let mut repositories = runtime::repositories(config);
    repositories.retain(|repository| named.is_none_or(|named| repository.name.matches(named.as_str())));
    match (repositories.len(), repositories.pop(), named) {
        (1, Some(only), _) => Ok(only),
        (0, _, Some(named)) => {
            let remedy = format!("add a [[repositories]] table with full_name = \"{named}\"");
            Err(Failure::new(Exit::Configuration, anyhow!("{named} is not configured")).remedy(remedy))
        }
        (0, ..) => Err(
            Failure::new(Exit::Configuration, anyhow!("no repository is configured"))
                .remedy("add a [[repositories]] table with full_name = \"OWNER/NAME\""),
        ),
        _ => Err(
            Failure::new(Exit::Usage, anyhow!("more than one repository is configured"))
                .remedy("say which one: --repo OWNER/NAME"),
        ),
    }
}

async fn ask(github: &dyn GitHub, name: &RepositoryName) -> Result<Shown, Failure> {
    let remedy =
        "after a rename set repositories.full_name to the new name; otherwise see that the app or token has access";
    match github.repository(name, Purpose::Judge).await {
        Ok(Some(shown)) => Ok(shown),
        Ok(None) => {
            Err(Failure::new(Exit::Negative, anyhow!("{name}: GitHub shows no such repository")).remedy(remedy))
        }
        Err(failure) => Err(Failure::new(Exit::Github, anyhow!("{name}: {failure}")).remedy(remedy)),
    }
}

async fn accept(
    config: &Config,
    store: &Store,
    repository: &Repository,
    shown: &Shown,
    (by, why): (&str, &str),
    clock: &Arc<dyn Clock>,
    global: &Global,
) -> Outcome {
    let (ledger, name) = (store.ledger.as_ref(), &repository.name);
    let old = pins::pinned(ledger, repository).await.map_err(store::failed)?;
    let changed = old != shown.ids;
    if changed {
        pins::accept(ledger, name, shown.ids, (by, why), clock.now())
            .await
            .map_err(store::failed)?;
    }
    let alerts = runtime::open_alerts(config, clock, store, Arc::new(()))?;
    for key in [pins::taken_over(name), pins::renamed(name)] {
        alerts.over(&key, None).await.map_err(store::failed)?;
    }
    if !name.matches(&shown.full_name) {
        output::complain(&format!(
            "jitgate: GitHub calls it {} now; set repositories.full_name to that, or its deliveries are ignored",
            one_line(&shown.full_name)
        ));
    }
    if global.json {
        output::print_json(&json!({
            "repository": name, "old": old, "new": shown.ids, "changed": changed,
            "by": changed.then_some(by), "why": changed.then_some(why),
        }))?;
        return Ok(Exit::Done);
    }
    output::print(|out| {
        writeln!(out, "{name}")?;
        writeln!(out, "  old  {}", in_words(&old))?;
        writeln!(out, "  new  {}", in_words(&shown.ids))?;
        match changed {
            true => writeln!(out, "accepted by {by}: {why}"),
            false => writeln!(out, "it is pinned already"),
        }
    })?;
    Ok(Exit::Done)
}

fn in_words(ids: &RepositoryIds) -> String {
    match ids.id {
        Some(_) => ids.to_string(),
        None => "never seen".to_owned(),
    }
}
