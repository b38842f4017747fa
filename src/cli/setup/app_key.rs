//! The App whose token is refreshed: from flags, otherwise from the configuration.

use super::task::{Task, word};
use crate::cli::exit::{Exit, Failure};
use crate::config::{self, Credentials, Sources};
use crate::domain::units::Word;
use anyhow::anyhow;
use serde_json::json;
use std::path::{Path, PathBuf};

/// The flags that name an App.
#[derive(Debug, Clone, Copy)]
pub(super) struct AppFlags<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) installation_id: Option<u64>,
    pub(super) private_key_file: Option<&'a Path>,
}

/// An App with the file of its key.
pub(super) struct AppKey {
    pub(super) id: Word,
    pub(super) installation_id: u64,
    pub(super) private_key_file: Word,
}

impl AppFlags<'_> {
    /// Returns the App. A missing part is an obstacle, and stands in the result as an example.
    pub(super) fn complete(self, task: &mut Task<'_>) -> Result<AppKey, Failure> {
        let configured = match &task.loaded.config.github.credentials {
            Credentials::App {
                app_id,
                installation_id,
                ..
            } => Some((app_id.clone(), *installation_id)),
            Credentials::Token(_) | Credentials::None => None,
        };
        let id = self
            .id
            .map(str::to_owned)
            .or(configured.as_ref().map(|app| app.0.clone()));
        let installation = self.installation_id.or(configured.and_then(|app| app.1));
        let key = self
            .private_key_file
            .map(Path::to_owned)
            .or_else(|| configured_key(task));
        let missing = [
            (id.is_none(), "--app-id ID"),
            (
                installation.is_none(),
                "--app-installation-id ID (`jitgate app installation-id` prints it)",
            ),
            (key.is_none(), "--app-private-key-file FILE"),
        ];
        let missing: Vec<&str> = missing
            .iter()
            .filter(|(is_missing, _)| *is_missing)
            .map(|it| it.1)
            .collect();
        if !missing.is_empty() {
            let error = anyhow!("the GitHub App is not known");
            let remedy = format!("add {}, or configure the app in [github]", missing.join(" and "));
            task.obstacles.push(Failure::new(Exit::Usage, error).remedy(remedy));
        }
        let key = match key {
            None => PathBuf::from("/etc/jitgate/app.pem"),
            Some(key) => {
                let key = std::path::absolute(&key).unwrap_or(key);
                // The configuration rejects a key that others can read or that is in a git work tree.
                let github = json!({"app_id": id, "private_key_file": key});
                let checked = config::load(Sources {
                    overrides: serde_json::Map::from_iter([("github".to_owned(), github)]),
                    ..Sources::default()
                });
                task.obstacles.extend(checked.err().map(Failure::from));
                key
            }
        };
        let id = id.unwrap_or_else(|| "ID".to_owned());
        Ok(AppKey {
            id: Word::parse(&id).map_err(|error| Failure::new(Exit::Usage, anyhow!("--app-id {error}")))?,
            installation_id: installation.unwrap_or_default(),
            private_key_file: word(&key, "--app-private-key-file")?,
        })
    }
}

/// Returns the file of the configured key.
fn configured_key(task: &Task<'_>) -> Option<PathBuf> {
    let value = task.loaded.settings.get("github.private_key_file")?.value.as_ref()?;
    serde_json::from_str::<Option<PathBuf>>(value).ok()?
}
