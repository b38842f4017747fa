//! What is looked at, and how it ends.

use super::{look, report};
use crate::app::verify::Finding;
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::{logging, output, sources};
use crate::domain::ids::RepositoryName;
use serde_json::json;

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Asks the store, GitHub, this machine and the running gate. Changes nothing.

Examples:
  jitgate verify
  jitgate verify --repo octo-org/chem-model
  jitgate verify --owner octo-org --repo chem-model --json

Exit codes: 0 set up to serve jobs, with warnings or without; otherwise that of the first problem:
1 a repository, 3 the configuration, 4 GitHub, 5 the store, 6 this machine."
)]
pub struct Args {
    /// Only this repository: OWNER/NAME, or NAME with --owner. By default all that are configured
    #[arg(long, value_name = "REPOSITORY")]
    pub repo: Option<String>,
    /// Owner of the repository
    #[arg(long, value_name = "OWNER", requires = "repo")]
    pub owner: Option<String>,
}

impl Args {
    fn repository(&self) -> Result<Option<RepositoryName>, Failure> {
        let Some(repo) = &self.repo else { return Ok(None) };
        let full_name = match (&self.owner, repo.split_once('/')) {
            (Some(owner), None) => format!("{owner}/{repo}"),
            (Some(owner), Some((named, _))) if !owner.eq_ignore_ascii_case(named) => {
                let what = anyhow::anyhow!("--owner {owner} is not the owner in --repo {repo}");
                return Err(
                    Failure::new(Exit::Usage, what).remedy("give --owner OWNER --repo NAME, or --repo OWNER/NAME")
                );
            }
            _ => repo.clone(),
        };
        let Ok(name) = RepositoryName::parse(&full_name) else {
            let what = anyhow::anyhow!("--repo {full_name} names no repository");
            return Err(Failure::new(Exit::Usage, what).remedy("give --repo OWNER/NAME, or --owner OWNER --repo NAME"));
        };
        Ok(Some(name))
    }
}

/// Runs `verify`.
pub(in crate::cli) fn run(args: Args, global: &Global) -> Outcome {
    let only = args.repository()?;
    logging::on_request(global);
    let loaded = sources::configuration(global)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::new(Exit::Bug, error))?;
    let found = runtime.block_on(look::all(&loaded, only.as_ref()));
    let exit = report::exit(&found);
    if global.json {
        output::print_json(&json!({"ok": exit == Exit::Done, "findings": found}))?;
    } else {
        print(&found)?;
    }
    Ok(exit)
}

fn print(found: &[Finding]) -> Result<(), Failure> {
    output::print(|out| {
        for finding in found {
            writeln!(out, "{}", report::line(finding))?;
        }
        writeln!(out, "{}", report::summary(found))
    })
}
