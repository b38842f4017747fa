//! `jitgate app token`.

use super::account::{self, AccountArgs};
use super::args::Token;
use super::credentials::{Opened, open};
use super::refused::refused;
use crate::cli::app_args::AppArgs;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output;
use crate::cli::session::Session;
use crate::cli::table::time;
use crate::domain::app::{grantable, lacking_permissions};
use crate::ports::github_app::{Installation, InstallationToken, TokenRequest};
use anyhow::anyhow;
use secrecy::ExposeSecret;
use serde_json::json;

/// Runs `app token`.
pub(super) async fn run(args: &Token, session: &Session) -> Outcome {
    let opened = open(&args.app, session)?;
    let (installation, request) = plan(&opened, &args.account, &args.app).await?;
    let minted = mint(&opened, &installation, &request).await?;
    let json = json!({
        "token": minted.token.expose_secret(), "expires_at": minted.expires_at,
        "installation_id": installation.id, "account": installation.account,
    });
    session.answer(&json, |out| writeln!(out, "{}", minted.token.expose_secret()))?;
    output::report(&format!(
        "jitgate: the token is valid until {}",
        time(minted.expires_at)
    ));
    Ok(Exit::Done)
}

/// Finds the installation, and returns the request for a token with no more than jitgate needs.
pub(super) async fn plan(
    opened: &Opened,
    account: &AccountArgs,
    app: &AppArgs,
) -> Result<(Installation, TokenRequest), Failure> {
    let named = account.which.repo.is_some() || account.org.is_some() || account.user.is_some();
    // An account in a flag is more specific than the configured installation.
    let id = app.app_installation_id.or(opened.installation.filter(|_| !named));
    let selected = account.select(&opened.config, id)?;
    let installation = account::find(opened, &selected.on).await?;
    let permissions = grantable(&installation.permissions);
    if permissions.is_empty() {
        let error = anyhow!(
            "installation {} of app {} has no permission that jitgate needs",
            installation.id,
            opened.app_id
        );
        return Err(Failure::new(Exit::Github, error).remedy("`jitgate app check` lists the missing permissions"));
    }
    for missing in lacking_permissions(&installation.permissions, false) {
        output::report(&format!(
            "jitgate: warning: installation {} lacks the permission {}: {} ({})",
            installation.id,
            missing.name,
            missing.level.as_str(),
            missing.used_for
        ));
    }
    let request = TokenRequest {
        installation: installation.id,
        repositories: selected.repositories,
        permissions,
    };
    Ok((installation, request))
}

/// Requests a token.
pub(super) async fn mint(
    opened: &Opened,
    installation: &Installation,
    request: &TokenRequest,
) -> Result<InstallationToken, Failure> {
    let minted = opened.github.installation_token(request).await;
    let what = format!(
        "get a token of installation {} ({}) of app {}",
        installation.id, installation.account, opened.app_id
    );
    minted.map_err(|failure| refused(&what, &failure))
}
