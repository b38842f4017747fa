//! `jitgate app refresh-token`: writes the token first and its status afterwards, so that the status never promises more
//! than the token file has.

use super::args::RefreshToken;
use super::credentials::open;
use super::token;
use crate::adapters::private_file::{self, Draft, Existing, PUBLIC_MODE, PrivateFileError, SECRET_MODE};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::table::time;
use secrecy::ExposeSecret;
use serde_json::json;
use std::path::Path;

/// Runs `app refresh-token`.
pub(super) async fn run(args: &RefreshToken, session: &Session) -> Outcome {
    let opened = open(&args.app, session)?;
    let (token_file, status_file) = (&args.token_file, &args.status_file);
    let (installation, request) = token::plan(&opened, &args.account, &args.app).await?;
    if args.dry_run {
        check(token_file, "--token-file")?;
        check(status_file, "--status-file")?;
        let steps = [
            format!(
                "get a token of installation {} ({})",
                installation.id, installation.account
            ),
            format!("replace {} with it (mode 0600)", token_file.display()),
            format!("replace {} with the status", status_file.display()),
        ];
        let json = json!({"dry_run": true, "steps": steps, "token_file": token_file, "status_file": status_file,
            "permissions": request.permissions, "repositories": request.repositories});
        session.answer(&json, |out| {
            steps.iter().try_for_each(|step| writeln!(out, "would {step}"))
        })?;
        return Ok(Exit::Done);
    }
    // The drafts prove that both files can be written before GitHub makes a token.
    let draft = Draft::create(token_file, SECRET_MODE, Existing::Replace);
    let draft = draft.map_err(|error| unwritable(&error, "--token-file"))?;
    let status = Draft::create(status_file, PUBLIC_MODE, Existing::Replace);
    let status = status.map_err(|error| unwritable(&error, "--status-file"))?;
    let minted = token::mint(&opened, &installation, &request).await?;
    let text = format!("{}\n", minted.token.expose_secret());
    draft
        .publish(text.as_bytes())
        .map_err(|error| unwritable(&error, "--token-file"))?;
    let json = json!({
        "refreshed_at": session.clock.now(), "expires_at": minted.expires_at, "token_file": std::path::absolute(token_file).unwrap_or_else(|_| token_file.clone()),
    });
    let written = status.publish(format!("{json:#}\n").as_bytes());
    written.map_err(|error| unwritable(&error, "--status-file"))?;
    if let Some((folder, mode)) = private_file::listable_folder(token_file) {
        output::report(&format!(
            "jitgate: warning: other users can list {0} (mode {mode:04o}); run `chmod 700 {0}` if nothing else needs it",
            folder.display()
        ));
    }
    session.answer(&json, |out| {
        writeln!(
            out,
            "{}: refreshed, valid until {}",
            token_file.display(),
            time(minted.expires_at)
        )
    })?;
    Ok(Exit::Done)
}

fn check(path: &Path, flag: &str) -> Result<(), Failure> {
    private_file::check(path, Existing::Replace).map_err(|error| unwritable(&error, flag))
}

fn unwritable(error: &PrivateFileError, flag: &str) -> Failure {
    Failure::new(Exit::Configuration, anyhow::anyhow!("{error}")).remedy(error.remedy(flag))
}
