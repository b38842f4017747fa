//! The command line of `verify`.

use super::{look, report};
use crate::cli::app::STATUS_FILE;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::one_repository::OneRepository;
use crate::cli::session::Session;
use crate::cli::{findings, output};
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Asks the store, GitHub, this machine and the running process, and changes nothing. Without --repo it checks all
configured repositories.

Examples:
  jitgate verify
  jitgate verify --repo octo-org/chem-model
  jitgate verify --owner octo-org --repo chem-model --json

Exit codes: 0 set up to serve jobs, with or without warnings; otherwise the code of the first problem:
1 a repository, 3 the configuration, 4 GitHub, 5 the store, 6 this machine."
)]
pub struct Args {
    #[command(flatten)]
    pub only: OneRepository,
    /// Status file of the token refresh
    #[arg(long, value_name = "FILE", default_value = STATUS_FILE)]
    pub status_file: PathBuf,
}

/// Runs `verify`.
pub(in crate::cli) async fn run(args: Args, session: &Session) -> Outcome {
    let only = args.only.name()?;
    let found = look::all(
        session.loaded()?,
        only.as_ref(),
        &args.status_file,
        session.clock.as_ref(),
    )
    .await;
    let exit = report::exit(&found);
    if session.global.json {
        output::print_json(&json!({"ok": exit == Exit::Done, "findings": found}))?;
    } else {
        output::print(|out| {
            findings::print(out, &found)?;
            writeln!(out, "{}", report::summary(&found))
        })?;
    }
    Ok(exit)
}
