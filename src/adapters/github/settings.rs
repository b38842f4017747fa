//! The settings of the adapter and their errors.

use crate::config::Proxies;
use crate::ports::credentials::Credentials;
use http::Uri;
use std::time::Duration;

/// The connection to GitHub and its credentials.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The root of the REST API, `https://api.github.com` or `https://HOST/api/v3`.
    pub api_url: String,
    pub credentials: Credentials,
    pub proxies: Proxies,
    /// The timeout for a connection, TLS included.
    pub connect_timeout: Duration,
    /// The timeout for a request, from the wait for a free place to the last byte of the response.
    pub timeout: Duration,
}

/// The reason why an adapter cannot be created. It holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL is not `http` or `https`, or has a user name, a query or a fragment.
    #[error("invalid API URL; expected https://HOST[:PORT][/PATH]")]
    ApiUrl,
    /// The text is not an RSA private key in PEM.
    #[error("invalid private key of app {app_id}; expected an RSA key in PEM")]
    PrivateKey {
        app_id: String,
        source: jsonwebtoken::errors::Error,
    },
    /// The token has characters that no token has.
    #[error("invalid token: it has characters that cannot be sent in a header")]
    Token,
    #[error("cannot build the HTTP client; are root certificates installed (Debian package ca-certificates)?")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Validates an API URL and removes its trailing slash.
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
    fn an_api_url_has_no_user_query_or_fragment() {
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
            assert!(base_of(url).is_err(), "{url:?} is accepted");
        }
    }
}
