//! `jitgate repository`: the pinned ids behind the configured names.

use super::exit::{Exit, Failure, Outcome};
use super::one_repository::OneRepository;
use super::output;
use super::session::Session;
use crate::app::repositories::pins;
use crate::app::settings::Repository;
use crate::domain::alert::inert;
use crate::domain::ids::RepositoryName;
use crate::domain::pin::{RepositoryIds, Shown};
use crate::ports::GitHub;
use crate::ports::github::Purpose;
use crate::runtime;
use crate::telemetry::one_line;
use anyhow::anyhow;
use clap::Subcommand;
use serde_json::json;

/// Maximum length of a stored reason, in characters.
const MAX_WHY: usize = 500;
/// Maximum length of the stored name of a person, in characters.
const MAX_NAME: usize = 100;

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
    /// Reason for the acceptance; stored with the ids
    #[arg(long, value_name = "TEXT", required = true)]
    pub why: String,
    /// Name of the person. By default the login name
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// Runs `repository`.
pub(super) async fn run(args: Args, session: &Session) -> Outcome {
    let Command::Accept(args) = args.command;
    let why = inert(args.why.trim(), MAX_WHY);
    if why.is_empty() {
        let error = anyhow!("--why is empty, but the reason is stored as evidence");
        return Err(Failure::new(Exit::Usage, error).remedy("give the reason why the repository is the right one"));
    }
    let by = inert(&args.by.clone().unwrap_or_else(runtime::login_name), MAX_NAME);
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
    pin(session, &repository, &shown, (&by, &why)).await
}

async fn ask(github: &dyn GitHub, name: &RepositoryName) -> Result<Shown, Failure> {
    let remedy = "after a rename set repositories.full_name to the new name; otherwise give the app or token access";
    match github.repository(name, Purpose::Judge).await {
        Ok(Some(shown)) => Ok(shown),
        Ok(None) => Err(Failure::new(Exit::Negative, anyhow!("{name}: unknown to GitHub")).remedy(remedy)),
        Err(failure) => Err(Failure::of_github(anyhow!("{name}: {failure}"), &failure, remedy)),
    }
}

async fn pin(session: &Session, repository: &Repository, shown: &Shown, (by, why): (&str, &str)) -> Outcome {
    let (ledger, name) = (session.store()?.ledger.as_ref(), &repository.name);
    let old = pins::pinned(ledger, repository).await.map_err(Failure::of_store)?;
    let changed = old != shown.ids;
    if changed {
        pins::accept(ledger, name, shown.ids, (by, why), session.clock.now())
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
        "by": changed.then_some(by), "why": changed.then_some(why),
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
