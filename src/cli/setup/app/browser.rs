//! The part of the browser: the page on this machine, and the way to it from another one.

use crate::cli::exit::{Exit, Failure};
use crate::cli::{output, signals};
use crate::domain::app::Manifest;
use crate::http::{AppForm, AppFormListener, AppFormReturn, AppFormServer, ListenError};
use crate::runtime;
use anyhow::anyhow;
use secrecy::SecretString;
use std::fs;
use std::time::Duration;

/// A page that waits for the browser.
pub(super) struct Page {
    pub(super) server: AppFormServer,
    codes: tokio::sync::mpsc::Receiver<AppFormReturn>,
    stops: signals::Stops,
}

/// Opens the page and tells the person its address.
pub(super) fn open(port: u16, mut manifest: Manifest, action: &str, owner: &str) -> Result<Page, Failure> {
    let in_use = |error: ListenError| {
        let exit = if error.is_temporary() {
            Exit::AddressInUse
        } else {
            Exit::Bug
        };
        Failure::new(exit, error).remedy("use another --port, or none for a free one")
    };
    let listener = AppFormListener::bind(port).map_err(in_use)?;
    let port = listener.port();
    manifest.redirect_url = listener.redirect_url();
    let (entrance, state) = (word()?, word()?);
    let form = AppForm {
        entrance: SecretString::from(entrance.clone()),
        state: SecretString::from(state),
        action: action.to_owned(),
        manifest: serde_json::to_string(&manifest).map_err(|error| Failure::new(Exit::Bug, error))?,
        facts: facts(&manifest, owner),
    };
    let (server, codes) = listener.serve(form).map_err(in_use)?;
    // From here on the person can stop the command, which removes the drafts.
    let stops = signals::stops().map_err(|error| Failure::new(Exit::Bug, error))?;
    output::report(&format!(
        "Open this page in a browser to create the app at GitHub:\n\n    http://127.0.0.1:{port}/{entrance}\n\n\
         If the browser runs on another machine, run this command there first, and keep it open:\n\n    \
         ssh -L {port}:127.0.0.1:{port} {}@{}\n",
        runtime::login_name(),
        host_name()
    ));
    Ok(Page { server, codes, stops })
}

impl Page {
    /// Waits for the code from GitHub.
    pub(super) async fn code(&mut self, timeout_s: u64) -> Result<AppFormReturn, Failure> {
        let none = |why: String| {
            let failure = Failure::new(Exit::Negative, anyhow!("{why}; no app is stored"));
            failure.remedy("run the command again; if an app was created meanwhile, delete it on its settings page at GitHub first")
        };
        tokio::select! {
            returned = self.codes.recv() => returned.ok_or_else(|| none("the page was closed".to_owned())),
            () = tokio::time::sleep(Duration::from_secs(timeout_s)) => {
                Err(none(format!("no answer came from the browser within {timeout_s} s")))
            }
            () = self.stops.received() => Err(none("the command was stopped".to_owned())),
        }
    }
}

fn facts(manifest: &Manifest, owner: &str) -> Vec<(String, String)> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let permissions = manifest.default_permissions.iter();
    let permissions: Vec<String> = permissions.map(|(name, level)| format!("{name}: {level}")).collect();
    let hook = manifest.hook_attributes.as_ref().map_or("none", |hook| &hook.url);
    let events = match manifest.default_events.as_slice() {
        [] => "none".to_owned(),
        events => events.join(", "),
    };
    vec![
        fact("Name", manifest.name.clone()),
        fact("Owner", owner.to_owned()),
        fact("Permissions", permissions.join("\n")),
        fact("Events", events),
        fact("Webhook", hook.to_owned()),
    ]
}

pub(super) fn word() -> Result<String, Failure> {
    runtime::random_word().map_err(|error| Failure::new(Exit::Bug, error))
}

/// Returns the name of this machine.
pub(super) fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "THIS-MACHINE".to_owned(),
        name => name.to_owned(),
    }
}
