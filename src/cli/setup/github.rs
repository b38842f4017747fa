//! `jitgate setup github`.

use crate::app::github_setup::{self, Connections, Plan};
use crate::cli::credentials::CredentialArgs;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::one_repository::OneRepository;
use crate::cli::output;
use crate::cli::person::Person;
use crate::cli::session::Session;
use crate::config::{Config, DEFAULT_VARIABLE};
use crate::domain::github_setup::Wanted;
use crate::domain::ids::RepositoryName;
use crate::ports;
use crate::runtime;
use anyhow::anyhow;
use serde_json::json;
use std::io::{self, Write};

/// The permissions that a GitHub App needs at a repository, with their uses.
const PERMISSIONS: [(&str, &str, &str); 6] = [
    ("actions", "write", "read runs and jobs, cancel and re-run them"),
    ("actions_variables", "write", "the routing variable"),
    ("administration", "write", "runners, and the policy for forks"),
    ("contents", "read", "the files that a pull request changes"),
    ("metadata", "read", "the permissions of persons"),
    ("pull_requests", "read", "the pull request of a job"),
];
/// The permission that it needs at an organization.
const ORGANIZATION_PERMISSION: (&str, &str, &str) =
    ("organization_self_hosted_runners", "write", "runners and runner groups");

/// Protections that GitHub's API does not offer.
fn by_hand(repository: &RepositoryName) -> [String; 2] {
    [
        format!(
            "allow only the events that you use under Settings > Actions > Policies of {repository} (workflow execution \
             protections have no API)"
        ),
        "restore caches in workflows of pull requests with actions/cache/restore, and save them only on pushes to a \
         protected branch (GitHub has no policy for caches of pull requests)"
            .to_owned(),
    ]
}

/// Arguments of `setup github`.
#[derive(Debug, clap::Args)]
pub struct GithubSetup {
    /// Repository; optional if only one is configured
    #[command(flatten)]
    pub which: OneRepository,
    /// Name of the variable. By default the configured one
    #[arg(long, value_name = "NAME")]
    pub var_name: Option<String>,
    /// Name of the runner group
    #[arg(long, value_name = "NAME", default_value = "jitgate")]
    pub group: String,
    /// The only workflow whose jobs can use the runner group: PATH@REF in this repository, or OWNER/NAME/PATH@REF
    #[arg(long, value_name = "WORKFLOW")]
    pub workflow: Option<String>,
    /// Also set the policies for workflows of outsiders and for the token of workflows
    #[arg(long)]
    pub protect: bool,
    /// Show the steps without taking them
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub person: Person,
    #[command(flatten)]
    pub credentials: CredentialArgs,
}

/// Runs `setup github`.
pub(super) async fn run(args: &GithubSetup, session: &Session) -> Outcome {
    let config = args.credentials.configuration(session).await?;
    let mut wanted = wanted(args, &config)?;
    let github = CredentialArgs::open(&config, session)?;
    let administration = runtime::open_administration(&config, &session.clock)?;
    let connections = Connections {
        github: github.as_ref(),
        administration: administration.as_ref(),
    };
    let failed = |failure| refused(&wanted.name, &failure);
    let place = github_setup::place(administration.as_ref(), &wanted)
        .await
        .map_err(failed)?;
    if !place.is_of_organization {
        if let Some(workflow) = &wanted.workflow {
            let error = anyhow!(
                "{} belongs to a person, and a personal account has no runner groups",
                wanted.name
            );
            let remedy = format!("leave out --workflow {workflow}, or move the repository to an organization");
            return Err(Failure::new(Exit::Usage, error).remedy(remedy));
        }
        wanted.group = None;
    }
    let failed = |failure| refused(&wanted.name, &failure);
    let plan = github_setup::plan(connections, place, &wanted, args.protect)
        .await
        .map_err(failed)?;
    let mut group = plan.group.as_ref().map(|group| (group.id, group.name.clone()));
    if plan.steps.is_empty() {
        session.note_unchanged();
    }
    if !args.dry_run {
        for step in &plan.steps {
            output::report(&format!("jitgate: {}: {step}", wanted.name));
            let made = github_setup::take(connections, &plan, &wanted, step).await;
            let made = made.map_err(|failure| refused_step(&wanted.name, &step.to_string(), &failure))?;
            group = made.map(|made| (made.id, made.name)).or(group);
        }
    }
    answer(args, session, &config, &wanted, &plan, group)
}

/// Returns the wanted state.
fn wanted(args: &GithubSetup, config: &Config) -> Result<Wanted, Failure> {
    let configured = runtime::repositories(config);
    let name = match args.which.name()? {
        Some(name) => name,
        None => args.which.configured(config)?.name,
    };
    let own = configured
        .iter()
        .find(|repository| repository.name.matches(name.as_str()));
    let variable = args.var_name.clone().or_else(|| own.map(|own| own.variable.clone()));
    let same_group =
        |other: &&crate::app::settings::Repository| own.is_some_and(|own| own.group_key() == other.group_key());
    Ok(Wanted {
        variable: variable.unwrap_or_else(|| DEFAULT_VARIABLE.to_owned()),
        group: Some(args.group.clone()),
        others: configured
            .iter()
            .filter(same_group)
            .map(|other| other.name.clone())
            .collect(),
        workflow: args
            .workflow
            .as_deref()
            .map(|workflow| full_workflow(&name, workflow))
            .transpose()?,
        name,
    })
}

/// Returns `owner/name/path@ref` for a workflow of the repository or of another one.
fn full_workflow(repository: &RepositoryName, workflow: &str) -> Result<String, Failure> {
    let wrong = |what: &str| {
        let error = anyhow!("--workflow {workflow}: {what}");
        Failure::new(Exit::Usage, error).remedy("use PATH@REF, such as .github/workflows/trusted.yml@refs/heads/main")
    };
    let (path, reference) = workflow
        .rsplit_once('@')
        .ok_or_else(|| wrong("it names no branch, tag or commit"))?;
    let (_, file) = path
        .split_once(".github/workflows/")
        .ok_or_else(|| wrong("it is not a path of a workflow"))?;
    if reference.is_empty() || file.is_empty() || file.contains('/') {
        return Err(wrong("it is not a path of a workflow with a branch, tag or commit"));
    }
    Ok(match path.starts_with(".github/") {
        true => format!("{repository}/{workflow}"),
        false => workflow.to_owned(),
    })
}

fn refused(repository: &RepositoryName, failure: &ports::Failure) -> Failure {
    let refused = "use a token of an administrator (--token-source gh), or give the app the permissions that `jitgate setup \
                   github --help` names and install it at the repository";
    Failure::of_github(anyhow!("{repository}: {failure}"), failure, refused)
}

fn refused_step(repository: &RepositoryName, step: &str, failure: &ports::Failure) -> Failure {
    let failure = refused(repository, failure);
    failure.context(&format!("cannot {step}"))
}

fn answer(
    args: &GithubSetup,
    session: &Session,
    config: &Config,
    wanted: &Wanted,
    plan: &Plan,
    group: Option<(u64, String)>,
) -> Outcome {
    let steps: Vec<String> = plan.steps.iter().map(ToString::to_string).collect();
    let labels = &config.routing.labels.labels;
    let mut permissions = PERMISSIONS.to_vec();
    if plan.place.is_of_organization {
        permissions.push(ORGANIZATION_PERMISSION);
    }
    let listed: serde_json::Map<_, _> = permissions
        .iter()
        .map(|(name, level, _)| ((*name).to_owned(), json!(level)))
        .collect();
    let by_hand: Vec<String> = if args.protect {
        by_hand(&wanted.name).to_vec()
    } else {
        Vec::new()
    };
    let json = json!({
        "repository": wanted.name, "dry_run": args.dry_run, "steps": steps, "variable": wanted.variable,
        "runner_group": group.as_ref().map(|(id, name)| json!({"id": id, "name": name})),
        "labels": labels, "permissions": listed, "by_hand": by_hand,
    });
    session.answer(&json, |out| {
        print_steps(out, args.dry_run, &wanted.name, &steps)?;
        if let Some((id, name)) = &group {
            writeln!(out, "\nRunner group {id} ({name}). Configuration:\n")?;
            writeln!(out, "  [[repositories]]\n  full_name = \"{}\"", wanted.name)?;
            writeln!(out, "  scope = \"org\"\n  runner_group_id = {id}")?;
        }
        writeln!(out, "\nLabels of a job for jitgate's runners: {}", labels.join(", "))?;
        writeln!(out, "\nPermissions of the GitHub App:")?;
        for (name, level, used_for) in &permissions {
            writeln!(out, "  {name:<34}{level:<7}{used_for}")?;
        }
        if !by_hand.is_empty() {
            writeln!(out, "\nTo do by hand:")?;
            by_hand.iter().try_for_each(|item| writeln!(out, "  - {item}"))?;
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}

fn print_steps(out: &mut dyn Write, is_dry: bool, repository: &RepositoryName, steps: &[String]) -> io::Result<()> {
    let heading = match (steps.is_empty(), is_dry) {
        (true, _) => "nothing is to do",
        (false, true) => "the command would",
        (false, false) => "done",
    };
    writeln!(out, "{repository}: {heading}")?;
    steps.iter().try_for_each(|step| writeln!(out, "  - {step}"))
}
