//! The hard stop of `jitgate routing disable --hard`, and its end in `jitgate routing enable`.

use super::place::Place;
use crate::app::rollout::hard::{self, Connections};
use crate::app::settings::Repository;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output;
use crate::cli::session::Session;
use crate::domain::rollout::Origin;
use crate::ports;
use crate::ports::github::RunnerScope;
use crate::runtime;
use anyhow::anyhow;

/// Takes the runners of the repository away. Routing is off already.
pub(super) async fn stop(place: &Place, session: &Session, origin: &Origin) -> Result<(), Failure> {
    let repository = place.configured()?;
    let recorded = record(place, repository, session, Some(origin)).await;
    let administration = runtime::open_administration(&place.config, &session.clock)?;
    let connections = Connections {
        github: place.github.as_ref(),
        administration: administration.as_ref(),
    };
    let stop = hard::stop(connections, repository, &place.config.runners.name_prefix).await;
    let stop = stop.map_err(|failure| refused(repository, &failure))?;
    if let Some(group) = stop.runner_group {
        output::report(&format!(
            "jitgate: {}: runner group {group} no longer serves it",
            place.name
        ));
    }
    for name in &stop.removed {
        output::report(&format!("jitgate: {}: runner {name} is removed", place.name));
    }
    for name in &stop.busy {
        output::report(&format!(
            "jitgate: {}: warning: runner {name} runs a job until its end; stop it with: jitgate pool scale --target 0 \
             --force-remove-busy",
            place.name
        ));
    }
    // A runner group stops new runners at GitHub. Without a group only the record does.
    match (recorded, stop.runner_group) {
        (Ok(()), _) => Ok(()),
        (Err(failure), Some(_)) => {
            output::report(&format!(
                "{failure}\njitgate: warning: the stop is not recorded in the store"
            ));
            Ok(())
        }
        (Err(failure), None) => Err(failure.remedy("stop jitgate on each machine, so that it makes no more runners")),
    }
}

/// Undoes a hard stop before routing is switched on.
pub(super) async fn restore(place: &Place, repository: &Repository, session: &Session) -> Result<(), Failure> {
    if let RunnerScope::Organization(_) = repository.scope {
        let administration = runtime::open_administration(&place.config, &session.clock)?;
        let restored = hard::restore(administration.as_ref(), repository).await;
        if restored.map_err(|failure| refused(repository, &failure))? {
            let group = repository.runner_group_id;
            output::report(&format!(
                "jitgate: {}: runner group {group} serves it again",
                place.name
            ));
        }
    }
    record(place, repository, session, None).await
}

/// Shows the effect of a hard stop after that of the variable.
pub(super) async fn preview<F>(place: &Place, session: &Session, variable: impl FnOnce() -> F) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let repository = place.configured()?;
    variable().await?;
    let what = match &repository.scope {
        RunnerScope::Organization(_) => format!("runner group {} would no longer serve it", repository.runner_group_id),
        RunnerScope::Repository(_) => "jitgate would make no runner for it, and remove its idle runners".to_owned(),
    };
    if !session.global.json {
        output::print(|out| writeln!(out, "{}: {what}", place.name))?;
    }
    Ok(Exit::Done)
}

async fn record(
    place: &Place,
    repository: &Repository,
    session: &Session,
    stopped: Option<&Origin>,
) -> Result<(), Failure> {
    let ledger = session.store()?.ledger.as_ref();
    let recorded = hard::record(ledger, place.config.store.retention, repository, stopped).await;
    recorded.map_err(Failure::of_store)
}

fn refused(repository: &Repository, failure: &ports::Failure) -> Failure {
    let error = anyhow!(
        "{}: cannot change the access to its runners: {failure}",
        repository.name
    );
    let refused = "use the token of an administrator (--token-source gh), or remove the repository by hand under Settings > \
                   Actions > Runner groups";
    Failure::of_github(error, failure, refused)
}
