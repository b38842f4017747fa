//! The check for a running jitgate with a configuration, through its admin listener.

use crate::config::{AdminListen, Config};
use serde_json::Value;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(3);

/// No healthy jitgate answered.
#[derive(Debug, thiserror::Error)]
pub enum Silent {
    /// Nothing listens there, or it did not answer in time.
    #[error("no answer at {place}")]
    NoAnswer { place: String, source: reqwest::Error },
    /// The answer does not come from a healthy jitgate.
    #[error("the answer at {place} is not from a healthy jitgate (status {status})")]
    Unhealthy { place: String, status: u16 },
}

/// Returns the place where the jitgate of this configuration listens, if it and its store are healthy.
///
/// # Errors
/// Returns [`Silent`] if it does not answer in time or is not healthy.
pub async fn running_gate(config: &Config) -> Result<String, Silent> {
    let (place, url, client) = match &config.server.admin_listen {
        AdminListen::Tcp(address) => (
            address.to_string(),
            format!("http://{address}/readyz"),
            reqwest::Client::builder(),
        ),
        AdminListen::Unix(path) => {
            let client = reqwest::Client::builder().unix_socket(path.as_path());
            (path.display().to_string(), "http://localhost/readyz".to_owned(), client)
        }
    };
    let no_answer = |source| Silent::NoAnswer {
        place: place.clone(),
        source,
    };
    let client = client.no_proxy().timeout(TIMEOUT).build().map_err(no_answer)?;
    let answer = client.get(url).send().await.map_err(no_answer)?;
    let status = answer.status().as_u16();
    // Any server can answer 200.
    let body: Value = answer.json().await.unwrap_or_default();
    if status == 200 && body["store"] == "ok" {
        Ok(place)
    } else {
        Err(Silent::Unhealthy { place, status })
    }
}
