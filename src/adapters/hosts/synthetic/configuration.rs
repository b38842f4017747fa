//! The part of a JIT configuration that a synthetic runner reads: the URL that it connects to.

use crate::ports::Failure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::collections::HashMap;

/// The `.runner` file inside a JIT configuration, as the simulated GitHub writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunnerFile {
    server_url: String,
    #[serde(default)]
    simulated: bool,
}

/// Returns the URL that a runner connects to. Rejects the configuration of a real GitHub.
pub(super) fn server_of(config: &SecretString) -> Result<String, Failure> {
    let bad = |what: &str| Failure::Permanent(format!("the JIT configuration {what}"));
    let outer = STANDARD
        .decode(config.expose_secret())
        .map_err(|_| bad("is not valid base64"))?;
    let files: HashMap<String, String> = serde_json::from_slice(&outer).map_err(|_| bad("is not valid JSON"))?;
    let runner = files.get(".runner").ok_or_else(|| bad("has no .runner file"))?;
    let inner = STANDARD
        .decode(runner)
        .map_err(|_| bad("has an unreadable .runner file"))?;
    // GitHub's own files can start with a byte order mark.
    let text = inner.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&inner);
    let file: RunnerFile = serde_json::from_slice(text).map_err(|_| bad("has an unreadable .runner file"))?;
    if file.simulated {
        Ok(file.server_url)
    } else {
        Err(bad(
            "comes from a real GitHub; synthetic runners require the simulated one",
        ))
    }
}
