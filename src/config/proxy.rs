//! Outgoing proxies: those of the environment, and `github.proxy`.

use super::mask::masked;
use super::problem::{Origin, Problem, Setting};
use hyper_util::client::proxy::matcher::Matcher;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::collections::BTreeMap;

/// Hosts that are never reached by a proxy, because its loopback is a different one.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";
/// The value of `github.proxy` that disables proxies.
const NONE: &str = "none";

/// The proxies by the scheme of the requested URL.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<SecretString>,
    https: Option<SecretString>,
    /// Hosts that are reached without a proxy, separated by commas.
    exempt: String,
}

/// The proxies with their environment variables.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    pub(super) proxies: Proxies,
    http_from: Option<String>,
    https_from: Option<String>,
    exempt_from: Option<String>,
}

impl Environment {
    /// Reads the environment variables. An unusable proxy is ignored with a warning.
    pub(super) fn read(env: &BTreeMap<String, String>, warnings: &mut Vec<Problem>) -> Self {
        let get = |names: [&str; 2]| {
            names.into_iter().find_map(|name| {
                let text = env.get(name).map(|text| text.trim())?;
                (!text.is_empty()).then(|| (name.to_owned(), text.to_owned()))
            })
        };
        let all = || get(["ALL_PROXY", "all_proxy"]);
        let mut usable = |found: Option<(String, String)>| {
            let (name, text) = found?;
            let proxy = proxy_of(&text);
            if proxy.is_none() {
                warnings.push(Problem {
                    value: Some(Value::from(masked(&text)).to_string()),
                    ..*Problem::new(
                        &name,
                        "names no proxy that can be used, and is ignored",
                        "use http://HOST:PORT or https://HOST:PORT",
                    )
                });
            }
            Some((name, proxy?))
        };
        let http = usable(get(["HTTP_PROXY", "http_proxy"]).or_else(all));
        let https = usable(get(["HTTPS_PROXY", "https_proxy"]).or_else(all));
        let exempt = get(["NO_PROXY", "no_proxy"]);
        let listed = exempt.as_ref().map_or("", |(_, hosts)| hosts);
        let exempt_hosts = format!("{LOOPBACK},{listed}");
        let (http_from, http) = http.unzip();
        let (https_from, https) = https.unzip();
        Self {
            proxies: Proxies {
                http,
                https,
                exempt: exempt_hosts,
            },
            http_from,
            https_from,
            exempt_from: exempt.map(|(name, _)| name),
        }
    }

    /// Returns the proxies for GitHub and their displayable form. `github.proxy` overrides the environment; `None` if it is
    /// no proxy.
    pub(super) fn for_github(&self, setting: Option<&str>, api_url: &str) -> Option<(Proxies, Option<Setting>)> {
        match setting.map(str::trim) {
            Some(NONE) => Some((Proxies::default(), None)),
            Some(text) => {
                let proxy = Some(proxy_of(text)?);
                let proxies = Proxies {
                    http: proxy.clone(),
                    https: proxy,
                    exempt: String::new(),
                };
                Some((proxies, None))
            }
            None => Some((self.proxies.clone(), self.shown(api_url))),
        }
    }

    fn shown(&self, api_url: &str) -> Option<Setting> {
        let (proxy, from) = if api_url.starts_with("https://") {
            (self.proxies.https.as_ref()?, self.https_from.as_ref()?)
        } else {
            (self.proxies.http.as_ref()?, self.http_from.as_ref()?)
        };
        let (value, from) = match (self.proxies.is_used_for(api_url), &self.exempt_from) {
            (true, _) => (masked(proxy.expose_secret()), from),
            (false, Some(exempt_from)) => (NONE.to_owned(), exempt_from),
            (false, None) => return None,
        };
        Some(Setting {
            value: Some(Value::from(value).to_string()),
            origin: Some(Origin::Environment(from.clone())),
        })
    }
}

impl Proxies {
    /// Returns true if a URL is reached by a proxy.
    #[must_use]
    pub fn is_used_for(&self, url: &str) -> bool {
        let text = |proxy: &Option<SecretString>| {
            let proxy = proxy.as_ref().map(ExposeSecret::expose_secret);
            proxy.unwrap_or_default().to_owned()
        };
        let matcher = Matcher::builder()
            .http(text(&self.http))
            .https(text(&self.https))
            .no(self.exempt.clone())
            .build();
        url.parse().is_ok_and(|url| matcher.intercept(&url).is_some())
    }

    /// Returns the proxies in the form of the HTTP client.
    ///
    /// # Errors
    /// If a URL is invalid, which validation excludes.
    pub fn for_client(&self) -> reqwest::Result<Vec<reqwest::Proxy>> {
        let exempt = || reqwest::NoProxy::from_string(&self.exempt);
        let http = self.http.as_ref().map(|url| reqwest::Proxy::http(url.expose_secret()));
        let https = self
            .https
            .as_ref()
            .map(|url| reqwest::Proxy::https(url.expose_secret()));
        let proxies = http.into_iter().chain(https);
        proxies
            .map(|proxy| proxy.map(|proxy| proxy.no_proxy(exempt())))
            .collect()
    }
}

/// Returns the URL of a proxy. `HOST:PORT` is also accepted.
fn proxy_of(text: &str) -> Option<SecretString> {
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let parsed = url.parse::<http::Uri>().ok()?;
    let is_web = matches!(parsed.scheme_str(), Some("http" | "https"));
    let has_host = parsed.host().is_some_and(|host| !host.is_empty());
    (is_web && has_host && reqwest::Proxy::all(&url).is_ok()).then(|| SecretString::from(url))
}
