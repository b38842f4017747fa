//! `jitgate app check`.

use super::args::Check;
use super::credentials::open;
use super::refused::refused;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output;
use crate::cli::session::Session;
use crate::config::Scope;
use crate::domain::app::{Permission, is_skewed, lacking_events, lacking_permissions};
use serde_json::{Value, json};

/// Runs `app check`.
pub(super) async fn run(args: &Check, session: &Session) -> Outcome {
    let opened = open(&args.app, session)?;
    let identity = opened.github.identity().await;
    let app = identity.map_err(|failure| refused(&format!("check app {}", opened.app_id), &failure))?;
    let is_same = opened.app_id == app.id.to_string() || app.client_id.as_deref() == Some(&opened.app_id);
    let with_organization = opened
        .config
        .repositories
        .iter()
        .any(|repository| repository.scope == Scope::Organization);
    let permissions = lacking_permissions(&app.permissions, with_organization);
    let events = lacking_events(&app.events);
    let skew = app.skew.map(|skew| skew.num_seconds());
    let lacking: Vec<Value> = permissions.iter().map(described).collect();
    let json = json!({
        "app_id": app.id, "slug": app.slug, "owner": app.owner, "clock_skew_s": skew,
        "client_id": app.client_id, "permissions": app.permissions, "events": app.events,
        "missing_permissions": lacking, "missing_events": events,
    });
    session.answer(&json, |out| {
        writeln!(out, "app {} ({}) of {}", app.slug, app.id, app.owner)?;
        match skew {
            Some(seconds) => writeln!(out, "clock: {}", clock(seconds)),
            None => writeln!(out, "clock: GitHub's answer has no date"),
        }?;
        for missing in &permissions {
            let (name, level) = (missing.name, missing.level.as_str());
            writeln!(out, "missing permission: {name}: {level} ({})", missing.used_for)?;
        }
        for event in &events {
            writeln!(out, "missing event: {event}")?;
        }
        Ok(())
    })?;
    if app.skew.is_some_and(is_skewed) {
        output::report(
            "jitgate: warning: correct this machine's clock (`timedatectl set-ntp true`): GitHub rejects JWTs of another time",
        );
    }
    if !is_same {
        output::report(&format!(
            "jitgate: error: app {} is configured, but GitHub knows its key as that of app {}\njitgate: remedy: set github.app_id to {}",
            opened.app_id, app.id, app.id
        ));
    }
    if !permissions.is_empty() || !events.is_empty() {
        output::report(&format!(
            "jitgate: remedy: add them at {}, and accept them for each installation",
            settings_page(&opened.config.github.web_url, &app.owner, &app.slug)
        ));
    }
    let is_complete = is_same && permissions.is_empty() && events.is_empty();
    Ok(if is_complete { Exit::Done } else { Exit::Negative })
}

fn described(permission: &Permission) -> Value {
    json!({"name": permission.name, "level": permission.level.as_str(), "used_for": permission.used_for})
}

fn clock(seconds: i64) -> String {
    match seconds {
        0 => "the same as GitHub's".to_owned(),
        1.. => format!("{seconds} s ahead of GitHub's"),
        _ => format!("{} s behind GitHub's", -seconds),
    }
}

/// Returns the address where permissions and events are changed.
fn settings_page(web_url: &str, owner: &str, slug: &str) -> String {
    format!(
        "{web_url}/settings/apps/{slug}/permissions (for an organization {web_url}/organizations/{owner}/settings/apps/{slug}/permissions)"
    )
}
