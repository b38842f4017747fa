//! The creation of an App: a page for the browser, the conversion of GitHub's code, and the storage of the credentials.

use super::args::AppSetup;
use super::browser::{self, Page};
use super::files::{Configuration, Drafts, Note, Places, unwritable};
use super::hook;
use crate::cli::app::refused;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::{self, warn};
use crate::cli::session::Session;
use crate::cli::sources;
use crate::config::{Config, Credentials};
use crate::domain::app::{Manifest, Owner, default_name};
use crate::domain::ids::RepositoryName;
use crate::http::AppFormResult;
use crate::ports::github_app::NewApp;
use crate::runtime;
use anyhow::anyhow;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

/// The creation as it will be carried out.
struct Plan<'a> {
    config: Config,
    places: &'a Places,
    repository: Option<RepositoryName>,
    owner: Owner,
    manifest: Manifest,
    /// The address of GitHub's form.
    action: String,
}

/// Creates an App.
pub(super) async fn run(args: &AppSetup, session: &Session, places: &Places) -> Outcome {
    places.check()?;
    let plan = plan(args, session, places)?;
    if plan.manifest.hook_attributes.is_none() {
        warn(
            "without --webhook-url the app receives no events, and GitHub's settings page of the app is the only place to add them later",
        );
    }
    if let (Owner::Person, Some(name)) = (&plan.owner, &plan.repository) {
        warn(&format!(
            "the app will belong to the person who is signed in at GitHub; if {0} is an organization, add --organization {0}, because \
             GitHub installs a private app only for its owner",
            name.owner()
        ));
    }
    if args.dry_run {
        return preview(&plan, session);
    }
    let drafts = Drafts::create(places)?;
    let mut page = browser::open(args.port, plan.manifest.clone(), &plan.action, &in_words(&plan.owner))?;
    let made = create(args, session, &plan, &mut page, drafts).await;
    page.server.stop().await;
    let note = made?;
    let written = plan.configuration(&note.issuer());
    places.write(&written)?;
    if let Some(name) = plan
        .repository
        .as_ref()
        .filter(|name| !name.owner().eq_ignore_ascii_case(&note.owner))
    {
        warn(&format!(
            "app {} belongs to {} and is private, so it cannot be installed on {name}; delete it at {}, and run the command again \
             with --organization {}",
            note.slug,
            note.owner,
            note.html_url,
            name.owner()
        ));
    }
    let json = json!({
        "created": true, "dry_run": false, "app_id": note.app_id, "client_id": note.client_id, "slug": note.slug,
        "owner": note.owner, "html_url": note.html_url, "install_url": note.install_url(),
        "private_key_file": places.key, "webhook_secret_file": places.secret,
        "configuration": written.shown(places),
    });
    session.answer(&json, |out| {
        writeln!(out, "app {} ({}) of {} is created", note.slug, note.app_id, note.owner)?;
        writeln!(out, "private key:    {}", places.key.display())?;
        writeln!(out, "webhook secret: {}", places.secret.display())?;
        match &written {
            Configuration::Write(_) => writeln!(out, "configuration:  {} (written)", places.configuration.display())?,
            Configuration::Complete => writeln!(out, "configuration:  {}", places.configuration.display())?,
            Configuration::Add(lines) => {
                writeln!(
                    out,
                    "configuration:  {} needs these lines:\n\n{lines}",
                    places.configuration.display()
                )?;
            }
        }
        writeln!(
            out,
            "next: install the app at {}, then run `jitgate app check`",
            note.install_url()
        )
    })?;
    Ok(Exit::Done)
}

fn plan<'a>(args: &AppSetup, session: &Session, places: &'a Places) -> Result<Plan<'a>, Failure> {
    let config = configuration(args, session)?;
    let repository = args.which.name()?;
    let owner = args.organization.clone().map_or(Owner::Person, Owner::Organization);
    let known = repository
        .as_ref()
        .or(config.repositories.first().map(|repository| &repository.name));
    let login = args.organization.clone().or(known.map(|name| name.owner().to_owned()));
    let web_url = &config.github.web_url;
    let home = login
        .as_ref()
        .map_or_else(|| web_url.clone(), |login| format!("{web_url}/{login}"));
    let name = args
        .name
        .clone()
        .unwrap_or_else(|| default_name(&login.unwrap_or_else(browser::host_name)));
    let url = args.homepage.clone().unwrap_or(home);
    Ok(Plan {
        manifest: Manifest::new(name, url, args.webhook_url.clone(), &owner),
        action: owner.form(web_url),
        config,
        places,
        repository,
        owner,
    })
}

impl Plan<'_> {
    fn configuration(&self, issuer: &str) -> Configuration {
        let api_url = &self.config.github.api_url;
        self.places.configuration(issuer, api_url, self.repository.as_ref())
    }
}

/// Returns the configuration without credentials. The App that it names may not exist yet, so a faulty configuration is
/// reported and ignored.
fn configuration(args: &AppSetup, session: &Session) -> Result<Config, Failure> {
    let without = ["token_file", "app_id", "private_key_file", "installation_id"];
    let mut github: Map<String, Value> = without.iter().map(|key| ((*key).to_owned(), Value::Null)).collect();
    github.extend(args.api_url.iter().map(|url| ("api_url".to_owned(), json!(url))));
    let overrides = Map::from_iter([("github".to_owned(), Value::Object(github))]);
    let is_missing = session.global.config.as_ref().is_some_and(|path| !path.exists());
    if is_missing {
        return Ok(sources::without_a_file(overrides)?.config);
    }
    match sources::configuration_over(&session.global, overrides.clone()) {
        Ok(loaded) => Ok(loaded.config),
        Err(problems) => {
            let failure = Failure::from(problems);
            output::report(&format!("{failure}\njitgate: warning: the configuration is ignored"));
            Ok(sources::without_a_file(overrides)?.config)
        }
    }
}

fn preview(plan: &Plan<'_>, session: &Session) -> Outcome {
    let places = plan.places;
    let steps = [
        format!(
            "serve a page on this machine that sends the manifest to {}",
            plan.action
        ),
        format!("store the private key in {} (mode 0600)", places.key.display()),
        format!("store the webhook secret in {} (mode 0600)", places.secret.display()),
        match plan.configuration("APP-ID") {
            Configuration::Write(_) => format!("write {}", places.configuration.display()),
            _ => format!("print the lines that {} needs", places.configuration.display()),
        },
    ];
    let mut manifest = plan.manifest.clone();
    manifest.redirect_url = "http://127.0.0.1:PORT/callback".to_owned();
    let json = json!({"dry_run": true, "form": plan.action, "manifest": manifest, "steps": steps});
    session.answer(&json, |out| {
        steps.iter().try_for_each(|step| writeln!(out, "would {step}"))?;
        writeln!(out, "\nmanifest:\n{:#}", json!(manifest))
    })?;
    Ok(Exit::Done)
}

/// Waits for the browser, creates the App and stores its credentials. The browser shows the result.
async fn create(
    args: &AppSetup,
    session: &Session,
    plan: &Plan<'_>,
    page: &mut Page,
    drafts: Drafts,
) -> Result<Note, Failure> {
    let returned = page.code(args.timeout_s).await?;
    let made = store(args, session, plan, &returned.code, drafts).await;
    let result = match &made {
        Ok(note) => AppFormResult::Created {
            name: note.slug.clone(),
            install_url: note.install_url(),
        },
        Err(failure) => AppFormResult::Failed(failure.to_string()),
    };
    // The browser may have been closed meanwhile.
    returned.result.send(result).ok();
    made
}

async fn store(
    args: &AppSetup,
    session: &Session,
    plan: &Plan<'_>,
    code: &SecretString,
    drafts: Drafts,
) -> Result<Note, Failure> {
    let manifests = runtime::open_app_manifests(&plan.config, &session.clock)?;
    let app = manifests.convert(code).await.map_err(|failure| {
        let what = "get the credentials of the new app";
        refused(what, &failure).remedy(format!(
            "delete the app on {} if it is listed there, and run the command again: GitHub gives the credentials once",
            list_of_apps(plan)
        ))
    })?;
    let secret = match &app.webhook_secret {
        Some(secret) => secret.clone(),
        None => SecretString::from(browser::word()?),
    };
    let origin = args.person.origin(session.clock.now());
    let note = Note {
        app_id: app.id,
        client_id: app.client_id.clone(),
        slug: app.slug.clone(),
        owner: app.owner.clone(),
        html_url: app.html_url.clone(),
        created_at: origin.at,
        by: origin.by,
        why: origin.why,
    };
    drafts.publish(&app, &secret, &note).map_err(|error| {
        unwritable(&error).remedy(format!(
            "the app exists, but its key is lost: make a new private key at {}, or delete the app and run the command again",
            app.html_url
        ))
    })?;
    correct_hook(session, plan, &app, &note, &secret).await;
    Ok(note)
}

/// Corrects the webhook where GitHub's defaults differ from the manifest. The credentials are safe already, so a failure is
/// only a warning, and a second run repeats it.
async fn correct_hook(session: &Session, plan: &Plan<'_>, app: &NewApp, note: &Note, secret: &SecretString) {
    let Some(hook) = &plan.manifest.hook_attributes else {
        return;
    };
    let mut config = plan.config.clone();
    config.github.credentials = Credentials::App {
        app_id: note.issuer(),
        private_key: SecretString::from(app.private_key.expose_secret()),
        installation_id: None,
    };
    let corrected = async {
        let github = runtime::open_github_app(&config, &session.clock).map_err(|error| anyhow!(error))?;
        let shown = github.hook().await?;
        let step = hook::plan(&shown, Some(&hook.url), app.webhook_secret.is_some());
        Ok::<(), anyhow::Error>(hook::take(github.as_ref(), &step, secret).await?)
    };
    if let Err(error) = corrected.await {
        warn(&format!("the webhook is not checked: {error:#}; run the command again"));
    }
}

fn in_words(owner: &Owner) -> String {
    match owner {
        Owner::Person => "the person who is signed in at GitHub".to_owned(),
        Owner::Organization(login) => format!("organization {login}"),
    }
}

/// Returns the page that lists the apps of the owner.
fn list_of_apps(plan: &Plan<'_>) -> String {
    plan.action.trim_end_matches("/new").to_owned()
}
