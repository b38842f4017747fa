//! `jitgate why --pr`: the decisions on the jobs of a pull request, before and after they exist.

use super::args::Args;
use super::job::{decision_lines, list, word};
use crate::app::pull_preview::{self, PreviewError, PullPreview, Source};
use crate::cli::credentials::CredentialArgs;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::table::or_dash;
use crate::config::Config;
use crate::domain::decision::Decision;
use crate::domain::ids::RepositoryName;
use crate::domain::reason::Reason;
use crate::ports;
use crate::runtime::{self, Store};
use crate::telemetry::one_line;
use anyhow::anyhow;
use serde_json::json;
use std::sync::Arc;

/// The name of the instance of this command, which makes no runners.
const INSTANCE: &str = "why";

/// Runs `why --pr`.
pub(super) async fn run(args: &Args, number: u64, session: &Session) -> Outcome {
    let config = args.credentials.configuration(session).await?;
    let repository = args.which.configured(&config)?;
    // Checks the credentials.
    CredentialArgs::open(&config, session)?;
    let store = store(&config, session)?;
    let ctx = runtime::build_context(&config, &session.clock, &store, None, INSTANCE, Arc::new(()))?;
    let name = &repository.name;
    let preview = pull_preview::preview(&ctx, &repository, number, &args.workflow).await;
    let preview = preview.map_err(|error| match error {
        PreviewError::GitHub(failure) => unanswered(name, number, &failure),
        PreviewError::Store(failure) => Failure::of_store(failure),
    })?;
    let Some(preview) = preview else {
        let error = anyhow!("{name}: GitHub knows no pull request {number}");
        return Err(Failure::new(Exit::Github, error).remedy(
            "check the number, which is not that of an issue, and that the app or token can read the pull requests of the \
             repository",
        ));
    };
    let json = json!({
        "repository": name, "workflow": args.workflow, "pull_request": preview.pull_request,
        "from_fork": preview.from_fork, "trust": preview.imagined.first().map(|decision| &decision.trust),
        "imagined": preview.imagined, "jobs": preview.jobs,
    });
    let lines = lines(name, &args.workflow, &preview);
    session.answer(&json, |out| {
        lines.iter().try_for_each(|line| writeln!(out, "{}", one_line(line)))
    })?;
    let is_open = |reason: &Reason| matches!(reason, Reason::GitHubUnavailable | Reason::RateLimited);
    if preview
        .imagined
        .iter()
        .any(|decision| decision.reasons().iter().any(|reason| is_open(reason)))
    {
        let error = anyhow!("{name}: GitHub did not answer a question about pull request {number}");
        return Err(Failure::new(Exit::Github, error)
            .remedy("check the permissions of the credentials with `jitgate verify`, then run the command again; --log warn shows the question"));
    }
    Ok(Exit::Done)
}

/// Opens the store, whose records are a part of the facts. Without a store there are none yet.
fn store(config: &Config, session: &Session) -> Result<Store, Failure> {
    let failure = match session.store() {
        Ok(store) => return Ok(store.clone()),
        Err(failure) => failure,
    };
    output::report(&format!(
        "{}\njitgate: warning: a rollback, a stop and a quarantine are not known",
        failure.as_warning()
    ));
    Ok(runtime::empty_store(config, Arc::clone(&session.clock)))
}

fn unanswered(name: &RepositoryName, number: u64, failure: &ports::Failure) -> Failure {
    Failure::of_github(
        anyhow!("{name}: cannot judge pull request {number}: {failure}"),
        failure,
        "give the app or token the permissions Pull requests (read) and Actions (read) on the repository, or use other \
         credentials (--token-source)",
    )
}

fn lines(name: &RepositoryName, workflow: &str, preview: &PullPreview) -> Vec<String> {
    let pull = &preview.pull_request;
    let author = or_dash(pull.pull.author.as_ref().map(|author| &author.login));
    let state = if pull.pull.open { "open" } else { "closed" };
    let from = if preview.from_fork {
        "a fork"
    } else {
        "the repository itself"
    };
    let mut lines = vec![
        format!(
            "pull request #{} of {name}  {state}, by {author}, from {from}",
            pull.pull.number
        ),
        format!("  {:<11}{}", "commit", pull.pull.head_sha),
        format!("  {:<11}{}", "branch", pull.branch),
    ];
    for decision in &preview.imagined {
        lines.push(String::new());
        let labels = list(&decision.job.labels);
        lines.push(format!(
            "a job of {workflow} with the labels {labels} would be decided so"
        ));
        lines.extend(without_time(decision));
    }
    for job in &preview.jobs {
        lines.push(String::new());
        let source = match job.source {
            Source::Recorded => "recorded",
            Source::Now => "no record; decided now",
        };
        lines.push(format!(
            "job {}  {}  of run {}, {}: {source}",
            job.id,
            job.name,
            job.run_id,
            word(&job.status)
        ));
        lines.extend(decision_lines(&job.decision, &[]));
    }
    if preview.jobs.is_empty() {
        lines.push(String::new());
        lines.push("GitHub shows no job of this commit".to_owned());
    }
    lines
}

/// Returns the decision on an imagined job as text. Its time is that of the command.
fn without_time(decision: &Decision) -> Vec<String> {
    let lines = decision_lines(decision, &[]);
    lines
        .into_iter()
        .filter(|line| !line.trim_start().starts_with("decided"))
        .collect()
}
