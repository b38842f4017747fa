//! `jitgate jit`: just-in-time configurations for runners that a person starts.

use super::changes::{Asked, recorded};
use super::credentials::CredentialArgs;
use super::exit::{Exit, Failure, Outcome, when_it_passes};
use super::one_repository::OneRepository;
use super::output;
use super::person::Person;
use super::session::Session;
use crate::adapters::private_file::{self, Draft, Existing, PrivateFileError, SECRET_MODE};
use crate::app::jit_request::{self, JitRequestError};
use crate::app::settings::Repository;
use crate::config::Config;
use crate::domain::ids::RepositoryName;
use crate::ports::github::{JitRequest, JitRunner, RunnerScope};
use crate::{ports, runtime};
use anyhow::anyhow;
use clap::{Subcommand, ValueEnum};
use secrecy::ExposeSecret;
use serde_json::json;
use std::path::PathBuf;

/// Requests before the command gives up: each answer may be lost.
const MAX_REQUESTS: usize = 3;
/// Random characters in the name of a runner.
const SUFFIX_CHARS: usize = 8;
/// GitHub's longest name of a runner.
const MAX_NAME_CHARS: usize = 64;
/// The group of runners without another one.
const DEFAULT_GROUP: u64 = 1;

/// Arguments of `jit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  jitgate jit request --repo octo-org/chem-model --out /run/jitgate/jit.json")]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `jit`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Request a just-in-time configuration for one runner
    #[command(
        after_help = "GitHub creates an offline runner. `jitgate runner run --jit-config FILE` starts it for one job.
jitgate's job gate does not protect it: it runs any job whose labels it has. GitHub discards a
configuration that is not used within minutes to hours.

The file contains {\"runner\":{\"id\",\"name\"},\"encoded_jit_config\"} and has mode 0600.

Examples:
  jitgate jit request --repo octo-org/chem-model --out /run/jitgate/jit.json
  jitgate jit request --scope repo --owner octo-org --repo chem-model --runner-group-id 1 \\
      --labels self-hosted,linux,x64,chem-trusted-pr --name-prefix chem-jit \\
      --token-source env --token-env-var GH_TOKEN --out /tmp/jit-config.json
  jitgate jit request --scope org --repo octo-org/chem-model --runner-group-id 3 --out jit.json --dry-run

Exit codes: 0 the file is written; 2 the command line; 3 the file cannot be written or exists,
or there are no credentials; 4 GitHub refuses or gave no answer."
    )]
    Request(Request),
}

/// The place where the runner is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// The repository
    Repo,
    /// The organization that owns it
    Org,
}

/// Arguments of `jit request`.
#[derive(Debug, clap::Args)]
pub struct Request {
    /// Place of the runner. By default the configured one, otherwise `repo`
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<ScopeArg>,
    #[command(flatten)]
    pub which: OneRepository,
    /// Runner group. By default the configured one, otherwise 1
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(1..))]
    pub runner_group_id: Option<u64>,
    /// Labels of the runner, separated by commas. By default the configured ones
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Start of the runner's name; a random word follows. By default the configured prefix
    #[arg(long, value_name = "TEXT")]
    pub name_prefix: Option<String>,
    /// File to write, with mode 0600
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
    /// Show the request without sending it
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub person: Person,
    #[command(flatten)]
    pub credentials: CredentialArgs,
}

/// Runs `jit`.
pub(super) async fn run(args: Args, session: &Session) -> Outcome {
    let Command::Request(args) = args.command;
    let asked = Asked {
        command: "jit request",
        subject: format!("{}, {}", args.which.subject(session), args.out.display()),
        person: args.person.clone(),
        is_dry: args.dry_run,
    };
    recorded(session, asked, request(&args, session)).await
}

/// The request as it will be sent.
struct Plan {
    scope: RunnerScope,
    template: JitRequest,
    names: Vec<String>,
    existing: Existing,
}

async fn request(args: &Request, session: &Session) -> Outcome {
    let config = args.credentials.configuration(session).await?;
    let plan = plan(args, &config)?;
    private_file::check(&args.out, plan.existing).map_err(|error| unwritable(&error))?;
    let (place, prefix) = (place(&plan.scope), plan.template.name.as_str());
    if args.dry_run {
        let steps = [
            format!("request a just-in-time runner {prefix}-* of {place}"),
            format!("write its configuration to {} (mode 0600)", args.out.display()),
        ];
        let json = json!({
            "dry_run": true, "steps": steps, "out": args.out, "labels": plan.template.labels,
            "runner_group_id": plan.template.runner_group_id, "scope": place,
        });
        session.answer(&json, |out| {
            steps.iter().try_for_each(|step| writeln!(out, "would {step}"))
        })?;
        return Ok(Exit::Done);
    }
    let github = CredentialArgs::open(&config, session)?;
    // The draft proves that the file can be written before GitHub makes a runner.
    let draft = Draft::create(&args.out, SECRET_MODE, plan.existing).map_err(|error| unwritable(&error))?;
    let report = |text: &str| output::report(&format!("jitgate: {place}: {text}"));
    let made = jit_request::request_runner(github.as_ref(), &plan.scope, &plan.template, &plan.names, report).await;
    let (name, runner) = made.map_err(|error| refused(&place, &plan.scope, &error))?;
    if let Err(error) = draft.publish(content(&name, &runner).as_bytes()) {
        let removed = jit_request::remove(github.as_ref(), &plan.scope, &name).await;
        let note = removed.map_or_else(
            |error| format!("; {error}"),
            |()| "; the runner is removed again".to_owned(),
        );
        let failure = anyhow!("{error}{note}");
        return Err(Failure::new(Exit::Configuration, failure).remedy(error.remedy("--out")));
    }
    output::report(&format!(
        "jitgate: warning: no job gate protects runner {name}: it runs any job with its labels ({})",
        plan.template.labels.join(", ")
    ));
    let json = json!({
        "runner": {"id": runner.id, "name": name}, "scope": place, "labels": plan.template.labels,
        "runner_group_id": plan.template.runner_group_id, "out": args.out,
    });
    session.answer(&json, |out| {
        writeln!(
            out,
            "{place}: runner {name} ({}), configuration in {}",
            runner.id,
            args.out.display()
        )
    })?;
    Ok(Exit::Done)
}

fn content(name: &str, runner: &JitRunner) -> String {
    let json = json!({
        "runner": {"id": runner.id, "name": name},
        "encoded_jit_config": runner.config.expose_secret(),
    });
    format!("{json:#}\n")
}

fn plan(args: &Request, config: &Config) -> Result<Plan, Failure> {
    let (name, configured) = repository(args, config)?;
    let is_org = match (args.scope, &configured) {
        (Some(scope), _) => scope == ScopeArg::Org,
        (None, Some(repository)) => matches!(repository.scope, RunnerScope::Organization(_)),
        (None, None) => false,
    };
    let group = args
        .runner_group_id
        .or(configured.as_ref().map(|repository| repository.runner_group_id));
    let group = group.unwrap_or(DEFAULT_GROUP);
    if !is_org && group != DEFAULT_GROUP {
        let error = anyhow!("runner group {group} belongs to an organization, but the runner is one of {name}");
        return Err(Failure::new(Exit::Usage, error).remedy("add --scope org, or leave --runner-group-id out"));
    }
    let labels: Vec<String> = args.labels.iter().map(|label| label.trim().to_owned()).collect();
    let labels = match (labels.is_empty(), &configured) {
        (false, _) => labels,
        (true, Some(repository)) => repository.policy.labels.labels.clone(),
        (true, None) => config.routing.labels.labels.clone(),
    };
    if labels.iter().any(String::is_empty) {
        let error = anyhow!("--labels has an empty label");
        return Err(Failure::new(Exit::Usage, error).remedy("use --labels self-hosted,linux,x64,LABEL"));
    }
    let prefix = args
        .name_prefix
        .clone()
        .unwrap_or_else(|| config.runners.name_prefix.clone());
    Ok(Plan {
        scope: if is_org {
            RunnerScope::Organization(name)
        } else {
            RunnerScope::Repository(name)
        },
        names: names(&prefix)?,
        template: JitRequest {
            name: prefix,
            runner_group_id: group,
            labels,
        },
        existing: if args.force { Existing::Replace } else { Existing::Keep },
    })
}

/// Returns the repository, which needs no configuration if the flags name it.
fn repository(args: &Request, config: &Config) -> Result<(RepositoryName, Option<Repository>), Failure> {
    let Some(named) = args.which.name()? else {
        let repository = args.which.configured(config)?;
        return Ok((repository.name.clone(), Some(repository)));
    };
    let mut configured = runtime::repositories(config).into_iter();
    let configured = configured.find(|repository| repository.name.matches(named.as_str()));
    Ok((named, configured))
}

/// Returns the names to try. A runner of the pool has more parts in its name, so that the sweep does not touch these.
fn names(prefix: &str) -> Result<Vec<String>, Failure> {
    let is_plain = prefix
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if prefix.is_empty() || !is_plain || prefix.len() + 1 + SUFFIX_CHARS > MAX_NAME_CHARS {
        let error = anyhow!("--name-prefix {prefix:?} cannot start the name of a runner");
        return Err(Failure::new(Exit::Usage, error).remedy("use at most 55 letters, digits and the characters -_."));
    }
    let mut names = Vec::new();
    for _ in 0..MAX_REQUESTS {
        let word = runtime::random_word().map_err(|error| Failure::new(Exit::Bug, error))?;
        let suffix = word.get(..SUFFIX_CHARS).unwrap_or(&word);
        names.push(format!("{prefix}-{suffix}"));
    }
    Ok(names)
}

fn place(scope: &RunnerScope) -> String {
    match scope {
        RunnerScope::Repository(name) => name.to_string(),
        RunnerScope::Organization(name) => format!("organization {}", name.owner()),
    }
}

fn unwritable(error: &PrivateFileError) -> Failure {
    Failure::new(Exit::Configuration, anyhow!("{error}")).remedy(error.remedy("--out"))
}

fn refused(place: &str, scope: &RunnerScope, error: &JitRequestError) -> Failure {
    let permission = match scope {
        RunnerScope::Repository(_) => "Administration: write on the repository",
        RunnerScope::Organization(_) => "Self-hosted runners: write on the organization",
    };
    let remedy = match error {
        JitRequestError::Refused(_) => format!(
            "check the repository, the runner group and the labels, and use credentials with the permission {permission}"
        ),
        JitRequestError::Failed(ports::Failure::Permanent(_)) => {
            format!("use credentials with the permission {permission}: an app, or --token-source with another token")
        }
        JitRequestError::Failed(failure) => when_it_passes(failure),
        JitRequestError::Uncertain { name, .. } => {
            format!("look for runner {name} on the page of the runners, remove it there, and run the command again")
        }
        JitRequestError::NamesTaken(_) => "use another --name-prefix".to_owned(),
    };
    Failure::new(Exit::Github, anyhow!("{place}: cannot request a runner: {error}")).remedy(remedy)
}
