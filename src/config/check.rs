//! Shared validation of the sections: problems with key, value and origin, and common formats.

use super::mask::{MASK, masked};
use super::problem::{Origin, Problem, Setting};
use super::proxy::{Environment, Proxies};
use super::secret_file::{self, SecretFileError};
use crate::domain::text::is_hidden;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Proof that a problem was reported. A validation that fails with it reports nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reported;

/// Collects problems while the sections are validated.
pub(super) struct Check<'a> {
    settings: &'a BTreeMap<String, Setting>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    /// The files that secrets were read from.
    pub(super) secret_files: Vec<PathBuf>,
    pub(super) environment: Environment,
    /// GitHub's proxy from the environment, in displayable form.
    pub(super) github_proxy: Option<Setting>,
}

impl<'a> Check<'a> {
    pub(super) fn new(settings: &'a BTreeMap<String, Setting>, environment: Environment) -> Self {
        Self {
            settings,
            problems: Vec::new(),
            warnings: Vec::new(),
            secret_files: Vec::new(),
            environment,
            github_proxy: None,
        }
    }

    pub(super) fn github_proxies(&mut self, setting: Option<&str>, api_url: &str) -> Proxies {
        if let Some((proxies, shown)) = self.environment.for_github(setting, api_url) {
            self.github_proxy = shown;
            return proxies;
        }
        let remedy = "use http://HOST:PORT, https://HOST:PORT or none";
        self.problem("github.proxy", "is not a usable proxy", remedy);
        Proxies::default()
    }

    /// Reports a problem with a setting.
    pub(super) fn problem(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) -> Reported {
        let problem = self.describe(key, what.into(), remedy.into());
        self.problems.push(problem);
        Reported
    }

    /// Reports a permitted but risky setting.
    pub(super) fn warn(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        let warning = self.describe(key, what.into(), remedy.into());
        self.warnings.push(warning);
    }

    fn describe(&self, key: &str, what: String, remedy: String) -> Problem {
        let setting = self.settings.get(key);
        Problem {
            key: key.to_owned(),
            value: setting.and_then(|setting| setting.value.clone()),
            origin: setting.and_then(|setting| setting.origin.clone()),
            what,
            remedy,
        }
    }

    /// Returns true if the setting has its default value.
    pub(super) fn is_default(&self, key: &str) -> bool {
        let origin = self.settings.get(key).and_then(|setting| setting.origin.as_ref());
        origin.is_none_or(|origin| *origin == Origin::Default)
    }

    /// Parses `HOST:PORT`.
    pub(super) fn address(&mut self, key: &str, text: &str) -> Result<SocketAddr, Reported> {
        text.parse().map_err(|_| {
            let remedy = "use IP:PORT, such as 127.0.0.1:8080 or [::1]:8080 (host names are not resolved)";
            self.problem(key, "is not an address with a port", remedy)
        })
    }

    /// Parses an `http://` or `https://` URL and removes a slash at its end.
    pub(super) fn url(&mut self, key: &str, text: &str) -> Result<String, Reported> {
        let uri = text.parse::<http::Uri>().ok();
        let web = |uri: &http::Uri| matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.filter(web).and_then(|uri| uri.authority().cloned());
        match host {
            Some(authority) if authority.as_str().contains('@') => {
                Err(self.problem(key, "contains a user or a password", "remove them from the URL"))
            }
            Some(_) => Ok(text.trim_end_matches('/').to_owned()),
            None => Err(self.problem(
                key,
                "is not a valid URL",
                "use a URL that starts with https:// or http://",
            )),
        }
    }

    /// Checks that a name contains only letters, digits and the characters in `extra`, and is not too long.
    pub(super) fn name(&mut self, key: &str, text: &str, extra: &str, longest: usize) -> Result<(), Reported> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
        if text.len() > longest {
            let what = format!("has {} characters in {:?}", text.len(), masked(text));
            return Err(self.problem(key, what, format!("use at most {longest}")));
        }
        match text.chars().find(|c| !allowed(*c)) {
            Some(c) => {
                let remedy = format!("use letters, digits and {extra:?} only");
                Err(self.problem(key, format!("has {c:?} in {:?}", masked(text)), remedy))
            }
            None => Ok(()),
        }
    }

    /// Returns a secret that is given either directly or as a file.
    pub(super) fn secret(
        &mut self,
        (key, inline): (&str, Option<String>),
        (file_key, file): (&str, Option<&Path>),
    ) -> Result<Option<SecretString>, Reported> {
        match (inline, file) {
            (Some(_), Some(_)) => Err(self.given_twice(key, file_key)),
            (Some(secret), None) => {
                let secret = SecretString::from(secret);
                self.check_for_hidden_characters(key, None, &secret);
                Ok(Some(secret))
            }
            (None, Some(path)) => self.secret_file(file_key, path).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// Reports a secret that is given in both forms.
    pub(super) fn given_twice(&mut self, key: &str, file_key: &str) -> Reported {
        let other = self.settings.get(file_key).and_then(|setting| setting.origin.as_ref());
        let other = other.map_or_else(String::new, |origin| format!(" (from {origin})"));
        self.problem(key, format!("{file_key} is also set{other}"), "keep one of the two")
    }

    /// Reads a secret from a file.
    pub(super) fn secret_file(&mut self, key: &str, path: &Path) -> Result<SecretString, Reported> {
        self.secret_files.push(path.to_owned());
        let secret = secret_file::read(path).map_err(|error| self.bad_secret_file(key, path, &error))?;
        self.check_for_hidden_characters(key, Some(path), &secret);
        Ok(secret)
    }

    /// Warns of invisible characters in a secret, which are most likely absent on the other side: a second line end,
    /// blanks at an end, tabs, a byte order mark. It does not quote the secret.
    pub(super) fn check_for_hidden_characters(&mut self, key: &str, path: Option<&Path>, secret: &SecretString) {
        let secret = secret.expose_secret();
        let what = if secret.contains(['\n', '\r']) {
            "more than one line end"
        } else if secret.contains('\t') {
            "a tab"
        } else if secret.trim() != secret {
            "a blank at an end"
        } else if secret.contains(is_hidden) {
            "a character that is not seen"
        } else {
            return;
        };
        let place = path.map_or_else(String::new, |path| format!(" in {}", path.display()));
        let remedy = "remove it; GitHub's form cannot contain it";
        self.warn(key, format!("holds {what}{place}"), remedy);
    }

    /// Reports a problem with a secret's file. A word that is no path of a file may be the secret itself and is not
    /// quoted.
    pub(super) fn bad_secret_file(&mut self, key: &str, path: &Path, error: &SecretFileError) -> Reported {
        let mut problem = self.describe(key, error.to_string(), error.remedy(path));
        let is_path = path.components().count() > 1 || path.exists();
        let shown = if is_path {
            masked(&path.display().to_string())
        } else {
            MASK.to_owned()
        };
        problem.value = Some(Value::from(shown).to_string());
        self.problems.push(problem);
        Reported
    }
}
