//! A second run of `setup app`: compares the existing App with the flags, and corrects its webhook.

use super::args::AppSetup;
use super::files::{Configuration, Note, Places};
use super::hook::{self, HookStep};
use crate::cli::app::refused;
use crate::cli::app_args::AppArgs;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::{self, warn};
use crate::cli::session::Session;
use crate::config::{Config, read_secret_file};
use crate::domain::app::{lacking_events, lacking_permissions};
use crate::runtime;
use anyhow::anyhow;
use serde_json::json;

/// Compares and corrects the App of a note.
pub(super) async fn run(args: &AppSetup, session: &Session, places: &Places, note: &Note) -> Outcome {
    let config = configuration(args, session, places, note)?;
    let github = runtime::open_github_app(&config, &session.clock)?;
    let secret = read_secret_file(&places.secret).map_err(|error| {
        let remedy = error.remedy(&places.secret);
        Failure::new(Exit::Configuration, anyhow!("{}: {error}", places.secret.display())).remedy(remedy)
    })?;
    let failed = |failure| refused(&format!("read app {} ({})", note.slug, note.app_id), &failure);
    let app = github.identity().await.map_err(failed)?;
    let shown = github.hook().await.map_err(failed)?;
    let step = hook::plan(&shown, args.webhook_url.as_deref(), true);
    let with_organization = args.organization.is_some();
    for missing in lacking_permissions(&app.permissions, with_organization) {
        warn(&format!(
            "app {} lacks the permission {}: {}; add it at {}",
            app.slug,
            missing.name,
            missing.level.as_str(),
            app.html_url
        ));
    }
    for event in lacking_events(&app.events) {
        warn(&format!(
            "app {} does not receive the event {event}; add it at {}",
            app.slug, app.html_url
        ));
    }
    let repository = args.which.name()?;
    let written = places.configuration(&note.issuer(), &config.github.api_url, repository.as_ref());
    let steps = steps(&step, &written, places);
    if steps.is_empty() {
        session.note_unchanged();
    }
    if !args.dry_run {
        let failed = |failure| {
            refused(
                &format!("set the webhook of app {} ({})", note.slug, note.app_id),
                &failure,
            )
        };
        hook::take(github.as_ref(), &step, &secret).await.map_err(failed)?;
        places.write(&written)?;
    }
    let json = json!({
        "created": false, "dry_run": args.dry_run, "steps": steps, "app_id": note.app_id, "client_id": note.client_id,
        "slug": app.slug, "owner": app.owner, "html_url": note.html_url, "install_url": note.install_url(),
        "private_key_file": places.key, "webhook_secret_file": places.secret,
        "configuration": written.shown(places),
    });
    session.answer(&json, |out| {
        writeln!(
            out,
            "app {} ({}) of {} exists already",
            app.slug, note.app_id, app.owner
        )?;
        if steps.is_empty() {
            writeln!(out, "nothing is to do")?;
        }
        let verb = if args.dry_run { "would " } else { "" };
        steps.iter().try_for_each(|step| writeln!(out, "{verb}{step}"))
    })?;
    if let Configuration::Add(lines) = &written {
        output::report(&format!(
            "jitgate: {} needs these lines:\n\n{lines}",
            places.configuration.display()
        ));
    }
    Ok(Exit::Done)
}

fn steps(step: &HookStep, configuration: &Configuration, places: &Places) -> Vec<String> {
    let hook = match step {
        HookStep::Nothing => None,
        HookStep::Set(hook) => Some(format!(
            "set the webhook to {} (JSON, with the stored secret)",
            hook.url
        )),
    };
    let written = match configuration {
        Configuration::Write(_) => Some(format!("write {}", places.configuration.display())),
        Configuration::Complete | Configuration::Add(_) => None,
    };
    hook.into_iter().chain(written).collect()
}

/// Returns the configuration with the stored App.
fn configuration(args: &AppSetup, session: &Session, places: &Places, note: &Note) -> Result<Config, Failure> {
    let app = AppArgs {
        app_id: Some(note.issuer()),
        app_private_key_file: Some(places.key.clone()),
        api_url: args.api_url.clone(),
        ..AppArgs::default()
    };
    app.configuration(session)
}
