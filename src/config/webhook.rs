//! `[webhook]`: the secrets that sign deliveries.

use super::check::{Check, Reported};
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::path::PathBuf;

/// Minimum length of a secret that cannot be guessed from one recorded delivery.
const MIN_SECRET_CHARS: usize = 16;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWebhook {
    /// Secrets of the webhook. The first one is current, the others are old.
    #[schemars(extend("writeOnly" = true), length(min = 1))]
    secrets: Option<Vec<String>>,
    /// Files with the secrets, in the same order.
    #[schemars(length(min = 1))]
    secret_files: Option<Vec<PathBuf>>,
}

/// The secrets that sign deliveries.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The current secret, followed by old ones. Can be empty: see [`super::Config::for_serve`].
    pub secrets: Vec<SecretString>,
}

impl RawWebhook {
    pub(super) fn validate(self, check: &mut Check<'_>) -> Result<Webhook, Reported> {
        let (key, secrets) = match (self.secrets, self.secret_files) {
            (Some(_), Some(_)) => return Err(check.given_twice("webhook.secrets", "webhook.secret_files")),
            (Some(secrets), None) => {
                let secrets: Vec<_> = secrets.into_iter().map(SecretString::from).collect();
                for secret in &secrets {
                    check.check_for_hidden_characters("webhook.secrets", None, secret);
                }
                ("webhook.secrets", secrets)
            }
            (None, Some(paths)) => ("webhook.secret_files", read_all(check, &paths)?),
            (None, None) => ("webhook.secrets", Vec::new()),
        };
        let exposed: Vec<&str> = secrets.iter().map(ExposeSecret::expose_secret).collect();
        if exposed
            .iter()
            .enumerate()
            .any(|(index, secret)| exposed[..index].contains(secret))
        {
            check.problem(key, "contains the same secret twice", "remove one of them");
        }
        if exposed.iter().any(|secret| secret.len() < MIN_SECRET_CHARS) {
            let remedy = "create one with `openssl rand -hex 32`";
            check.warn(
                key,
                format!("contains a secret with fewer than {MIN_SECRET_CHARS} characters"),
                remedy,
            );
        }
        Ok(Webhook { secrets })
    }
}

/// Reads every file, so that all problems are reported together.
fn read_all(check: &mut Check<'_>, paths: &[PathBuf]) -> Result<Vec<SecretString>, Reported> {
    let read: Vec<_> = paths
        .iter()
        .map(|path| check.secret_file("webhook.secret_files", path))
        .collect();
    read.into_iter().collect()
}
