//! `jitgate app installation-id`.

use super::account;
use super::args::InstallationId;
use super::credentials::open;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::session::Session;
use serde_json::json;

/// Runs `app installation-id`.
pub(super) async fn run(args: &InstallationId, session: &Session) -> Outcome {
    let opened = open(&args.app, session)?;
    let selected = args.account.select(&opened.config, args.app.app_installation_id)?;
    let found = account::find(&opened, &selected.on).await?;
    let json = json!({"installation_id": found.id, "account": found.account});
    session.answer(&json, |out| writeln!(out, "{}", found.id))?;
    Ok(Exit::Done)
}
