//! `jitgate repository`: the pinned ids behind the configured names.

use super::changes::{Asked, recorded};
use super::exit::{Exit, Failure, Outcome};
use super::one_repository::OneRepository;
use super::output;
use super::person::PersonWithReason;
use super::session::Session;
use crate::app::repositories::pins;
use crate::app::settings::Repository;
use crate::domain::ids::RepositoryName;
use crate::domain::pin::{RepositoryIds, Shown};
use crate::domain::rollout::Origin;
use crate::ports::GitHub;
use crate::ports::github::Purpose;
use crate::telemetry::one_line;
use anyhow::anyhow;
use clap::Subcommand;
use serde_json::json;

/// Arguments of `repository`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate repository accept --repo octo-org/chem-model --why \"transferred to octo-org\"")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `repository`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Accept the repository that GitHub shows under a configured name, and pin its ids
    #[command(
        after_help = "jitgate pins the ids of a repository and of its owner when GitHub first shows them, and serves no other repository with
the same name. After a transfer, or after the repository was created anew, this command asks GitHub for the ids, shows
the old and the new ids, and pins the new ones. Compare both before you trust the new repository.

Examples:
  jitgate repository accept --why \"the only configured repository was transferred\"
  jitgate repository accept --repo octo-org/chem-model --why \"transferred to octo-org\" --by alice --json

Exit codes: 0 these ids are pinned; 1 the configuration contains different ids, or GitHub does not know the repository;
4 GitHub did not answer; 5 the store."
    )]
    Accept(Accept),
}

/// Arguments of `repository accept`.
#[derive(Debug, clap::Args)]
pub struct Accept {
    /// Repository; optional if only one is configured
    #[command(flatten)]
    pub which: OneRepository,
    #[command(flatten)]
    pub person: PersonWithReason,
}

/// Runs `repository`.
pub(super) async fn run(args: Args, session: &Session) -> Outcome {
    let Command::Accept(args) = args.command;
    let asked = Asked {
        command: "repository accept",
        subject: args.which.subject(session),
        person: args.person.person(),
        is_dry: false,
    };
    recorded(session, asked, accept(&args, session)).await
}

async fn accept(args: &Accept, session: &Session) -> Outcome {
    let origin = args.person.origin(session.clock.now())?;
    let repository = args.which.configured(session.config()?)?;
    session.store()?;
    let shown = ask(session.github()?.as_ref(), &repository.name).await?;
    let configured = repository.configured_ids;
    if configured.contradict(&shown.ids) {
        let error = anyhow!(
            "{}: GitHub shows {}, but the configuration contains {configured}",
            repository.name,
            shown.ids
        );
        return Err(Failure::new(Exit::Negative, error)
            .remedy("if GitHub is right, change id and owner_id of that [[repositories]] table"));
    }
    pin(session, &repository, &shown, origin).await
}

async fn ask(github: &dyn GitHub, name: &RepositoryName) -> Result<Shown, Failure> {
    let remedy = "after a rename set repositories.full_name to the new name; otherwise give the app or token access";
    match github.repository(name, Purpose::Judge).await {
        Ok(Some(shown)) => Ok(shown),
        Ok(None) => Err(Failure::new(Exit::Negative, anyhow!("{name}: unknown to GitHub")).remedy(remedy)),
        Err(failure) => Err(Failure::of_github(anyhow!("{name}: {failure}"), &failure, remedy)),
    }
}

async fn pin(session: &Session, repository: &Repository, shown: &Shown, origin: Origin) -> Outcome {
    let (by, why) = (origin.by.unwrap_or_default(), origin.why.unwrap_or_default());
    let (ledger, name) = (session.store()?.ledger.as_ref(), &repository.name);
    let old = pins::pinned(ledger, repository).await.map_err(Failure::of_store)?;
    let changed = old != shown.ids;
    if !changed {
        session.note_unchanged();
    } else {
        pins::accept(ledger, name, shown.ids, (&by, &why), origin.at)
            .await
            .map_err(Failure::of_store)?;
    }
    let alerts = session.alerts()?;
    for key in [pins::taken_over(name), pins::renamed(name)] {
        alerts.over(&key, None).await.map_err(Failure::of_store)?;
    }
    if !name.matches(&shown.full_name) {
        output::report(&format!(
            "jitgate: its name at GitHub is now {}; set repositories.full_name to it, or its deliveries are ignored",
            one_line(&shown.full_name)
        ));
    }
    let json = json!({
        "repository": name, "old": old, "new": shown.ids, "changed": changed,
        "by": changed.then_some(&by), "why": changed.then_some(&why),
    });
    session.answer(&json, |out| {
        writeln!(out, "{name}")?;
        writeln!(out, "  old  {}", in_words(&old))?;
        writeln!(out, "  new  {}", in_words(&shown.ids))?;
        match changed {
            true => writeln!(out, "accepted by {by}: {why}"),
            false => writeln!(out, "the ids are already pinned"),
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
