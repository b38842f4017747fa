//! The App: its permissions and events, its installations, its webhook, and the latest deliveries.

use super::unanswered::unanswered;
use crate::app::settings::Repository;
use crate::domain::app::{Permission, excess_permissions, is_skewed, lacking_events, lacking_permissions};
use crate::domain::finding::{Finding, Subject};
use crate::ports::examination::AppWebhook;
use crate::ports::github::{DeliveryPage, RunnerScope};
use crate::ports::github_app::{AppFailure, InstalledOn};
use crate::ports::{Examination, Failure, GitHub, GitHubApp};
use futures::future::join_all;

/// The path of the receiver.
const PATH: &str = "/webhooks/github";
/// The number of latest deliveries that are judged.
const LATEST: usize = 10;

/// Checks the App. A token has no such settings.
pub async fn check(
    github: &dyn GitHub,
    app: &dyn GitHubApp,
    examination: &dyn Examination,
    repositories: &[&Repository],
) -> Vec<Finding> {
    if !examination.is_app() {
        let what = "permissions, events and webhook of the app";
        return vec![Finding::unknown(
            Subject::Github,
            what,
            "a token is configured instead of an app",
        )];
    }
    let is_of_organization = |repository: &&Repository| matches!(repository.scope, RunnerScope::Organization(_));
    let with_organization = repositories.iter().any(is_of_organization);
    let installed = repositories.iter().map(|repository| installed(app, repository));
    let (own, installed, hook, log) = futures::join!(
        own(app, with_organization),
        join_all(installed),
        examination.webhook(),
        github.deliveries(None)
    );
    let mut found = match own {
        Ok(found) => found,
        // All other questions of the App fail for the same reason.
        Err(rejected) => return vec![rejected],
    };
    found.extend(installed.into_iter().flatten());
    match hook {
        Ok(hook) => found.extend(webhook(hook.as_ref())),
        Err(failure) => found.push(unanswered("webhook of the app", &failure)),
    }
    found.push(reachable(log));
    found
}

/// Checks the App itself. The error is the finding about a rejected JWT.
async fn own(app: &dyn GitHubApp, with_organization: bool) -> Result<Vec<Finding>, Finding> {
    let app = match app.identity().await {
        Ok(app) => app,
        Err(AppFailure::Refused {
            status: 401,
            detail,
            skew,
        }) => {
            let remedy = match skew {
                Some(skew) if is_skewed(skew) => {
                    "synchronize the clock of this machine, for example: sudo timedatectl set-ntp true"
                }
                _ => {
                    "correct github.app_id, or make a new private key on the page of this app and set github.private_key_file to it"
                }
            };
            return Err(Finding::problem(Subject::Github, format!("app: {detail}"), remedy));
        }
        Err(failure) => return Ok(vec![unanswered("app", &of_app(failure))]),
    };
    let slug = &app.slug;
    let mut found = Vec::new();
    let lacking = lacking_permissions(&app.permissions, with_organization);
    if !lacking.is_empty() {
        found.push(Finding::problem(
            Subject::Github,
            format!("app {slug} lacks permissions: {}", in_words(&lacking)),
            "add them under Settings > Developer settings > GitHub Apps > Permissions & events, and accept them for each \
             installation",
        ));
    }
    let events = lacking_events(&app.events);
    if !events.is_empty() {
        found.push(Finding::problem(
            Subject::Github,
            format!("app {slug} does not receive the event {}", events.join(", ")),
            "subscribe to it under Settings > Developer settings > GitHub Apps > Permissions & events",
        ));
    }
    if found.is_empty() {
        found.push(Finding::ok(
            Subject::Github,
            format!("app {slug} has the permissions and events that jitgate needs"),
        ));
    }
    let excess = excess_permissions(&app.permissions);
    if !excess.is_empty() {
        let named: Vec<String> = excess.iter().map(|(name, level)| format!("{name} {level}")).collect();
        found.push(Finding::warning(
            Subject::Github,
            format!(
                "app {slug} has permissions that jitgate does not use: {}",
                named.join(", ")
            ),
            "reduce them under Settings > Developer settings > GitHub Apps > Permissions & events",
        ));
    }
    Ok(found)
}

async fn installed(app: &dyn GitHubApp, repository: &Repository) -> Option<Finding> {
    let name = &repository.name;
    match app.installation(&InstalledOn::Repository(name.clone())).await {
        Ok(None) => Some(Finding::problem(
            Subject::Github,
            format!("{name}: the app is not installed there"),
            "install it for this repository: Settings > Developer settings > GitHub Apps > Install App",
        )),
        Ok(Some(installation)) if installation.is_suspended => Some(Finding::problem(
            Subject::Github,
            format!("{name}: the installation of the app is suspended"),
            format!("resume it: {} > Settings > GitHub Apps > Configure", name.owner()),
        )),
        Ok(Some(installation)) => {
            let with_organization = matches!(repository.scope, RunnerScope::Organization(_));
            let lacking = lacking_permissions(&installation.permissions, with_organization);
            (!lacking.is_empty()).then(|| {
                Finding::problem(
                    Subject::Github,
                    format!(
                        "{name}: the installation of the app lacks permissions: {}",
                        in_words(&lacking)
                    ),
                    format!(
                        "accept the new permissions: {} > Settings > GitHub Apps > Configure",
                        name.owner()
                    ),
                )
            })
        }
        Err(failure) => Some(unanswered(format!("{name}: installation of the app"), &of_app(failure))),
    }
}

fn of_app(failure: AppFailure) -> Failure {
    match failure {
        AppFailure::Refused { detail, .. } => Failure::Permanent(detail),
        AppFailure::Unanswered(failure) => failure,
    }
}

fn in_words(lacking: &[Permission]) -> String {
    let word = |permission: &Permission| {
        format!(
            "{} {} ({})",
            permission.name,
            permission.level.as_str(),
            permission.used_for
        )
    };
    lacking.iter().map(word).collect::<Vec<_>>().join("; ")
}

fn webhook(hook: Option<&AppWebhook>) -> Vec<Finding> {
    let problem = |what: String, remedy: &str| {
        let place = "Settings > Developer settings > GitHub Apps > Webhook";
        Finding::problem(Subject::Github, what, format!("{remedy}: {place}"))
    };
    let Some((hook, url)) = hook.and_then(|hook| Some((hook, hook.url.as_deref()?))) else {
        return vec![problem(
            "the app has no webhook URL".to_owned(),
            "set it to https://HOST/webhooks/github",
        )];
    };
    let mut found = Vec::new();
    if !url.trim_end_matches('/').ends_with(PATH) {
        found.push(problem(
            format!("the webhook URL of the app is {url}, which does not end with {PATH}"),
            "correct it",
        ));
    }
    if hook.content_type != "json" {
        found.push(problem(
            format!(
                "the webhook of the app sends the content type {}, and jitgate takes json",
                hook.content_type
            ),
            "select application/json",
        ));
    }
    if !hook.verifies_certificate {
        found.push(problem(
            "the webhook of the app accepts any certificate".to_owned(),
            "enable the verification of certificates",
        ));
    }
    if found.is_empty() {
        found.push(Finding::ok(
            Subject::Github,
            format!("the webhook of the app sends JSON to {url}"),
        ));
    }
    found
}

/// Judges by GitHub's log whether the receiver can be reached.
fn reachable(log: Result<DeliveryPage, Failure>) -> Finding {
    let page = match log {
        Ok(page) => page,
        Err(failure) => return unanswered("delivery log of the app", &failure),
    };
    let latest: Vec<_> = page.deliveries.iter().take(LATEST).collect();
    let is_failed = |code: u16| !(200..300).contains(&code);
    let failed = latest.iter().filter(|delivery| is_failed(delivery.status_code)).count();
    let count = latest.len();
    match latest.first() {
        None => Finding::unknown(
            Subject::Process,
            "reachability of the webhook URL",
            "GitHub's log has no delivery yet; push a commit to cause one",
        ),
        Some(newest) if is_failed(newest.status_code) => {
            let what = format!(
                "{failed} of the latest {count} deliveries failed, the newest with {} ({})",
                newest.status_code, newest.status
            );
            let remedy = match newest.status_code {
                401 => "set the same webhook secret in the app and in webhook.secrets",
                404 | 405 => "let the proxy pass POST /webhooks/github to server.listen",
                _ => "start jitgate serve, and check name, firewall, proxy and certificate of the webhook URL",
            };
            Finding::problem(Subject::Process, what, remedy)
        }
        Some(_) => {
            let what = format!("the newest delivery arrived; {failed} of the latest {count} failed");
            Finding::ok(Subject::Process, what)
        }
    }
}
