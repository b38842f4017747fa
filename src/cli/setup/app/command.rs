//! `jitgate setup app`: gathers what exists, plans, and creates the App or corrects it.

use super::args::AppSetup;
use super::files::Places;
use super::{create, repair};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::session::Session;
use crate::domain::ids::RepositoryName;
use anyhow::anyhow;

/// Runs `setup app`.
pub(in crate::cli::setup) async fn run(args: &AppSetup, session: &Session) -> Outcome {
    check(args)?;
    let places = Places::of(&args.folder, session.global.config.as_deref());
    match places.existing()? {
        Some(note) => repair::run(args, session, &places, &note).await,
        None => create::run(args, session, &places).await,
    }
}

/// Checks the flags that GitHub would refuse later, after the person's work.
fn check(args: &AppSetup) -> Result<(), Failure> {
    let usage = |error: anyhow::Error, remedy: &str| Err(Failure::new(Exit::Usage, error).remedy(remedy));
    if let Some(login) = &args.organization
        && RepositoryName::parse(&format!("{login}/x")).is_err()
    {
        let error = anyhow!("--organization {login} is not the login of an organization");
        return usage(error, "use the name in the address of the organization's page");
    }
    for (flag, url) in [("--webhook-url", &args.webhook_url), ("--homepage", &args.homepage)] {
        let Some(url) = url else { continue };
        let uri: Option<http::Uri> = url.parse().ok();
        let is_web = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        if !is_web {
            let error = anyhow!("{flag} {url} is not a web address");
            return usage(error, "use https://HOST/webhooks/github");
        }
    }
    if args
        .name
        .as_ref()
        .is_some_and(|name| name.is_empty() || name.chars().count() > 34)
    {
        return usage(anyhow!("--name must have 1 to 34 characters"), "use a shorter name");
    }
    Ok(())
}
