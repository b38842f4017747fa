//! What the adapter is told when it is made, and why that may not do.

use crate::config::Proxies;
use http::Uri;
use secrecy::SecretString;
use std::time::Duration;

/// How GitHub is reached, and as whom.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Root of the REST API, `https://api.github.com` or `https://HOST/api/v3`.
    pub api_url: String,
    /// Whom to speak as.
    pub credentials: Credentials,
    /// By which proxies.
    pub proxies: Proxies,
    /// Longest time for a connection to be made, TLS included.
    pub connect_timeout: Duration,
    /// Longest time for a request from waiting for its turn to the last byte of the answer.
    pub timeout: Duration,
}

/// Whom to speak as.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A GitHub App.
    App {
        /// The App's client id or id.
        app_id: String,
        /// Its RSA private key in PEM.
        private_key: SecretString,
        /// Its one installation; found for each owner when absent.
        installation_id: Option<u64>,
    },
    /// A token somebody made by hand: break-glass.
    Token(SecretString),
    /// Nobody: for a process that only asks whether GitHub answers.
    Anonymous,
}

/// Why an adapter cannot be made. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Not an `http` or `https` URL, or one with a user name, a query or a fragment.
    #[error("the API URL is not of the form https://HOST[:PORT][/PATH]")]
    ApiUrl,
    /// Not an RSA private key in PEM.
    #[error("the private key of app {app_id} is not an RSA key in PEM")]
    PrivateKey {
        /// The App it belongs to.
        app_id: String,
        /// What the parser said.
        source: jsonwebtoken::errors::Error,
    },
    /// Characters that no token has.
    #[error("the token holds characters that cannot be sent in a header")]
    Token,
    /// The HTTP client could not be built.
    #[error("cannot build the HTTP client; are root certificates installed (Debian package ca-certificates)?")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Checks an API URL and takes its trailing slash away.
pub(super) fn base_of(api_url: &str) -> Result<String, SetupError> {
    let uri: Uri = api_url.trim().parse().map_err(|_| SetupError::ApiUrl)?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    if !web || authority.is_empty() || authority.contains('@') || uri.query().is_some() || api_url.contains('#') {
        return Err(SetupError::ApiUrl);
    }
    Ok(api_url.trim().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_url_is_a_plain_root() {
        for (url, base) in [
            ("https://api.github.com", "https://api.github.com"),
            ("https://ghe.example/api/v3/", "https://ghe.example/api/v3"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ] {
            assert_eq!(base_of(url).expect("a good URL"), base);
        }
        for url in [
            "",
            "api.github.com",
            "ftp://x",
            "https://u:p@x",
            "https://x?a=b",
            "https://x/#a",
            "/api",
        ] {
            assert!(base_of(url).is_err(), "{url:?} was taken");
        }
    }
}
