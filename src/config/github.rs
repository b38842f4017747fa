//! `[github]`: the address of GitHub and the credentials.

use super::check::{Check, Reported};
use super::proxy::Proxies;
use super::secret_file;
use jsonwebtoken::{Algorithm, EncodingKey};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Maximum length of a client id.
const MAX_APP_ID_CHARS: usize = 64;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGithub {
    /// URL of GitHub's REST API. On GitHub Enterprise Server `https://HOST/api/v3`.
    #[schemars(extend("format" = "uri"))]
    api_url: String,
    /// URL of GitHub's web interface. By default derived from `api_url`.
    #[schemars(extend("format" = "uri"))]
    web_url: Option<String>,
    /// Client id or numeric app id of the GitHub App.
    #[schemars(extend("type" = ["integer", "string", "null"], "minimum" = 1))]
    app_id: Option<RawAppId>,
    /// File with the private key of the app: PEM, outside of any git work tree, mode 0600.
    private_key_file: Option<PathBuf>,
    /// Installation of the app. By default jitgate looks it up for each owner.
    #[schemars(range(min = 1))]
    installation_id: Option<u64>,
    /// File with a token that is used instead of the app, for emergencies.
    token_file: Option<PathBuf>,
    /// Proxy for requests to GitHub, or `none`. By default `HTTPS_PROXY` and `NO_PROXY` apply.
    #[schemars(extend("format" = "uri"))]
    proxy: Option<String>,
    /// Timeout for the connection.
    #[schemars(range(min = 1, max = 600))]
    connect_timeout_s: u64,
    /// Timeout for a whole request, including the connection.
    #[schemars(range(min = 1, max = 600))]
    timeout_s: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum RawAppId {
    Number(u64),
    Text(String),
}

/// The address of GitHub and the credentials.
#[derive(Debug, Clone)]
pub struct Github {
    /// URL of the REST API, without a slash at the end.
    pub api_url: String,
    /// URL of the web interface, without a slash at the end.
    pub web_url: String,
    pub credentials: Credentials,
    pub proxies: Proxies,
    pub connect_timeout: Duration,
    pub timeout: Duration,
}

/// The credentials for GitHub.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A GitHub App.
    App {
        /// Client id or app id, the issuer of the JWTs.
        app_id: String,
        /// The private key in PEM form.
        private_key: SecretString,
        /// The installation; `None` looks up the one of each owner.
        installation_id: Option<u64>,
    },
    /// A token.
    Token(SecretString),
    /// No credentials, which is not sufficient for `serve`.
    None,
}

impl RawGithub {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Github, Reported> {
        let api_url = check.url("github.api_url", &self.api_url);
        let web_url = self.web_url.as_deref().map(|url| check.url("github.web_url", url));
        let credentials = self.credentials(check);
        let api_url = api_url?;
        if api_url.starts_with("http://") && !is_loopback(&api_url) {
            check.warn("github.api_url", "sends credentials without encryption", "use https://");
        }
        if let Some((what, remedy)) = other_than_the_api(&api_url) {
            check.warn("github.api_url", what, remedy);
        }
        let proxies = check.github_proxies(self.proxy.as_deref(), &api_url);
        let timeout = Duration::from_secs(self.timeout_s);
        Ok(Github {
            web_url: web_url.unwrap_or_else(|| Ok(web_url_of(&api_url)))?,
            api_url,
            credentials: credentials?,
            proxies,
            connect_timeout: Duration::from_secs(self.connect_timeout_s).min(timeout),
            timeout,
        })
    }

    fn credentials(&self, check: &mut Check<'_>) -> Result<Credentials, Reported> {
        let key_file = self.private_key_file.as_deref();
        let private_key = key_file.map(|path| private_key(check, path)).transpose();
        let token_file = self.token_file.as_deref();
        let token = token_file
            .map(|path| check.secret_file("github.token_file", path))
            .transpose();
        if self.app_id.is_none() && self.installation_id.is_some() {
            check.problem("github.installation_id", "requires github.app_id", "set github.app_id");
        }
        let app_id = self.app_id.as_ref().map(|id| app_id(check, id)).transpose();
        let app = match (app_id?, private_key?) {
            (Some(app_id), Some(private_key)) => Credentials::App {
                app_id,
                private_key,
                installation_id: self.installation_id,
            },
            (Some(_), None) => {
                let remedy = "set github.private_key_file to the PEM file of the app";
                return Err(check.problem("github.app_id", "requires github.private_key_file", remedy));
            }
            (None, Some(_)) => {
                let remedy = "set github.app_id to the client id on the app's settings page";
                return Err(check.problem("github.private_key_file", "requires github.app_id", remedy));
            }
            (None, None) => Credentials::None,
        };
        match token? {
            Some(token) => {
                if matches!(app, Credentials::App { .. }) {
                    let remedy = "remove it after the emergency";
                    check.warn("github.token_file", "is used instead of the app", remedy);
                }
                Ok(Credentials::Token(token))
            }
            None => Ok(app),
        }
    }
}

/// Parses a client id such as `Iv23liEXAMPLE0123456`, or a number with or without quotes.
fn app_id(check: &mut Check<'_>, id: &RawAppId) -> Result<String, Reported> {
    let text = match id {
        RawAppId::Number(number) => return Ok(number.to_string()),
        RawAppId::Text(text) => text,
    };
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || text.len() > MAX_APP_ID_CHARS || (is_number && text.parse::<u64>().is_ok_and(|number| number == 0))
    {
        let remedy = "use the client id on the app's settings page, or the numeric app id";
        return Err(check.problem("github.app_id", "is not an app id", remedy));
    }
    Ok(text.clone())
}

fn private_key(check: &mut Check<'_>, path: &Path) -> Result<SecretString, Reported> {
    const KEY: &str = "github.private_key_file";
    check.secret_files.push(path.to_owned());
    let key = secret_file::read_private_key(path).map_err(|error| check.bad_secret_file(KEY, path, &error))?;
    if !can_sign(&key) {
        let remedy = "set it to the PEM file of the app";
        return Err(check.problem(KEY, "does not contain an RSA private key", remedy));
    }
    Ok(key)
}

/// Checks the key by using it. An invalid key would otherwise fail at the first request.
fn can_sign(key: &SecretString) -> bool {
    EncodingKey::from_rsa_pem(key.expose_secret().as_bytes())
        .and_then(|key| jsonwebtoken::crypto::sign(b"jitgate", &key, Algorithm::RS256))
        .is_ok()
}

/// Returns the URL of the web interface for this API.
fn web_url_of(api_url: &str) -> String {
    match api_url.split_once("://api.") {
        Some((scheme, host)) => format!("{scheme}://{host}"),
        None => api_url.strip_suffix("/api/v3").unwrap_or(api_url).to_owned(),
    }
}

/// Returns the problem and its remedy if the URL is most likely not the root of GitHub's API.
fn other_than_the_api(url: &str) -> Option<(&'static str, String)> {
    let uri = url.parse::<http::Uri>().ok()?;
    let host = uri.host()?.to_ascii_lowercase();
    let path = uri.path().trim_end_matches('/');
    if host == "github.com" || host == "www.github.com" {
        return Some((
            "is GitHub's web site, not its API",
            "use https://api.github.com".to_owned(),
        ));
    }
    if host.ends_with(".ghe.com") && !host.starts_with("api.") {
        return Some(("is the web interface, not the API", format!("use https://api.{host}")));
    }
    if !path.is_empty() || host.starts_with("api.") || is_loopback(url) {
        return None;
    }
    let authority = uri.authority()?;
    let scheme = uri.scheme_str()?;
    Some((
        "is most likely a web site: the API of a GitHub Enterprise Server lies below /api/v3",
        format!("use {scheme}://{authority}/api/v3"),
    ))
}

fn is_loopback(url: &str) -> bool {
    let host = url
        .parse::<http::Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_owned));
    host.is_some_and(|host| {
        let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_web_url_follows_the_api_url() {
        for (api, web) in [
            ("https://api.github.com", "https://github.com"),
            ("https://api.octo.ghe.com", "https://octo.ghe.com"),
            ("https://ghes.example.com/api/v3", "https://ghes.example.com"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        ] {
            assert_eq!(web_url_of(api), web);
        }
    }

    #[test]
    fn a_web_site_is_told_from_an_api() {
        for (url, remedy) in [
            ("https://github.com", Some("use https://api.github.com")),
            ("https://www.github.com/api/v3", Some("use https://api.github.com")),
            ("https://ghes.example.com", Some("use https://ghes.example.com/api/v3")),
            (
                "https://ghes.example.com:8443",
                Some("use https://ghes.example.com:8443/api/v3"),
            ),
            ("https://octo.ghe.com", Some("use https://api.octo.ghe.com")),
            ("https://api.github.com", None),
            ("https://api.octo.ghe.com", None),
            ("https://ghes.example.com/api/v3", None),
            ("http://127.0.0.1:3000", None),
            ("http://localhost:3000", None),
        ] {
            let said = other_than_the_api(url).map(|(_, remedy)| remedy);
            assert_eq!(said.as_deref(), remedy, "{url}");
        }
    }

    #[test]
    fn only_loopback_may_do_without_tls() {
        assert!(
            is_loopback("http://127.0.0.1:1/api/v3")
                && is_loopback("http://[::1]:1")
                && is_loopback("http://localhost")
        );
        assert!(!is_loopback("http://10.0.0.1") && !is_loopback("http://localhost.example.com"));
    }
}
