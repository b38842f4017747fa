//! The files of an App: its private key, the webhook secret, a note about it, and the configuration.

use crate::adapters::private_file::{self, Draft, Existing, PUBLIC_MODE, PrivateFileError, SECRET_MODE};
use crate::cli::exit::{Exit, Failure};
use crate::domain::ids::RepositoryName;
use crate::ports::github_app::NewApp;
use anyhow::anyhow;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The default of `github.api_url`.
const DEFAULT_API_URL: &str = "https://api.github.com";

/// The places of the files.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) key: PathBuf,
    pub(super) secret: PathBuf,
    pub(super) note: PathBuf,
    pub(super) configuration: PathBuf,
}

/// The public facts about an App that was created here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) app_id: u64,
    pub(super) client_id: Option<String>,
    pub(super) slug: String,
    pub(super) owner: String,
    pub(super) html_url: String,
    pub(super) created_at: chrono::DateTime<chrono::Utc>,
    pub(super) by: Option<String>,
    pub(super) why: Option<String>,
}

impl Note {
    /// Returns the id for JWTs: GitHub recommends the client id.
    pub(super) fn issuer(&self) -> String {
        self.client_id.clone().unwrap_or_else(|| self.app_id.to_string())
    }

    /// Returns the address at which the owner installs the App.
    pub(super) fn install_url(&self) -> String {
        format!("{}/installations/new", self.html_url)
    }
}

/// The configuration of an App, and the fate of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Configuration {
    /// The file is missing and will be written.
    Write(String),
    /// The file names the App.
    Complete,
    /// The file has other contents. A person adds these lines.
    Add(String),
}

impl Configuration {
    /// Returns the fate of the file as JSON.
    pub(super) fn shown(&self, places: &Places) -> Value {
        let (action, lines) = match self {
            Self::Write(lines) => ("written", Some(lines)),
            Self::Complete => ("complete", None),
            Self::Add(lines) => ("add", Some(lines)),
        };
        json!({"file": places.configuration, "action": action, "lines": lines})
    }
}

impl Places {
    /// Returns the places in a folder. The configuration of `--config` has its own place.
    pub(super) fn of(folder: &Path, configuration: Option<&Path>) -> Self {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Self {
            key: folder.join("app.pem"),
            secret: folder.join("webhook-secret"),
            note: folder.join("app.json"),
            configuration: configuration.map_or_else(|| folder.join("jitgate.toml"), Path::to_owned),
        }
    }

    /// Returns the note about the App of this folder; none if the folder has no App.
    pub(super) fn existing(&self) -> Result<Option<Note>, Failure> {
        let is_complete = self.key.exists();
        match fs::read(&self.note) {
            Ok(bytes) if is_complete => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                let error = anyhow!("{}: cannot be read: {error}", self.note.display());
                Failure::new(Exit::Configuration, error).remedy("remove the file, or use another --folder")
            }),
            _ => Ok(None),
        }
    }

    /// Checks that all files can be written, without changing anything.
    pub(super) fn check(&self) -> Result<(), Failure> {
        for file in [&self.key, &self.secret, &self.note] {
            private_file::check(file, Existing::Keep).map_err(|error| unwritable(&error))?;
        }
        refuse_git(&self.key)
    }

    /// Returns the lines for an App and the fate of the configuration.
    pub(super) fn configuration(
        &self,
        issuer: &str,
        api_url: &str,
        repository: Option<&RepositoryName>,
    ) -> Configuration {
        let api_url = match api_url {
            DEFAULT_API_URL => String::new(),
            url => format!("api_url = {}\n", quoted(url)),
        };
        let repository = repository.map_or_else(String::new, |name| {
            format!("\n[[repositories]]\nfull_name = {}\n", quoted(name.as_str()))
        });
        let lines = format!(
            "[github]\n{api_url}app_id = {}\nprivate_key_file = {}\n\n[webhook]\nsecret_files = [{}]\n{repository}",
            quoted(issuer),
            quoted_path(&self.key),
            quoted_path(&self.secret)
        );
        let Ok(text) = fs::read_to_string(&self.configuration) else {
            return Configuration::Write(lines);
        };
        let table: toml::Table = toml::from_str(&text).unwrap_or_default();
        let names = |section: &str, key: &str| table.get(section).and_then(|section| section.get(key)).cloned();
        let app_id = names("github", "app_id").map(|id| match id {
            toml::Value::String(text) => text,
            other => other.to_string(),
        });
        let has_key = names("github", "private_key_file") == Some(path_value(&self.key));
        let has_secret = match names("webhook", "secret_files") {
            Some(toml::Value::Array(files)) => files.contains(&path_value(&self.secret)),
            _ => false,
        };
        if app_id.as_deref() == Some(issuer) && has_key && has_secret {
            Configuration::Complete
        } else {
            Configuration::Add(lines)
        }
    }

    /// Writes the configuration if its file is missing.
    pub(super) fn write(&self, configuration: &Configuration) -> Result<(), Failure> {
        let Configuration::Write(text) = configuration else {
            return Ok(());
        };
        let written = private_file::write(&self.configuration, SECRET_MODE, Existing::Keep, text.as_bytes());
        written.map_err(|error| unwritable(&error))
    }
}

/// The drafts of the credentials, which prove that they can be stored before GitHub makes them.
pub(super) struct Drafts {
    key: Draft,
    secret: Draft,
    note: Draft,
}

impl Drafts {
    pub(super) fn create(places: &Places) -> Result<Self, Failure> {
        let draft = |path, mode| Draft::create(path, mode, Existing::Keep).map_err(|error| unwritable(&error));
        Ok(Self {
            key: draft(&places.key, SECRET_MODE)?,
            secret: draft(&places.secret, SECRET_MODE)?,
            note: draft(&places.note, PUBLIC_MODE)?,
        })
    }

    /// Stores the credentials. The note is last: a folder with it is complete.
    pub(super) fn publish(self, app: &NewApp, secret: &SecretString, note: &Note) -> Result<(), PrivateFileError> {
        self.key.publish(app.private_key.expose_secret().as_bytes())?;
        self.secret
            .publish(format!("{}\n", secret.expose_secret()).as_bytes())?;
        let note = serde_json::to_string_pretty(note).unwrap_or_default();
        self.note.publish(format!("{note}\n").as_bytes())
    }
}

pub(super) fn unwritable(error: &PrivateFileError) -> Failure {
    let remedy = match error {
        PrivateFileError::Exists(path) => format!(
            "use another --folder, or remove {} if its app is not used any more",
            path.display()
        ),
        _ => error.remedy("--folder"),
    };
    Failure::new(Exit::Configuration, anyhow!("{error}")).remedy(remedy)
}

/// Refuses a place in which jitgate would later refuse to read the key.
fn refuse_git(key: &Path) -> Result<(), Failure> {
    let tree = key.ancestors().skip(1).find(|folder| folder.join(".git").exists());
    let Some(tree) = tree else { return Ok(()) };
    let error = anyhow!("{} is inside the git work tree {}", key.display(), tree.display());
    Err(Failure::new(Exit::Configuration, error).remedy("use a --folder outside of it, for example /etc/jitgate"))
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn quoted_path(path: &Path) -> String {
    path_value(path).to_string()
}

fn path_value(path: &Path) -> toml::Value {
    toml::Value::String(path.display().to_string())
}
