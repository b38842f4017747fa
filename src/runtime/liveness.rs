//! Whether a gate runs with a configuration: asked at its admin listener.

use crate::config::{AdminListen, Config};
use serde_json::Value;
use std::time::Duration;

/// How long a gate may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(3);

/// No gate answered.
#[derive(Debug, thiserror::Error)]
pub enum Silent {
    /// Nobody is there, or not in time.
    #[error("nobody answers at {place}")]
    Nobody {
        /// Where was asked.
        place: String,
        /// Why not.
        source: reqwest::Error,
    },
    /// Somebody is there who does not say what a gate says.
    #[error("what answers at {place} is no healthy gate (status {status})")]
    Somebody {
        /// Where was asked.
        place: String,
        /// What was answered.
        status: u16,
    },
}

/// Asks the gate of this configuration whether it and its store are well. Gives where it listens.
///
/// # Errors
/// When none answers in time, or it is not well.
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
    let nobody = |source| Silent::Nobody {
        place: place.clone(),
        source,
    };
    let client = client.no_proxy().timeout(PATIENCE).build().map_err(nobody)?;
    let answer = client.get(url).send().await.map_err(nobody)?;
    let status = answer.status().as_u16();
    // Anything can answer 200.
    let said: Value = answer.json().await.unwrap_or_default();
    if status == 200 && said["store"] == "ok" {
        Ok(place)
    } else {
        Err(Silent::Somebody { place, status })
    }
}
